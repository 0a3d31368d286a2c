#include "apps/server/metrics.h"

#include <algorithm>
#include <cstdio>

#include "apps/server/engine_metrics.h"

namespace ferrum {
namespace {

constexpr double kTokenBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5};
constexpr double kRequestBounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};

std::string format(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.17g", value);
  // The shortest form that reads back to the same number.
  for (int digits = 1; digits < 17; ++digits) {
    char shorter[32];
    std::snprintf(shorter, sizeof(shorter), "%.*g", digits, value);
    if (std::strtod(shorter, nullptr) == value) return shorter;
  }
  return text;
}

// Label values escape backslash, quote and newline.
std::string escape(const std::string& value) {
  std::string result;
  for (const char c : value) {
    if (c == '\\' || c == '"') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else {
      result += c;
    }
  }
  return result;
}

void head(std::string& out, const std::string& name, const char* type, const char* help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ").append(type);
  out.append("\n");
}

void line(std::string& out, const std::string& name, const std::string& labels, double value) {
  out.append(name).append("{").append(labels).append("} ").append(format(value)).append("\n");
}

}  // namespace

void Histogram::observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++counts_[static_cast<size_t>(bucket)];
  ++total_;
  sum_ += value;
}

void Histogram::append(std::string& out, const std::string& name, const std::string& labels) const {
  uint64_t cumulative = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    cumulative += counts_[i];
    const std::string bound = i < bounds_.size() ? format(bounds_[i]) : "+Inf";
    line(out, name + "_bucket", labels + ",le=\"" + bound + "\"", static_cast<double>(cumulative));
  }
  line(out, name + "_sum", labels, sum_);
  line(out, name + "_count", labels, static_cast<double>(total_));
}

Metrics::Metrics(std::string model_name)
    : labels_("model_name=\"" + escape(model_name) + "\""),
      time_to_first_token_(kRequestBounds),
      inter_token_latency_(kTokenBounds),
      e2e_latency_(kRequestBounds),
      queue_time_(kRequestBounds),
      prefill_time_(kRequestBounds),
      decode_time_(kRequestBounds) {}

void Metrics::first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  time_to_first_token_.observe(seconds);
}

void Metrics::next_token(double seconds) {
  const std::lock_guard lock(mutex_);
  inter_token_latency_.observe(seconds);
}

void Metrics::finished(FinishReason reason, const Usage& usage, double seconds) {
  const std::lock_guard lock(mutex_);
  // vLLM calls a request whose client went away "abort".
  ++finished_[reason == FinishReason::kCancelled ? "abort" : to_string(reason)];
  e2e_latency_.observe(seconds);
  queue_time_.observe(usage.queued_seconds);
  prefill_time_.observe(usage.prefill_seconds);
  decode_time_.observe(usage.decode_seconds);
}

void Metrics::answered(int http_status) {
  const std::lock_guard lock(mutex_);
  ++answers_[http_status];
}

std::string Metrics::render(const EngineStats& stats, const EngineOptions& options) const {
  std::string out;
  const auto gauge = [&](const char* name, const char* help, double value) {
    head(out, name, "gauge", help);
    line(out, name, labels_, value);
  };
  const auto share = [](int64_t used, int64_t total) {
    return static_cast<double>(used) / static_cast<double>(std::max<int64_t>(1, total));
  };
  gauge("vllm:kv_cache_usage_perc", "Share of the KV blocks in use; 1 is all.",
        share(stats.kv_blocks_used, stats.kv_blocks_total));
  gauge("ferrum:kv_swap_usage_perc", "Share of the swap space in use; 1 is all.",
        share(stats.swap_blocks_used, stats.swap_blocks_total));
  for (const EngineMetric& metric : engine_metrics()) {
    head(out, metric.name, metric.counter ? "counter" : "gauge", metric.help);
    line(out, std::string(metric.name) + (metric.counter ? "_total" : ""), labels_,
         static_cast<double>(metric.value(stats)));
  }
  head(out, "ferrum:draft_model_seconds", "counter", "Time that the draft model took.");
  line(out, "ferrum:draft_model_seconds_total", labels_, stats.draft_model.seconds);
  const auto by_source = [&](const char* name, const char* help, auto&& count) {
    head(out, name, "counter", help);
    for (int i = 0; i < kGuessSources; ++i) {
      line(out, std::string(name) + "_total", labels_ + ",source=\"" + to_string(static_cast<GuessSource>(i)) + "\"",
           static_cast<double>(count(stats.guesses[static_cast<size_t>(i)])));
    }
  };
  by_source("ferrum:spec_decode_num_draft_tokens", "Guesses that were verified, by where they came from.",
            [](const GuessCounts& c) { return c.drafted_tokens; });
  by_source("ferrum:spec_decode_num_accepted_tokens", "Tokens gained by right guesses, by where they came from.",
            [](const GuessCounts& c) { return c.accepted_tokens; });

  const auto by_layer = [&](const char* name, const char* type, const char* help, auto value) {
    if (stats.experts.empty()) return;
    head(out, name, type, help);
    for (size_t layer = 0; layer < stats.experts.size(); ++layer) {
      line(out, std::string(name) + (type[0] == 'c' ? "_total" : ""),
           labels_ + ",layer=\"" + std::to_string(layer) + "\"", value(stats.experts[layer]));
    }
  };
  by_layer("ferrum:expert_load_entropy", "gauge", "Entropy of the experts' use; 1 is equal use, 0 always the same.",
           load_entropy);
  by_layer("ferrum:expert_load_peak", "gauge", "Use of the busiest expert over the mean of all.", load_peak);
  by_layer("ferrum:router_faults", "counter", "Tokens whose router logits were NaN or infinite.",
           [](const ExpertLoad& load) { return static_cast<double>(load.without_numbers); });

  head(out, "vllm:cache_config_info", "gauge", "Shape of the KV cache, as labels.");
  line(out, "vllm:cache_config_info",
       labels_ + ",block_size=\"" + std::to_string(options.block_size) + "\",num_gpu_blocks=\"" +
           std::to_string(stats.kv_blocks_total) + "\",cache_dtype=\"" + std::string(to_string(options.kv_dtype)) +
           "\"",
       1);

  const std::lock_guard lock(mutex_);
  head(out, "vllm:request_success", "counter", "Finished requests by reason.");
  for (const auto& [reason, count] : finished_) {
    line(out, "vllm:request_success_total", labels_ + ",finished_reason=\"" + reason + "\"",
         static_cast<double>(count));
  }
  head(out, "ferrum:http_responses", "counter", "HTTP answers by status.");
  for (const auto& [status, count] : answers_) {
    line(out, "ferrum:http_responses_total", labels_ + ",code=\"" + std::to_string(status) + "\"",
         static_cast<double>(count));
  }
  const auto histogram = [&](const char* name, const char* help, const Histogram& values) {
    head(out, name, "histogram", help);
    values.append(out, name, labels_);
  };
  histogram("vllm:time_to_first_token_seconds", "From arrival to the first token.", time_to_first_token_);
  histogram("vllm:inter_token_latency_seconds", "Between two tokens of a request.", inter_token_latency_);
  histogram("vllm:e2e_request_latency_seconds", "From arrival to the last token.", e2e_latency_);
  histogram("vllm:request_queue_time_seconds", "Waiting for a place in the batch.", queue_time_);
  histogram("vllm:request_prefill_time_seconds", "Computing the prompt.", prefill_time_);
  histogram("vllm:request_decode_time_seconds", "Generating.", decode_time_);
  return out;
}

}  // namespace ferrum
