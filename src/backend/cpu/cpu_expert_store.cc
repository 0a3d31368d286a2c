#include "backend/cpu/cpu_expert_store.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/cpu/panels.h"
#include "base/file_pages.h"

namespace ferrum {
namespace {

// Of the file, asked for before it is needed: enough for a disk to be busy, little enough to be still there when a
// prompt that needs all experts comes to it.
constexpr int64_t kAheadBytes = int64_t{64} << 20;
constexpr int64_t kAlignment = 64;

constexpr std::array kRoles = {&ExpertWeights::gate, &ExpertWeights::up, &ExpertWeights::down};

// 0 where the matrix is used as it is stored.
int64_t packed_bytes(WeightLayout layout, const WeightRef& weight) {
  const ConstView& m = weight.matrix;
  if (layout != WeightLayout::kPanels || !has_panels(m.dtype)) return 0;
  const auto bytes = static_cast<int64_t>(panel_bytes(m.dtype, m.dim(0), m.dim(1)));
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

int64_t packed_bytes(WeightLayout layout, const ExpertWeights& expert) {
  int64_t bytes = 0;
  for (const auto role : kRoles) bytes += packed_bytes(layout, expert.*role);
  return bytes;
}

void for_mapped_bytes(const ExpertWeights& expert, void (*what)(const void*, size_t)) {
  for (const auto role : kRoles) {
    const WeightRef& weight = expert.*role;
    if (weight.mapped) what(weight.matrix.data, bytes_of(weight.matrix.dtype, weight.matrix.elements()));
  }
}

bool same_types(const ExpertWeights& a, const ExpertWeights& b) {
  return std::all_of(kRoles.begin(), kRoles.end(),
                     [&](auto role) { return (a.*role).matrix.dtype == (b.*role).matrix.dtype; });
}

}  // namespace

Result<std::unique_ptr<CpuExpertStore>> CpuExpertStore::create(CpuContext& context, ExpertsSpec spec) {
  std::unique_ptr<CpuExpertStore> store(new CpuExpertStore(context, std::move(spec)));
  const int places = context.limits.resident_experts;
  store->slot_bytes_ = slot_bytes(context.layout, store->spec_);
  const bool all = places == 0 || places >= store->count() || store->slot_bytes_ == 0;
  FERRUM_RETURN_IF_ERROR(all ? store->pack_all() : store->make_slots());
  return store;
}

int64_t CpuExpertStore::slot_bytes(WeightLayout layout, const ExpertsSpec& spec) {
  int64_t most = 0;
  for (const ExpertWeights& expert : spec.experts) most = std::max(most, packed_bytes(layout, expert));
  return most;
}

// In one piece of memory, the matrices of an expert side by side: a few huge pages instead of thousands of small
// allocations.
Status CpuExpertStore::pack_all() {
  int64_t total = 0;
  for (const ExpertWeights& expert : spec_.experts) total += packed_bytes(context_.layout, expert);
  if (total > 0) {
    FERRUM_ASSIGN_OR_RETURN(memory_, Buffer::host(static_cast<size_t>(total)));
  }
  auto* to = static_cast<std::byte*>(memory_.data());
  for (const ExpertWeights& expert : spec_.experts) {
    experts_.push_back(pack(expert, to));
    to += packed_bytes(context_.layout, expert);
  }
  return Status::ok();
}

Status CpuExpertStore::make_slots() {
  const int places = context_.limits.resident_experts;
  if (places < spec_.top_k) {
    return invalid_argument("memory for " + std::to_string(places) + " experts of a layer, and a token needs " +
                            std::to_string(spec_.top_k));
  }
  FERRUM_ASSIGN_OR_RETURN(memory_, Buffer::host(static_cast<size_t>(places * slot_bytes_)));
  slots_.emplace(static_cast<int>(count()), places);
  held_.resize(static_cast<size_t>(places), -1);
  context_.expert_cache.slots += places;
  for (const ExpertWeights& weights : spec_.experts) {
    types_differ_ |= !same_types(weights, spec_.experts[0]);
    for_mapped_bytes(weights, stop_guessing);
    experts_.push_back({CpuMatrix(context_, weights.gate, nullptr), CpuMatrix(context_, weights.up, nullptr),
                        CpuMatrix(context_, weights.down, nullptr)});
  }
  return Status::ok();
}

void CpuExpertStore::begin_step(std::span<const int32_t> active) {
  if (!slots_) return;
  slots_->begin_step(active);
  not_asked_ = active.size();
}

size_t CpuExpertStore::next_round(std::span<const int32_t> rest) {
  if (!slots_) return rest.size();
  const size_t count = slots_->next_round(rest);
  const std::span<const ExpertSlots::Load> loads = slots_->loads();
  context_.expert_cache.misses += static_cast<int64_t>(loads.size());
  context_.expert_cache.hits += static_cast<int64_t>(count - loads.size());
  for (const ExpertSlots::Load& one : loads) {
    while (rest.front() != one.expert) rest = rest.subspan(1);
    ask_ahead(rest);
    load(one);
  }
  return count;
}

bool CpuExpertStore::is_there(int32_t expert) const {
  const int slot = slots_->slot_of(expert);
  return slot >= 0 && held_[static_cast<size_t>(slot)] == expert;
}

// Asks for the missing ones among the first of `rest` that were not asked for yet.
void CpuExpertStore::ask_ahead(std::span<const int32_t> rest) {
  const auto ahead = static_cast<size_t>(1 + kAheadBytes / stored_bytes(spec_.experts[0]));
  const size_t end = std::min(rest.size(), ahead);
  for (size_t i = rest.size() - std::min(rest.size(), not_asked_); i < end; ++i) {
    not_asked_ = rest.size() - i - 1;
    if (is_there(rest[i])) continue;
    for_mapped_bytes(spec_.experts[static_cast<size_t>(rest[i])], read_ahead);
  }
}

void CpuExpertStore::load(const ExpertSlots::Load& load) {
  const ExpertWeights& weights = spec_.experts[static_cast<size_t>(load.expert)];
  auto* const to = static_cast<std::byte*>(memory_.data()) + load.slot * slot_bytes_;
  // Where memory is short, what was read ahead may be gone again. Asked for, it comes in large pieces; touched, page by
  // page.
  for_mapped_bytes(weights, read_ahead);
  // Rows and columns that fill a panel up must be zeros; where all are of one type, they lie where they lay before.
  if (types_differ_) std::memset(to, 0, static_cast<size_t>(slot_bytes_));
  experts_[static_cast<size_t>(load.expert)] = pack(weights, to);
  held_[static_cast<size_t>(load.slot)] = load.expert;
  context_.expert_cache.bytes_read += stored_bytes(weights);
}

CpuExpert CpuExpertStore::pack(const ExpertWeights& weights, std::byte* to) const {
  const auto pack_role = [&](const WeightRef& weight) {
    const int64_t bytes = packed_bytes(context_.layout, weight);
    std::byte* const place = bytes > 0 ? to : nullptr;
    if (bytes > 0) pack_panels_at(weight.matrix, weight.mapped, context_.pool, to);
    to += bytes;
    return CpuMatrix(context_, weight, place);
  };
  return {pack_role(weights.gate), pack_role(weights.up), pack_role(weights.down)};
}

}  // namespace ferrum
