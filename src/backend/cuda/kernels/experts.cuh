#pragma once

#include "backend/cuda/kernels/experts.h"
#include "backend/cuda/kernels/math.cuh"

namespace ferrum::cuda::FERRUM_CUDA_TARGET {

// A place in the order by value, largest first; of equal values the lower index is first.
struct Pick {
  float value;
  int index;
};
FERRUM_DEVICE bool before(const Pick& a, const Pick& b) {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}
// Comes before everything, and after everything: no index is so low, or so high.
FERRUM_DEVICE Pick first_pick() { return {float_of(0x7f800000u), -1}; }
FERRUM_DEVICE Pick last_pick() { return {float_of(0xff800000u), 1 << 30}; }

// The first of all lanes' picks, in every lane.
FERRUM_DEVICE Pick first_of_warp(Pick pick) {
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const Pick other{__shfl_xor_sync(0xffffffffu, pick.value, lanes), __shfl_xor_sync(0xffffffffu, pick.index, lanes)};
    if (before(other, pick)) pick = other;
  }
  return pick;
}

// One token, as moe/router.h defines it and moe/router.cc computes it, by a warp. Scores are in double, as there; what
// experts are compared by lies in shared memory.
struct WarpRouter {
  const ExpertRouteArgs& a;
  const float* logits;
  Shared<float> values, groups;
  int lane;
  double largest, sum;

  FERRUM_DEVICE int experts() const { return a.spec.num_experts; }
  FERRUM_DEVICE int group_size() const { return a.spec.num_experts / a.spec.groups; }
  FERRUM_DEVICE bool compares_logits() const {
    return a.bias == nullptr && (a.spec.groups == 1 || a.spec.group_experts == 1);
  }

  // Whether all logits are numbers below infinity, one of them above -infinity, and all biases are numbers.
  FERRUM_DEVICE bool usable() {
    float most = float_of(0xff800000u);
    bool fault = false;
    for (int e = lane; e < experts(); e += 32) {
      fault = fault || !(logits[e] <= 3.4028234663852886e38f);
      if (a.bias != nullptr) fault = fault || !(fabsf(a.bias[e]) <= 3.4028234663852886e38f);
      most = fmaxf(most, logits[e]);
    }
    most = warp_max(most);
    largest = static_cast<double>(most);
    return __ballot_sync(0xffffffffu, fault) == 0 && most >= -3.4028234663852886e38f;
  }

  FERRUM_DEVICE double exponential(int e) const { return exp(static_cast<double>(logits[e]) - largest); }
  FERRUM_DEVICE double score(int e) const {
    if (a.spec.score == RouterScore::kSigmoid) return 1.0 / (1.0 + exp(-static_cast<double>(logits[e])));
    return exponential(e) / sum;
  }

  FERRUM_DEVICE void prepare() {
    sum = 1;
    // Normalised weights do not depend on what all the others sum to.
    if (a.spec.score == RouterScore::kSoftmax && !(a.spec.normalize && compares_logits())) {
      sum = 0;
      for (int e = lane; e < experts(); e += 32) sum += exponential(e);
      sum = warp_sum(sum);
    }
    for (int e = lane; e < experts(); e += 32) {
      values[e] = compares_logits() ? logits[e] : static_cast<float>(score(e)) + (a.bias != nullptr ? a.bias[e] : 0.0f);
    }
    __syncwarp();
    if (a.spec.groups == 1) return;
    for (int group = lane; group < a.spec.groups; group += 32) groups[group] = group_value(group);
    __syncwarp();
  }

  // Sum of the group's best, in descending order.
  FERRUM_DEVICE float group_value(int group) const {
    float worth = 0;
    Pick last = first_pick();
    for (int i = 0; i < a.spec.group_experts; ++i) {
      Pick best = last_pick();
      for (int e = group * group_size(); e < (group + 1) * group_size(); ++e) {
        const Pick candidate{values[e], e};
        if (before(last, candidate) && before(candidate, best)) best = candidate;
      }
      worth += best.value;
      last = best;
    }
    return worth;
  }

  // The last of the groups that experts are chosen from.
  FERRUM_DEVICE Pick last_group() const {
    Pick last = first_pick();
    for (int i = 0; i < a.spec.top_groups; ++i) {
      Pick best = last_pick();
      for (int group = lane; group < a.spec.groups; group += 32) {
        const Pick candidate{groups[group], group};
        if (before(last, candidate) && before(candidate, best)) best = candidate;
      }
      last = first_of_warp(best);
    }
    return last;
  }

  FERRUM_DEVICE bool in_chosen_group(int e, const Pick& last) const {
    if (a.spec.groups == 1) return true;
    const int group = e / group_size();
    return !before(last, Pick{groups[group], group});
  }

  // ids, and the sum of the scores.
  FERRUM_DEVICE double choose(int32_t* ids) const {
    const Pick group = a.spec.groups == 1 ? first_pick() : last_group();
    Pick last = first_pick();
    double total = 0;
    for (int k = 0; k < a.spec.top_k; ++k) {
      Pick best = last_pick();
      for (int e = lane; e < experts(); e += 32) {
        const Pick candidate{values[e], e};
        if (in_chosen_group(e, group) && before(last, candidate) && before(candidate, best)) best = candidate;
      }
      last = first_of_warp(best);
      total += score(last.index);
      if (lane == 0) ids[k] = last.index;
    }
    __syncwarp();
    return total;
  }
};

