#include "apps/cli/bench_serve/summary.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

// What a request contributes to one latency: one value, or one per gap.
using ValuesOf = std::vector<double> (*)(const LoadRecord&);

LatencySummary latency(const std::vector<LoadResult>& repeats, ValuesOf values_of) {
  std::vector<double> all, p50s, p99s;
  for (const LoadResult& repeat : repeats) {
    std::vector<double> own;
    for (const LoadRecord& record : repeat.records) {
      if (!record.error.empty()) continue;
      for (double value : values_of(record)) own.push_back(value);
    }
    if (own.empty()) continue;
    p50s.push_back(percentile(own, 50));
    p99s.push_back(percentile(own, 99));
    all.insert(all.end(), own.begin(), own.end());
  }
  return {distribution_of(all), estimate_of(p50s), estimate_of(p99s)};
}

Json estimate_json(const Estimate& e) { return {{"mean", e.mean}, {"ci95", e.half_width}}; }

Json latency_json(const LatencySummary& l) {
  return {{"mean", l.all.mean},
          {"p50", l.all.p50},
          {"p90", l.all.p90},
          {"p99", l.all.p99},
          {"p50_ci95", l.p50.half_width},
          {"p99_ci95", l.p99.half_width}};
}

std::string number(const char* format, double value) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string milliseconds(const LatencySummary& l) {
  const auto ms = [](double s) { return number(s < 0.1 ? "%.1f" : "%.0f", s * 1000); };
  return ms(l.all.p50) + " / " + ms(l.all.p90) + " / " + ms(l.all.p99);
}

std::string with_interval(const Estimate& e, int repeats) {
  return number("%.1f", e.mean) + (repeats > 1 ? number(" ± %.1f", e.half_width) : "");
}

}  // namespace

std::string load_label(const LoadShape& shape) {
  return shape.concurrency > 0 ? std::to_string(shape.concurrency) : number("%g/s", shape.rate);
}

LevelSummary summarise_level(const LoadShape& shape, const std::vector<LoadResult>& repeats) {
  LevelSummary level;
  level.shape = shape;
  level.repeats = static_cast<int>(repeats.size());
  std::vector<double> output, total, requests;
  for (const LoadResult& repeat : repeats) {
    double answered = 0, generated = 0, read = 0;
    for (const LoadRecord& record : repeat.records) {
      ++level.requests;
      if (!record.error.empty()) {
        ++level.failed;
        ++level.errors[record.error];
        continue;
      }
      level.wrong_counts += record.wrong_count ? 1 : 0;
      answered += 1;
      generated += record.completion_tokens;
      read += record.prompt_tokens;
    }
    if (repeat.seconds <= 0) continue;
    output.push_back(generated / repeat.seconds);
    total.push_back((generated + read) / repeat.seconds);
    requests.push_back(answered / repeat.seconds);
  }
  level.output_rate = estimate_of(output);
  level.total_rate = estimate_of(total);
  level.request_rate = estimate_of(requests);
  level.ttft = latency(repeats, [](const LoadRecord& r) { return std::vector<double>{r.ttft}; });
  level.e2e = latency(repeats, [](const LoadRecord& r) { return std::vector<double>{r.e2e}; });
  level.itl = latency(repeats, [](const LoadRecord& r) { return r.gaps; });
  level.tpot = latency(repeats, [](const LoadRecord& r) {
    return r.completion_tokens > 1 ? std::vector<double>{r.tpot} : std::vector<double>{};
  });
  return level;
}

Json level_json(const LevelSummary& level) {
  Json errors = Json::object();
  for (const auto& [message, count] : level.errors) errors[message] = count;
  return {{"load", load_label(level.shape)},
          {"concurrency", level.shape.concurrency > 0 ? Json(level.shape.concurrency) : Json(nullptr)},
          {"rate", level.shape.concurrency > 0 ? Json(nullptr) : Json(level.shape.rate)},
          {"repeats", level.repeats},
          {"requests", level.requests},
          {"failed", level.failed},
          {"wrong_token_counts", level.wrong_counts},
          {"errors", errors},
          {"output_tokens_per_second", estimate_json(level.output_rate)},
          {"total_tokens_per_second", estimate_json(level.total_rate)},
          {"requests_per_second", estimate_json(level.request_rate)},
          {"ttft_seconds", latency_json(level.ttft)},
          {"tpot_seconds", latency_json(level.tpot)},
          {"itl_seconds", latency_json(level.itl)},
          {"e2e_seconds", latency_json(level.e2e)}};
}

std::string levels_table(const std::vector<LevelSummary>& levels) {
  std::string out =
      "| load | output tok/s | total tok/s | req/s | TTFT p50 / p90 / p99 ms | TPOT ms | ITL ms | E2E ms | failed |\n"
      "| --: | --: | --: | --: | --: | --: | --: | --: | --: |\n";
  for (const LevelSummary& level : levels) {
    out += "| " + load_label(level.shape);
    out += " | " + with_interval(level.output_rate, level.repeats);
    out += " | " + with_interval(level.total_rate, level.repeats);
    out += " | " + number("%.2f", level.request_rate.mean);
    for (const LatencySummary* l : {&level.ttft, &level.tpot, &level.itl, &level.e2e}) out += " | " + milliseconds(*l);
    out += " | " + std::to_string(level.failed) + " of " + std::to_string(level.requests) + " |\n";
  }
  return out;
}

std::string failures_text(const std::vector<LevelSummary>& levels) {
  std::map<std::string, size_t> all;
  size_t wrong = 0;
  for (const LevelSummary& level : levels) {
    for (const auto& [message, count] : level.errors) all[message] += count;
    wrong += level.wrong_counts;
  }
  std::vector<std::pair<std::string, size_t>> sorted(all.begin(), all.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [message, count] : sorted) text += std::to_string(count) + " x " + message + "\n";
  if (wrong > 0) text += std::to_string(wrong) + " x answered with another number of tokens than was asked for\n";
  return text;
}

}  // namespace ferrum
