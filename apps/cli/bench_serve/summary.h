// From records to the figures of a load level, and to JSON and a table.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "apps/cli/bench_serve/load.h"
#include "apps/cli/bench_serve/statistics.h"

namespace ferrum {

// Of one latency, in seconds: over the requests of all repeats, and how far repeats agree on the two ends.
struct LatencySummary {
  Distribution all;
  Estimate p50, p99;  // of each repeat's
};

std::string load_label(const LoadShape& shape);  // "16", "2.5/s"

struct LevelSummary {
  LoadShape shape;
  int repeats = 0;
  size_t requests = 0, failed = 0, wrong_counts = 0;
  std::map<std::string, size_t> errors;            // by message
  Estimate output_rate, total_rate, request_rate;  // tokens, tokens and requests per second
  LatencySummary ttft, tpot, itl, e2e;             // of the requests that were answered

  double error_rate() const { return requests == 0 ? 1 : static_cast<double>(failed) / static_cast<double>(requests); }
};

LevelSummary summarise_level(const LoadShape& shape, const std::vector<LoadResult>& repeats);

nlohmann::ordered_json level_json(const LevelSummary& level);
// A line per level; latencies in milliseconds.
std::string levels_table(const std::vector<LevelSummary>& levels);
// Messages of failures, the most frequent first; "" without any.
std::string failures_text(const std::vector<LevelSummary>& levels);

}  // namespace ferrum
