// How many experts of each layer have a place in memory, and what the others cost: docs/moe.md, "Bigger than memory".
#pragma once

#include <cstdint>

#include "backend/registry.h"
#include "engine/engine.h"
#include "models/weights.h"

namespace ferrum {

struct ExpertResidency {
  int experts = 0;          // of a layer; 0 = the model has none
  int places = 0;           // of a layer, as BackendLimits::resident_experts: 0 = all have one
  int64_t cache_bytes = 0;  // memory of the places of all layers; 0 where all have one
  int64_t token_bytes = 0;  // as stored: of the experts that a token goes through, all layers

  // Of the experts that steps need, if all are used alike.
  double hit_share() const { return places == 0 ? 1 : static_cast<double>(places) / experts; }
};

// As many places as fit the budget (0 = all experts have one). kInvalidArgument where it does not hold the experts of
// one token, with what would.
Result<ExpertResidency> expert_residency(const DecoderWeights& weights, const BackendConfig& config, int64_t budget);

// Seconds of this machine for the experts of one token in one layer: with all of them in memory, and with all to be
// read from the disk. Computes experts of the middle layer with as many places as a token needs, on pages of their
// tensors that the system was asked to forget; some tenths of a second.
struct ExpertSeconds {
  double hit = 0, miss = 0;
};
Result<ExpertSeconds> measure_expert_seconds(const Gguf& file, const EngineOptions& options);

}  // namespace ferrum
