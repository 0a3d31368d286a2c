// Model files with random weights, of any shape and type: for measuring memory and speed and for tests, where what
// the model says does not matter.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ferrum {

struct RandomModel {
  std::string architecture = "llama";  // llama, qwen2, qwen3 or, with experts, qwen3moe
  std::string name = "random";
  int64_t hidden = 256, ffn = 512, vocab = 512, merges = 256;
  int layers = 2, heads = 4, kv_heads = 2, head_dim = 64;
  int experts = 0, experts_used = 0;  // ffn is an expert's width
  int context = 2048;
  float norm_eps = 1e-5f, rope_base = 10000.0f;
  bool rope_factors = false;      // a rope_freqs tensor, as Llama 3.2 has
  bool tied = true;               // the embedding is the output matrix
  std::string pre = "llama-bpe";  // pre-tokenizer
  std::string type = "Q8_0";      // a type of weights, or the mix Q4_K_M
  uint64_t seed = 1;
};

// "qwen3-0.6b", "llama-3.2-1b", "qwen3-30b-a3b", "tiny", "tiny-moe": shapes of published models (config.json of
// Qwen/Qwen3-0.6B, meta-llama/Llama-3.2-1B and Qwen/Qwen3-30B-A3B) and small ones. kInvalidArgument for others, with
// the list.
Result<RandomModel> random_model_shape(std::string_view name);
std::vector<std::string_view> random_model_shapes();

// Writes the file. kInvalidArgument for sizes that make no model. `progress` gets the fraction done.
Status write_random_model(const RandomModel& model, const std::string& path,
                          const std::function<void(double fraction, const std::string& what)>& progress = {});

}  // namespace ferrum
