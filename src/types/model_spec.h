// What a checkpoint says its network is, independent of the file format it came from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "types/moe_spec.h"

namespace ferrum {

// How rotary embedding pairs the elements of a head of size d.
enum class RopeLayout {
  kInterleaved,  // (0,1), (2,3), ...: GGUF files of the Llama architecture
  kHalfSplit,    // (0,d/2), (1,d/2+1), ...: GPT-NeoX, Qwen
};

// RMS norm of Q and K before they are rotated: over each head, or over all heads of a token together (OLMoE).
enum class QkNorm { kNone, kPerHead, kAllHeads };

struct RopeSpec {
  RopeLayout layout = RopeLayout::kInterleaved;
  int dim = 0;  // elements of each head that are rotated, from the first; even
  // Angle of pair i at position p: p * inv_freq[i]. Scaling (linear, Llama-3, rope_freqs) is already applied.
  std::vector<float> inv_freq;  // [dim / 2]
  float magnitude = 1.0f;       // factor on cos and sin (YaRN's attention factor)
};

// A decoder-only transformer of the Llama family, dense or with experts.
struct ModelSpec {
  std::string architecture;  // "llama", "qwen3moe", ...
  std::string name;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t ffn_size = 0;  // of the feed-forward that every token goes through; 0 = experts only
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;  // independent of hidden_size / num_heads (Qwen3)
  float norm_eps = 0.0f;
  int max_context = 0;     // positions the model was trained for
  int sliding_window = 0;  // tokens a position sees, itself included; 0 = all
  bool qkv_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  bool tied_head = false;  // the output projection is the embedding table
  std::optional<MoeSpec> moe;
  RopeSpec rope;
};

}  // namespace ferrum