FERRUM_KERNEL(32 * kRouteWarps) void route(const ExpertRouteArgs a) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t token = int64_t{blockIdx.x} * kRouteWarps + warp;
  if (token >= a.tokens) return;
  const int experts = a.spec.num_experts, of_warp = experts + a.spec.groups;
  const Shared<float> values = shared_memory<float>(0, static_cast<uint32_t>(kRouteWarps * of_warp)) + warp * of_warp;
  WarpRouter router{a, a.logits.data + token * a.logits.stride, values, values + experts, lane, 0, 1};
  int32_t* ids = a.ids + token * a.ids_stride;
  float* weights = a.weights.data + token * a.weights.stride;
  if (a.shared != nullptr && lane == 0) {
    a.shared[token] = static_cast<float>(1.0 / (1.0 + exp(-static_cast<double>(router.logits[experts]))));
  }
  if (!router.usable()) {
    for (int k = lane; k < a.spec.top_k; k += 32) {
      ids[k] = k;
      weights[k] = float_of(0x7fc00000u);
    }
    if (lane == 0) atomic_add(a.load + experts, 1);
    return;
  }
  router.prepare();
  const double total = router.choose(ids);
  const double divisor = a.spec.normalize && total > 0 ? total : 1.0;
  for (int k = lane; k < a.spec.top_k; k += 32) {
    weights[k] = static_cast<float>(router.score(ids[k]) / divisor * static_cast<double>(a.spec.scale));
    atomic_add(a.load + ids[k], 1);
  }
}

FERRUM_DEVICE int expert_of_warp() {
  return static_cast<int>(blockIdx.x) * kPlanWarps + static_cast<int>(threadIdx.x) / 32;
}

// Whether this lane's pair of 32 goes to the expert, of all lanes.
FERRUM_DEVICE uint32_t pairs_of(const ExpertPlanArgs& a, int expert, int64_t first, int lane) {
  const int64_t pair = first + lane;
  return __ballot_sync(0xffffffffu, pair < a.pairs && a.ids[pair] == expert);
}

FERRUM_KERNEL(32 * kPlanWarps) void count_rows(const ExpertPlanArgs a) {
  const int expert = expert_of_warp(), lane = static_cast<int>(threadIdx.x) % 32;
  if (expert >= a.experts) return;
  int32_t rows = 0;
  for (int64_t first = 0; first < a.pairs; first += 32) rows += __popc(pairs_of(a, expert, first, lane));
  if (lane == 0) a.plan.counts[expert] = rows;
}

FERRUM_KERNEL(32 * kPlanWarps) void place_rows(const ExpertPlanArgs a) {
  const int expert = expert_of_warp(), lane = static_cast<int>(threadIdx.x) % 32;
  if (expert >= a.experts) return;
  int32_t begin = 0, tile = 0;  // of this expert's
  for (int e = lane; e < expert; e += 32) {
    begin += a.plan.counts[e];
    tile += (a.plan.counts[e] + a.tile_rows - 1) / a.tile_rows;
  }
  begin = warp_sum(begin);
  tile = warp_sum(tile);
  const int32_t end = begin + a.plan.counts[expert];
  const int32_t tiles = (end - begin + a.tile_rows - 1) / a.tile_rows;
  for (int32_t i = lane; i < tiles; i += 32) {
    const int32_t first = begin + i * a.tile_rows;
    a.plan.tiles[tile + i] = {expert, first, first + a.tile_rows < end ? first + a.tile_rows : end};
  }
  if (expert + 1 == a.experts && lane == 0) *a.plan.num_tiles = tile + tiles;
  int32_t row = begin;
  for (int64_t first = 0; first < a.pairs; first += 32) {
    const uint32_t mine = pairs_of(a, expert, first, lane);
    if ((mine >> lane & 1) != 0) {
      const int32_t at = row + __popc(mine & ((1u << lane) - 1));
      a.plan.token_of_row[at] = static_cast<int32_t>((first + lane) / a.top_k);
      a.plan.row_of_pair[first + lane] = at;
    }
    row += __popc(mine);
  }
}

FERRUM_KERNEL(kRowThreads) void combine(const CombineArgs a) {
  const int64_t token = blockIdx.x, i = int64_t{blockIdx.y} * kRowThreads + threadIdx.x;
  const auto count = static_cast<uint32_t>(a.top_k);
  const Shared<int32_t> rows = shared_memory<int32_t>(0, count);
  const Shared<float> weights = shared_memory<float>(count * sizeof(int32_t), count);
  const int32_t* row_of = a.row_of_pair + token * a.top_k;
  for (int k = static_cast<int>(threadIdx.x); k < a.top_k; k += kRowThreads) {
    int rank = 0;
    for (int other = 0; other < a.top_k; ++other) rank += row_of[other] < row_of[k] ? 1 : 0;
    rows[rank] = row_of[k];
    weights[rank] = a.weights[token * a.top_k + k];
  }
  __syncthreads();
  if (i >= a.columns) return;
  float sum = 0;
  for (int k = 0; k < a.top_k; ++k) {
    sum = fmaf(weights[k], a.results.data[int64_t{rows[k]} * a.results.stride + i], sum);
  }
  a.y.data[token * a.y.stride + i] = sum;
}

inline const ExpertKernels& expert_kernels() {
  static const ExpertKernels kernels{
      {"route", route}, {"count_rows", count_rows}, {"place_rows", place_rows}, {"combine", combine}};
  return kernels;
}

}  // namespace ferrum::cuda::FERRUM_CUDA_TARGET
