// A network: constant after construction, computes one step for any mix of rows.
#pragma once

#include <memory>

#include "ops/backend.h"
#include "types/model_spec.h"

namespace ferrum {

// Activation memory of a forward pass, allocated once for the largest step and reused by every step.
struct Workspace {
  Buffer buffer;
  int max_tokens = 0;
  int max_logits = 0;
};

enum class HiddenStates { kNone, kPreNorm, kPostNorm };

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelSpec& spec() const = 0;
  // Activations for steps of up to max_tokens tokens of which up to max_logits want logits.
  virtual Result<Workspace> make_workspace(Backend& backend, int max_tokens, int max_logits) const = 0;
  // One step: stores K and V of every token in `kv`, returns logits f32 [batch.num_logits, vocab] inside the workspace
  // (device memory, valid until the next step).
  virtual View forward(Ops& ops, const DeviceBatch& batch, const KvCache& kv, Workspace& workspace) const = 0;
};

}  // namespace ferrum
