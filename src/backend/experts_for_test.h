// Random experts and routings for the tests of backends.
#pragma once

#include <array>
#include <numeric>

#include "backend/test_support.h"

namespace ferrum::testing_support {

// E random experts that own their weights; types of gate, up and down.
struct RandomExperts {
  RandomExperts(Random& random, int count, int64_t hidden, int64_t ffn, std::array<DType, 3> types) {
    for (int e = 0; e < count; ++e) {
      gate.push_back(random_stored(random, types[0], ffn, hidden));
      up.push_back(random_stored(random, types[1], ffn, hidden));
      down.push_back(random_stored(random, types[2], hidden, ffn));
    }
  }
  ExpertsSpec spec(int top_k) const {
    ExpertsSpec s;
    s.top_k = top_k;
    for (size_t e = 0; e < gate.size(); ++e) {
      s.experts.push_back({{.name = "gate", .matrix = gate[e].view(), .bias = {}},
                           {.name = "up", .matrix = up[e].view(), .bias = {}},
                           {.name = "down", .matrix = down[e].view(), .bias = {}}});
    }
    return s;
  }
  std::vector<Stored> gate, up, down;
};

struct RandomRouting {
  // Distinct experts per token, from the first `used` of them.
  RandomRouting(Random& random, int64_t tokens, int used, int top_k) : tokens_(tokens), top_k_(top_k) {
    std::vector<int32_t> all(static_cast<size_t>(used));
    std::iota(all.begin(), all.end(), 0);
    for (int64_t t = 0; t < tokens; ++t) {
      std::shuffle(all.begin(), all.end(), random);
      ids.insert(ids.end(), all.begin(), all.begin() + top_k);
    }
    weights = random_floats(random, tokens * top_k);
  }
  Routing from(int64_t token, int64_t count) {
    Routing r;
    r.ids = View(ids.data() + token * top_k_, DType::kI32, {count, top_k_});
    r.weights = View(weights.data() + token * top_k_, DType::kF32, {count, top_k_});
    return r;
  }
  Routing all() { return from(0, tokens_); }
  int64_t tokens_;
  int top_k_;
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

}  // namespace ferrum::testing_support
