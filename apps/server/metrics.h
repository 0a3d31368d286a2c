// Counters and histograms in the Prometheus text format (version 0.0.4), under the names that vLLM established, so that
// dashboards and inference routers that read vLLM read Ferrum.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>

#include "engine/engine.h"

namespace ferrum {

class Histogram {
 public:
  // bounds: ascending upper ends, without +Inf; must outlive the histogram.
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}
  void observe(double value);
  void append(std::string& out, const std::string& name, const std::string& labels) const;
  uint64_t count() const { return total_; }

 private:
  std::span<const double> bounds_;
  std::vector<uint64_t> counts_;  // per bucket, not cumulative
  uint64_t total_ = 0;
  double sum_ = 0;
};

// All methods may be called from any thread.
class Metrics {
 public:
  explicit Metrics(std::string model_name);

  void first_token(double seconds);                                        // since the request arrived
  void next_token(double seconds);                                         // since the one before
  void finished(FinishReason reason, const Usage& usage, double seconds);  // since it arrived
  void answered(int http_status);

  std::string render(const EngineStats& stats, const EngineOptions& options) const;

 private:
  std::string labels_;        // model_name="..."
  mutable std::mutex mutex_;  // protects everything below
  Histogram time_to_first_token_;
  Histogram inter_token_latency_;
  Histogram e2e_latency_;
  Histogram queue_time_;
  Histogram prefill_time_;
  Histogram decode_time_;
  std::map<std::string, uint64_t> finished_;  // by reason
  std::map<int, uint64_t> answers_;           // by HTTP status
};

}  // namespace ferrum
