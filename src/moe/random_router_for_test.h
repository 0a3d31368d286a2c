// Random routers for the tests of all that routes.
#pragma once

#include "types/moe_spec.h"

namespace ferrum::testing_support {

// One of `groups` groups of `group_size` experts; all else is drawn by pick(n), which gives 0 .. n - 1.
template <typename Pick>
RouterSpec random_router(const Pick& pick, int groups, int group_size) {
  RouterSpec s;
  s.groups = groups;
  s.num_experts = groups * group_size;
  s.top_groups = 1 + pick(groups);
  s.top_k = 1 + pick(s.top_groups * group_size);
  s.group_experts = 1 + pick(group_size);
  s.score = pick(2) == 0 ? RouterScore::kSoftmax : RouterScore::kSigmoid;
  s.normalize = pick(2) == 0;
  s.scale = pick(2) == 0 ? 1.0f : 2.5f;
  return s;
}

}  // namespace ferrum::testing_support
