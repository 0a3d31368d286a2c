#include "config/recorder.h"

#include <limits>

namespace ferrum {

Flag Recorder::flag(std::string_view key, bool fallback, Source source) const {
  if (const auto set = settings_.get_bool(key)) return {*set, settings_.source(key), std::string(key)};
  return {fallback, source, std::nullopt};
}

Count Recorder::count(std::string_view key, Count fallback) const {
  if (const auto set = settings_.get_int(key)) return {*set, settings_.source(key), std::string(key)};
  return fallback;
}

Word Recorder::word(std::string_view key, Word fallback) const {
  if (const auto set = settings_.get_text(key)) return {*set, settings_.source(key), std::string(key)};
  return fallback;
}

std::string Recorder::settings_at_fault(std::string_view key, std::initializer_list<std::string_view> others) const {
  std::string list;
  const auto append = [&](std::string_view name) {
    const std::string text = find_key(name) == nullptr ? "" : settings_.describe(name);
    if (!text.empty()) list += (list.empty() ? "" : ", ") + text;
  };
  append(key);
  for (std::string_view other : others) append(other);
  return list.empty() ? "" : " [" + list + "]";
}

Status Recorder::refuse(std::string_view key, std::string_view reason,
                        std::initializer_list<std::string_view> others) const {
  return invalid_argument(std::string(key) + ": invalid override: " + std::string(reason) +
                          settings_at_fault(key, others));
}

Status Recorder::unsupported(std::string_view selection, std::string_view reason,
                             std::initializer_list<std::string_view> keys) const {
  return invalid_argument(std::string(selection) + ": unsupported combination: " + std::string(reason) +
                          settings_at_fault(selection, keys));
}

Status Recorder::first_broken(std::initializer_list<Rule> rules) const {
  for (const Rule& rule : rules) {
    if (rule.broken) return refuse(rule.key, rule.reason, rule.others);
  }
  return Status::ok();
}

void Recorder::record(std::string_view selection, size_t selected, Source source, const std::optional<std::string>& key,
                      std::vector<DecisionCandidate> candidates, std::vector<Effect> affects) {
  Decision d;
  d.selection = selection;
  d.source = source;
  d.source_key = key;
  d.affects = std::move(affects);
  for (size_t i = 0; i < candidates.size(); ++i) {
    d.candidates.push_back(candidates[i].value);
    if (i == selected) {
      d.selected = std::move(candidates[i].value);
    } else {
      d.rejected.push_back({std::move(candidates[i].value), std::move(candidates[i].reason_against)});
    }
  }
  decisions_.push_back(std::move(d));
}

int64_t saturating_mul(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}

int64_t saturating_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

}  // namespace ferrum
