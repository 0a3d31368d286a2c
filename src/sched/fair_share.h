// Who of several tenants was served least: a counter of service per tenant, in weighted tokens.
//
// Virtual Token Counter: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024. Between any two tenants
// that always have requests waiting, the service differs by no more than a constant, however much each asks for. A
// tenant that comes back does not collect for the time it was away: its counter is lifted to the least of those that
// wait.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ferrum {

class FairShare {
 public:
  // The paper's weights, after what providers charge: reading a token is cheaper than generating one.
  static constexpr uint64_t kInputWeight = 1, kOutputWeight = 2;

  // A tenant's place, which is valid while requests of the tenant are in the engine.
  using Tenant = size_t;

  Tenant enter(std::string_view name);  // a request arrives, and waits
  void leave(Tenant tenant);            // a request that does not wait has left the engine
  void start(Tenant tenant);            // a request waits no longer
  void requeue(Tenant tenant);          // a request waits again, as after a preemption
  void charge(Tenant tenant, uint64_t service);

  uint64_t served(Tenant tenant) const { return tenants_[tenant].served; }
  int waiting(Tenant tenant) const { return tenants_[tenant].waiting; }

 private:
  struct Entry {
    std::string name;
    uint64_t served = 0;
    int waiting = 0, requests = 0;  // requests: in the engine, waiting ones included
  };
  Tenant find_or_add(std::string_view name);
  uint64_t lift() const;

  // Nothing is lost where an entry of nobody's is used again once its counter would be lifted anyway: the lift never
  // falls.
  std::vector<Entry> tenants_;
  Tenant last_ = 0;  // the last one to wait
};

}  // namespace ferrum
