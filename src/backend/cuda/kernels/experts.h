// A mixture of experts: which of them a token goes through, which rows they compute, and what a token's results add up
// to. A pair is a token and one of its experts, number token * top_k + k. A row is a pair's place among all, sorted by
// expert, then by pair: experts have runs of rows, which linear.h multiplies in tiles.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cuda/kernels/linear.h"
#include "types/moe_spec.h"

namespace ferrum::cuda {

struct ExpertRouteArgs {
  RouterSpec spec;
  ConstRows logits;
  const float* bias;  // [experts]; null = none
  int32_t* ids;
  int64_t ids_stride;
  Rows weights;
  float* shared;  // [tokens]: the sigmoid of the logit behind the experts'; null = none
  int64_t* load;  // [experts + 1]
  int64_t tokens;
};

struct ExpertPlan {
  int32_t* counts = nullptr;        // [experts]: rows of each
  int32_t* token_of_row = nullptr;  // [pairs]
  int32_t* row_of_pair = nullptr;   // [pairs]
  ExpertTile* tiles = nullptr;      // in order of rows
  int32_t* num_tiles = nullptr;     // one number
};

struct ExpertPlanArgs {
  const int32_t* ids;  // [pairs]
  int64_t pairs;
  int experts, top_k, tile_rows;
  ExpertPlan plan;
};

// y[token] = sum over its rows, ascending: weight * results[row]
struct CombineArgs {
  ConstRows results;
  const int32_t* row_of_pair;
  const float* weights;  // [pairs]
  int top_k;
  Rows y;
  int64_t columns;
};

inline constexpr int kRouteWarps = 4;  // of a block, a token each
inline constexpr int kPlanWarps = 8;   // of a block, an expert each

inline LaunchShape route_shape(const ExpertRouteArgs& a) {
  // What experts are compared by, and groups.
  const auto values = static_cast<uint32_t>(a.spec.num_experts + a.spec.groups);
  return {{static_cast<uint32_t>(ceil_div(a.tokens, kRouteWarps))},
          {32 * kRouteWarps},
          kRouteWarps * values * static_cast<uint32_t>(sizeof(float))};
}
inline LaunchShape plan_shape(const ExpertPlanArgs& a) {
  if (a.pairs == 0) return {{0}, {32 * kPlanWarps}};
  return {{static_cast<uint32_t>(ceil_div(a.experts, kPlanWarps))}, {32 * kPlanWarps}};
}
inline LaunchShape combine_shape(int64_t tokens, const CombineArgs& a) {
  LaunchShape shape = elements_shape(tokens, a.columns);
  shape.shared_bytes = static_cast<uint32_t>(a.top_k) * static_cast<uint32_t>(sizeof(int32_t) + sizeof(float));
  return shape;
}

// Tiles that there can be, whatever the routing: each expert with rows has one that is not full.
inline int64_t most_tiles(int64_t pairs, int64_t experts, int64_t tile_rows) {
  return (pairs + std::min(pairs, experts) * (tile_rows - 1)) / tile_rows;
}

struct ExpertKernels {
  Kernel<ExpertRouteArgs> route;
  Kernel<ExpertPlanArgs> count, place;  // in this order
  Kernel<CombineArgs> combine;
};

}  // namespace ferrum::cuda
