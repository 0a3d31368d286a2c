// An engine over one of the tiny random models of tests/data/models, set up as a test wants it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "backend/registry.h"
#include "engine/engine_core.h"
#include "engine/fakes_for_test.h"
#include "engine/model_step_runner.h"
#include "engine/workload_for_test.h"
#include "io/gguf.h"
#include "models/registry.h"

namespace ferrum {

struct ModelDevice {
  std::string backend = "cpu", isa = "auto";
  int threads = 1;
  int resident_experts = 0;  // of a layer; 0 = all
};

inline std::string path_of_model(const std::string& model_name) {
  return std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/" + model_name + ".gguf";
}

// The rows of a model's embedding table, which is F32.
inline std::function<std::vector<float>(TokenId)> embedding_rows(const std::string& model_name) {
  const std::shared_ptr<const Gguf> file = Gguf::open(path_of_model(model_name)).value();
  return [file, table = file->find_tensor("token_embd.weight")->view](TokenId token) {
    const float* row = table.row<float>(token);
    return std::vector<float>(row, row + table.cols());
  };
}

// What is of the model is filled in: the vocabulary, the hidden size, the window, if `options` has one, and what its
// saved KV is of. It drafts for itself.
inline std::unique_ptr<EngineCore> model_core(const std::string& model_name, const ModelDevice& device,
                                              CoreOptions options, DType kv_dtype, int swap_blocks = 0) {
  const int max_tokens = options.scheduler.max_batched_tokens;
  auto file = Gguf::open(path_of_model(model_name));
  if (!file.is_ok()) ADD_FAILURE() << file.status().message();
  ModelSpec spec;
  const auto runner = [&](int tokens, int logits) {
    auto backend = make_backend({device.backend,
                                 device.isa,
                                 device.threads,
                                 {.max_tokens = tokens, .resident_experts = device.resident_experts}});
    if (!backend.is_ok()) ADD_FAILURE() << backend.status().message();
    auto model = load_model(*file, **backend, {});
    if (!model.is_ok()) ADD_FAILURE() << model.status().message();
    spec = (*model)->spec();
    auto made = Runner::create(std::move(*backend), std::move(*model),
                               {tokens, std::min(logits, tokens), options.num_blocks, options.block_size, kv_dtype});
    if (!made.is_ok()) ADD_FAILURE() << made.status().message();
    return std::make_unique<ModelStepRunner>(std::move(*made));
  };
  auto target = runner(max_tokens, options.scheduler.max_logits);
  options.requests.vocab_size = spec.vocab_size;
  options.requests.hidden_size = spec.hidden_size;
  options.requests.has_draft_model = true;
  options.kv = {.model = model_fingerprint(**file),
                .arithmetic = device.backend + "/1",
                .dtype = kv_dtype,
                .block_size = options.block_size,
                .layers = spec.num_layers,
                .kv_heads = spec.num_kv_heads,
                .head_dim = spec.head_dim,
                .window = spec.sliding_window,
                .block_bytes = Runner::kv_block_bytes(spec, options.block_size, kv_dtype),
                .vocab_size = spec.vocab_size};
  if (swap_blocks > 0) {
    options.swap = *SwapSpace::create(swap_blocks * options.kv.block_bytes, options.kv.block_bytes, options.block_size,
                                      SwapPolicy::kAlways);
  }
  if (options.window > 0) options.window = spec.sliding_window;
  const DraftModelLimits limits = draft_limits(options, spec.sliding_window);
  auto draft = std::make_unique<DraftModel>(limits, runner(limits.max_tokens, options.scheduler.max_seqs));
  return std::make_unique<EngineCore>(options, std::move(target), std::make_shared<FakeTokenizer>(), nullptr,
                                      std::move(draft));
}

}  // namespace ferrum
