// Cases of Ops::norm_rope_store() for the tests of every backend.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/test_support.h"

namespace ferrum::testing_support {

struct QkvCase {
  RopeLayout layout;
  int heads, kv_heads, head_dim, rope_dim;
  bool norm;
  DType dtype;  // of the cache
};

// Q rotated in place, and the values that K and V have in the cache, which is otherwise untouched.
struct QkvResult {
  std::vector<float> q, k, v;

  float largest() const {  // of what was rotated
    float most = 0;
    for (const auto* values : {&q, &k}) {
      for (float x : *values) most = std::max(most, std::abs(x));
    }
    return most;
  }
};

// Seven tokens on their way into five blocks of 16.
struct QkvInput {
  QkvInput(Random& random, const QkvCase& c)
      : qkv(Matrix::random(random, 7, int64_t{c.heads + 2 * c.kv_heads} * c.head_dim, 9)), cos_sin(7, c.rope_dim) {
    q_norm = random_floats(random, c.head_dim);
    k_norm = random_floats(random, c.head_dim);
    for (int64_t t = 0; t < 7; ++t) {
      for (int i = 0; i < c.rope_dim / 2; ++i) {
        cos_sin.row(t)[i] = std::cos(0.37f * static_cast<float>(t * i + t));
        cos_sin.row(t)[c.rope_dim / 2 + i] = std::sin(0.37f * static_cast<float>(t * i + t));
      }
    }
  }

  Matrix qkv, cos_sin;
  std::vector<float> q_norm, k_norm;
  std::vector<int32_t> slots = {79, 0, 17, 3, 40, 16, 15};
};

// All but norms, angles, cache and slots. qkv: q, k and v side by side, in the backend's memory.
inline QkvArgs qkv_args(const QkvCase& c, const View& qkv) {
  const int64_t q_width = int64_t{c.heads} * c.head_dim, kv_width = int64_t{c.kv_heads} * c.head_dim;
  QkvArgs args;
  args.q = qkv.columns(0, q_width);
  args.k = qkv.columns(q_width, kv_width);
  args.v = qkv.columns(q_width + kv_width, kv_width);
  args.norm_eps = 1e-6f;
  args.layout = c.layout;
  args.rope_dim = c.rope_dim;
  args.num_heads = c.heads;
  args.num_kv_heads = c.kv_heads;
  args.head_dim = c.head_dim;
  return args;
}

}  // namespace ferrum::testing_support
