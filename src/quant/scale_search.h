// Choosing the scale (and offset) of a group so that the weighted squared error of rounding is small. Used by the
// quantisers only; plain loops, deterministic.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace ferrum {

// Below this magnitude a group is zero to every half-precision scale.
inline constexpr float kZeroGroup = 1e-15f;

inline float square(float x) { return x * x; }

// The element of largest magnitude, with its sign; the first of equals.
inline float signed_extreme(std::span<const float> x) {
  float extreme = 0.0f;
  for (float v : x) {
    if (std::fabs(v) > std::fabs(extreme)) extreme = v;
  }
  return extreme;
}

// How much an error at each element counts: large weights matter more, small ones still count (k-quants are tuned
// this way; rms + |x| is a compromise between plain and relative error).
template <size_t N>
std::array<float, N> error_weights(std::span<const float, N> x) {
  float sum = 0.0f;
  for (float v : x) sum += v * v;
  const float rms = std::sqrt(sum / static_cast<float>(N));
  std::array<float, N> weights;
  for (size_t i = 0; i < N; ++i) weights[i] = rms + std::fabs(x[i]);
  return weights;
}

// The scale s for which s * level(x / s) is closest to x. `nearest` maps a real number to the nearest level of the grid
// (as a float), `lowest` is the grid's level of largest magnitude. Around the scale that puts x's extreme on that
// level, tries 19 grids a little finer and coarser; for each the assignment is fixed and the best scale has a closed
// form (least squares). 0 if x is (nearly) zero.
template <size_t N, typename Nearest>
float search_scale(std::span<const float, N> x, float lowest, float gap, const Nearest& nearest) {
  const float extreme = signed_extreme(x);
  if (std::fabs(extreme) < kZeroGroup) return 0.0f;
  const auto weights = error_weights(x);
  float best_scale = 0.0f, best_gain = 0.0f;
  for (int step = -9; step <= 9; ++step) {
    const float inverse = (lowest + 0.1f * gap * static_cast<float>(step)) / extreme;
    float xl = 0.0f, ll = 0.0f;
    for (size_t i = 0; i < N; ++i) {
      const float level = nearest(x[i] * inverse);
      xl += weights[i] * x[i] * level;
      ll += weights[i] * level * level;
    }
    // With the best scale xl / ll the error is sum(w x^2) - xl^2 / ll.
    if (ll > 0.0f && xl * xl > best_gain * ll) {
      best_scale = xl / ll;
      best_gain = best_scale * xl;
    }
  }
  return best_scale;
}

// x ~ scale * q - min, q in [0, levels], scale >= 0, min >= 0.
struct ScaleMin {
  float scale = 0.0f;
  float min = 0.0f;
};

// Weighted squared error of x against scale * q - min for the assignment q.
template <size_t N>
float affine_error(std::span<const float, N> x, const std::array<float, N>& weights, const std::array<float, N>& q,
                   const ScaleMin& fit) {
  float error = 0.0f;
  for (size_t i = 0; i < N; ++i) error += weights[i] * square(fit.scale * q[i] - fit.min - x[i]);
  return error;
}

// Least squares for a fixed assignment, with the minimum held at or below zero; negative scale if there is no solution.
template <size_t N>
ScaleMin solve_affine(std::span<const float, N> x, const std::array<float, N>& weights, const std::array<float, N>& q) {
  float w = 0.0f, wx = 0.0f, wq = 0.0f, wqq = 0.0f, wxq = 0.0f;
  for (size_t i = 0; i < N; ++i) {
    w += weights[i];
    wx += weights[i] * x[i];
    wq += weights[i] * q[i];
    wqq += weights[i] * q[i] * q[i];
    wxq += weights[i] * x[i] * q[i];
  }
  const float determinant = w * wqq - wq * wq;
  if (determinant > 0.0f) {
    const ScaleMin fit{(w * wxq - wx * wq) / determinant, (wq * wxq - wqq * wx) / determinant};
    if (fit.min >= 0.0f) return fit;
  }
  return wqq > 0.0f ? ScaleMin{wxq / wqq, 0.0f} : ScaleMin{-1.0f, 0.0f};
}

// The best of 19 grids around the one that spans x exactly; each is refined by least squares.
template <size_t N>
ScaleMin search_affine(std::span<const float, N> x, int levels) {
  const float low = std::min(0.0f, *std::min_element(x.begin(), x.end()));
  const float high = *std::max_element(x.begin(), x.end());
  if (high - low < kZeroGroup) return {0.0f, -low};
  const auto weights = error_weights(x);
  const float top = static_cast<float>(levels);
  ScaleMin best{(high - low) / top, -low};
  float best_error = -1.0f;
  for (int step = -9; step <= 9; ++step) {
    const float inverse = (top + top * static_cast<float>(step) / 60.0f) / (high - low);
    std::array<float, N> q;
    for (size_t i = 0; i < N; ++i) q[i] = std::clamp(std::nearbyint((x[i] - low) * inverse), 0.0f, top);
    ScaleMin fit = solve_affine(x, weights, q);
    if (!(fit.scale >= 0.0f)) continue;
    const float error = affine_error(x, weights, q, fit);
    if (best_error < 0.0f || error < best_error) {
      best = fit;
      best_error = error;
    }
  }
  return best;
}

}  // namespace ferrum
