// Results of load runs as a drawing (SVG 1.1): throughput and latencies by load, one colour per result.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/status.h"

namespace ferrum {

struct PlotPoint {
  std::string load;
  double rate = 0, rate_interval = 0;                           // output tokens per second
  double ttft_p50 = 0, ttft_p99 = 0, itl_p50 = 0, itl_p99 = 0;  // seconds
  double e2e_p50 = 0, e2e_p99 = 0;
};

struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;
};

// Of a document that --json wrote; kCorrupt for anything else.
Result<PlotSeries> plot_series(const nlohmann::ordered_json& document);

// One to eight series.
std::string draw_plot(const std::vector<PlotSeries>& series, const std::string& title);

}  // namespace ferrum
