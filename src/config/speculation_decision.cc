#include "config/speculation_decision.h"

#include <algorithm>

namespace ferrum {
namespace {

constexpr int64_t kMaxDraft = 8, kNgramMin = 2, kNgramMax = 5;

}  // namespace

Status decide_speculation(Recorder& record, RunConfig& config) {
  constexpr const char *kLow = "FERRUM_SPECULATION_NGRAM_MIN", *kHigh = "FERRUM_SPECULATION_NGRAM_MAX";
  const Count draft = record.count("FERRUM_SPECULATION_MAX_DRAFT", {kMaxDraft, Source::kDefault, {}});
  // A bound that is not set gives way to the one that is.
  Count low = record.count(kLow, {kNgramMin, Source::kDefault, {}});
  const Count high = record.count(kHigh, {std::max(kNgramMax, low.value), Source::kDefault, {}});
  if (!low.key) low.value = std::min(low.value, high.value);
  if (low.value > high.value) {
    return record.refuse(kLow, "the fewest tokens of context cannot be more than the most", {kHigh});
  }
  const Word mode = record.word("FERRUM_SPECULATION", {"off", Source::kDefault, {}});
  config.speculation = mode.value;
  config.max_draft = draft.value;
  config.ngram_min = low.value;
  config.ngram_max = high.value;
  record.select("speculation", mode.value == "off" ? 0 : 1, mode,
                {{"off", "prompt lookup was asked for"},
                 {"ngram", "not asked for; it pays where answers repeat their prompt or themselves"}},
                {Effect::kPerformance});
  record.value("speculation_max_draft", std::to_string(draft.value), draft, {Effect::kPerformance});
  record.value("speculation_ngram", std::to_string(low.value) + ".." + std::to_string(high.value), low.key ? low : high,
               {Effect::kPerformance});
  return Status::ok();
}

}  // namespace ferrum
