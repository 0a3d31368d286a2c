#include "sched/fair_share.h"

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace ferrum {

// What the counter of a tenant that begins to wait must be at least: that of the least served one that waits, or, where
// nobody does, of the last one that did.
uint64_t FairShare::lift() const {
  std::optional<uint64_t> least;
  for (const Entry& t : tenants_) {
    if (t.waiting > 0) least = std::min(least.value_or(t.served), t.served);
  }
  if (least) return *least;
  return tenants_.empty() ? 0 : tenants_[last_].served;
}

FairShare::Tenant FairShare::find_or_add(std::string_view name) {
  const uint64_t forgettable = lift();
  size_t unused = tenants_.size();
  for (size_t i = 0; i < tenants_.size(); ++i) {
    if (tenants_[i].name == name) return i;
    if (tenants_[i].requests == 0 && tenants_[i].served <= forgettable) unused = i;
  }
  if (unused == tenants_.size()) tenants_.emplace_back();
  tenants_[unused] = {std::string(name), forgettable};
  return unused;
}

FairShare::Tenant FairShare::enter(std::string_view name) {
  const Tenant tenant = find_or_add(name);
  ++tenants_[tenant].requests;
  requeue(tenant);
  return tenant;
}

void FairShare::requeue(Tenant tenant) {
  Entry& t = tenants_[tenant];
  if (t.waiting == 0) t.served = std::max(t.served, lift());
  ++t.waiting;
}

void FairShare::start(Tenant tenant) {
  Entry& t = tenants_[tenant];
  FERRUM_CHECK(t.waiting > 0, "a tenant without waiting requests");
  if (--t.waiting == 0) last_ = tenant;
}

void FairShare::leave(Tenant tenant) {
  Entry& t = tenants_[tenant];
  FERRUM_CHECK(t.requests > t.waiting, "a tenant without running requests");
  --t.requests;
}

void FairShare::charge(Tenant tenant, uint64_t service) { tenants_[tenant].served += service; }

}  // namespace ferrum
