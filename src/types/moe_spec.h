// A mixture of experts: which experts a token goes through, and how large they are (docs/moe.md).
#pragma once

#include <cstdint>

namespace ferrum {

// What the router's logits become before experts are compared: probabilities of all experts together, or of each.
enum class RouterScore { kSoftmax, kSigmoid };

inline constexpr int kMaxExperts = 1024;

struct RouterSpec {
  int num_experts = 0;  // 1 .. kMaxExperts
  int top_k = 0;        // experts per token, 1 .. num_experts
  RouterScore score = RouterScore::kSoftmax;
  bool normalize = false;  // the weights of a token's experts are divided by their sum
  float scale = 1.0f;      // then multiplied by this
  // Experts are chosen from the best `top_groups` of `groups` equal runs of neighbours. A run is worth the sum of its
  // best `group_experts` experts.
  int groups = 1, top_groups = 1, group_experts = 1;
};

struct MoeSpec {
  RouterSpec router;
  int64_t expert_ffn = 0;    // width of an expert's hidden layer
  int64_t shared_ffn = 0;    // of the expert that every token goes through; 0 = none
  bool shared_gate = false;  // its output is multiplied by the sigmoid of one more logit
};

}  // namespace ferrum
