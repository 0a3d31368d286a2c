// Which experts a token goes through and with what weight: the definition that every backend follows.
//
// An expert's score is what its logit becomes (RouterScore) plus its bias, if there are any. The top_k experts with the
// largest scores are chosen; of equal ones the lower index, of equal groups the lower. They stand in descending order.
// Weights are scores without the bias. Where only the order of the softmax matters, the logits are compared themselves:
// rounding must not make ties of what differs.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "types/moe_spec.h"

namespace ferrum {

// Whether tokens can be routed like that; the message says which number is wrong.
Status validate_router(const RouterSpec& spec);

struct RoutedToken {
  std::span<int32_t> ids;    // [top_k]
  std::span<float> weights;  // [top_k]
};

// One token. logits: [num_experts]; bias: [num_experts] or empty; the spec must be valid. Allocates nothing.
// false: the logits hold NaN or +infinity, or nothing above -infinity, or a bias is not a number. Experts 0, 1, ...
// then get the weight NaN, so that the token's result shows it and no other's does.
bool route_token(const RouterSpec& spec, std::span<const float> logits, std::span<const float> bias,
                 const RoutedToken& out);

// Weight of a gated shared expert.
float shared_expert_weight(float logit);

}  // namespace ferrum
