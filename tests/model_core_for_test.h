// An engine over one of the tiny random models of tests/data/models, set up as a test wants it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "backend/registry.h"
#include "engine/engine_core.h"
#include "engine/fakes_for_test.h"
#include "engine/model_step_runner.h"
#include "io/gguf.h"
#include "models/registry.h"

namespace ferrum {

struct ModelDevice {
  std::string backend = "cpu", isa = "auto";
  int threads = 1;
};

// What is of the model is filled in: the vocabulary, the window, if `options` has one, and what its saved KV is of.
inline std::unique_ptr<EngineCore> model_core(const std::string& model_name, const ModelDevice& device,
                                              CoreOptions options, DType kv_dtype, int swap_blocks = 0) {
  const std::string path = std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/" + model_name + ".gguf";
  const int max_tokens = options.scheduler.max_batched_tokens;
  auto file = Gguf::open(path);
  auto backend = make_backend({device.backend, device.isa, device.threads, {max_tokens}});
  if (!file.is_ok() || !backend.is_ok()) ADD_FAILURE() << file.status().message() << backend.status().message();
  auto model = load_model(*file, **backend, {});
  if (!model.is_ok()) ADD_FAILURE() << model.status().message();
  options.requests.vocab_size = (*model)->spec().vocab_size;
  options.kv = {.model = model_fingerprint(**file),
                .arithmetic = device.backend + "/1",
                .dtype = kv_dtype,
                .block_size = options.block_size,
                .layers = (*model)->spec().num_layers,
                .kv_heads = (*model)->spec().num_kv_heads,
                .head_dim = (*model)->spec().head_dim,
                .window = (*model)->spec().sliding_window,
                .block_bytes = Runner::kv_block_bytes((*model)->spec(), options.block_size, kv_dtype),
                .vocab_size = (*model)->spec().vocab_size};
  if (swap_blocks > 0) {
    options.swap = *SwapSpace::create(swap_blocks * options.kv.block_bytes, options.kv.block_bytes, options.block_size,
                                      SwapPolicy::kAlways);
  }
  if (options.window > 0) options.window = (*model)->spec().sliding_window;
  const int max_logits = std::min(options.scheduler.max_logits, max_tokens);
  auto runner = Runner::create(std::move(*backend), std::move(*model),
                               {max_tokens, max_logits, options.num_blocks, options.block_size, kv_dtype});
  if (!runner.is_ok()) ADD_FAILURE() << runner.status().message();
  return std::make_unique<EngineCore>(options, std::make_unique<ModelStepRunner>(std::move(*runner)),
                                      std::make_shared<FakeTokenizer>());
}

}  // namespace ferrum
