// One step from host data to host logits: owns the device side of an engine (backend, model, KV cache, workspace).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "models/model.h"
#include "ops/backend.h"
#include "runner/step_output.h"
#include "types/batch.h"
#include "types/expert_load.h"

namespace ferrum {

struct RunnerOptions {
  int max_tokens = 512;          // tokens of a step; at most what the backend was made for
  int max_logits = 512;          // of which want logits, at most; <= max_tokens
  int num_blocks = 0;            // of the KV cache, > 0
  int block_size = 16;           // tokens per block
  DType kv_dtype = DType::kF16;  // one of ops/kv_dtype.h
};

// Used by one thread at a time.
class Runner {
 public:
  // kCapacity when the KV cache or the workspace cannot be had, kInvalidArgument for options out of range.
  static Result<std::unique_ptr<Runner>> create(std::unique_ptr<Backend> backend, std::unique_ptr<Model> model,
                                                const RunnerOptions& options);
  // Bytes that the KV cache of one block takes over all layers: what a memory budget is divided by.
  static int64_t kv_block_bytes(const ModelSpec& spec, int block_size, DType kv_dtype);

  // Computes one step. The batch must be well formed (asserted: it comes from the scheduler, not from a user).
  Result<StepOutput> run(const Batch& batch);

  // By layer; empty for a model without experts. From any thread, while steps run.
  std::vector<ExpertLoad> expert_load() const;
  // Why results of the last step may be NaN: the first router whose logits were, by layer and tensor; empty if none.
  const std::string& router_fault() const { return router_fault_; }
  // The KV of one block as block_bytes() bytes, layer by layer: K, V, their scales. Between steps.
  int64_t block_bytes() const { return kv_block_bytes(model_->spec(), options_.block_size, options_.kv_dtype); }
  // A failure is the device's, and leaves nothing that is of use at `to`, or in the block.
  [[nodiscard]] Status read_block(BlockId block, std::byte* to) const;
  [[nodiscard]] Status write_block(BlockId block, const std::byte* from);

  const Model& model() const { return *model_; }
  const Backend& backend() const { return *backend_; }
  const RunnerOptions& options() const { return options_; }

 private:
  Runner(std::unique_ptr<Backend> backend, std::unique_ptr<Model> model, const RunnerOptions& options)
      : options_(options), backend_(std::move(backend)), model_(std::move(model)) {}

  Status allocate_kv();
  Result<View> allocate_view(DType dtype, std::initializer_list<int64_t> dims);
  Result<KvLayer> allocate_layer();
  template <typename Visitor>  // visitor(bytes of this block in a view, how many) until it fails
  Status visit_block(BlockId block, const Visitor& visitor) const;
  Status copy_blocks(const std::vector<BlockCopy>& copies);
  void check(const Batch& batch) const;
  void check_row(const Batch& batch, size_t index) const;
  Status fetch_expert_load();
  void find_router_fault();

  RunnerOptions options_;
  std::unique_ptr<Backend> backend_;  // first of the device's things, so that it is destroyed last
  std::unique_ptr<Model> model_;
  std::vector<Buffer> kv_buffers_;  // of each layer K, V, their scales: one each, since each is used from its front
  KvCache kv_;
  Workspace workspace_;
  std::vector<float> hidden_;  // the last step's hidden states, if asked for
  // The workspace's expert_load after the last step: there, and for those who ask from other threads.
  std::vector<int64_t> fetched_load_, load_;
  std::vector<int64_t> faults_;  // by layer, until the last step: tokens without numbers
  std::string router_fault_;
};

}  // namespace ferrum
