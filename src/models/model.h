// A network: constant after construction, computes one step for any mix of rows.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/backend.h"
#include "types/model_spec.h"

namespace ferrum {

// Activation memory of a forward pass, allocated once for the largest step and reused by every step.
struct Workspace {
  Buffer buffer;
  std::vector<int32_t> row_indices;  // 0, 1, ... max_tokens - 1
  ConstView all_rows;                // row_indices on the device: gathering them is a copy
  // i64 [layers, experts + 1] since the start: tokens that chose an expert, and last those that the router had no
  // numbers for; rank 0 = no experts.
  View expert_load;
  int max_tokens = 0;
  int max_logits = 0;
};

// Views into the workspace (device memory, valid until the next step).
struct ForwardResult {
  View logits;  // f32 [batch.num_logits, vocab]
  View hidden;  // f32 [batch.num_tokens, hidden], of which the wanted rows count; rank 0 unless some are wanted
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelSpec& spec() const = 0;
  // Activations for steps of up to max_tokens tokens of which up to max_logits (<= max_tokens) want logits.
  virtual Result<Workspace> make_workspace(Backend& backend, int max_tokens, int max_logits) const = 0;
  // One step: stores K and V of every token in `kv`, computes the logits of batch.logit_rows and the states of
  // batch.hidden. Token ids, positions and slots are in range: the caller's promise.
  virtual ForwardResult forward(Ops& ops, const DeviceBatch& batch, const KvCache& kv, Workspace& workspace) const = 0;
};

}  // namespace ferrum
