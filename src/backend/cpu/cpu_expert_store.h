// Where the matrices of a layer's experts are: each where it is computed from, packed once when it is made; or, where
// not all have a place (BackendLimits::resident_experts), packed into a slot when a step needs it. docs/moe.md.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/cpu_matrix.h"
#include "moe/expert_slots.h"

namespace ferrum {

struct CpuExpert {
  CpuMatrix gate, up, down;
};

class CpuExpertStore {
 public:
  // spec is valid; its matrices and the context outlive the store. kCapacity without memory for what is packed,
  // kInvalidArgument when the slots are fewer than the experts of a token.
  static Result<std::unique_ptr<CpuExpertStore>> create(CpuContext& context, ExpertsSpec spec);

  // Bytes of a slot that any of these experts fits into.
  static int64_t slot_bytes(WeightLayout layout, const ExpertsSpec& spec);

  int64_t count() const { return static_cast<int64_t>(spec_.experts.size()); }
  // Of any expert: what all have in common (shape). Of those of the present round: with its weights.
  const CpuExpert& operator[](int32_t expert) const { return experts_[static_cast<size_t>(expert)]; }

  // The experts of a step, ascending; then, again and again, those which were in no round yet. Returns how many from
  // the beginning are the next round: they can be computed until the next call.
  void begin_step(std::span<const int32_t> active);
  size_t next_round(std::span<const int32_t> rest);

 private:
  CpuExpertStore(CpuContext& context, ExpertsSpec spec) : context_(context), spec_(std::move(spec)) {}
  Status pack_all();
  Status make_slots();
  CpuExpert pack(const ExpertWeights& weights, std::byte* to) const;
  bool is_there(int32_t expert) const;
  void load(const ExpertSlots::Load& load);
  void ask_ahead(std::span<const int32_t> rest);

  CpuContext& context_;
  const ExpertsSpec spec_;
  Buffer memory_;  // what is packed
  std::vector<CpuExpert> experts_;
  std::optional<ExpertSlots> slots_;  // none: all experts are where they stay
  std::vector<int32_t> held_;         // by slot: the expert whose weights are in it; -1: none
  int64_t slot_bytes_ = 0;
  bool types_differ_ = false;
  size_t not_asked_ = 0;  // the last so many experts of the step were not asked for yet
};

}  // namespace ferrum
