#include "config/speculation_decision.h"

#include <algorithm>

namespace ferrum {
namespace {

constexpr int64_t kMaxDraft = 8, kNgramMin = 2, kNgramMax = 5;

Status decide_draft_model(const ResolverInput& input, Recorder& record, RunConfig& config) {
  const Word model = record.word("FERRUM_DRAFT_MODEL", {"", Source::kDefault, {}});
  if (input.draft && !input.draft->misfit.empty()) return record.refuse("FERRUM_DRAFT_MODEL", input.draft->misfit);
  config.draft_model = model.value;
  record.value("draft_model", model.value.empty() ? "none" : model.value, model,
               {Effect::kPerformance, Effect::kMemory});
  return Status::ok();
}

Status decide_mode(Recorder& record, RunConfig& config) {
  const bool has_model = !config.draft_model.empty();
  const Word mode = record.word("FERRUM_SPECULATION", {has_model ? "both" : "off", Source::kDefault, {}});
  if (!has_model && (mode.value == "draft" || mode.value == "both")) {
    return record.refuse("FERRUM_SPECULATION", "needs a draft model: set FERRUM_DRAFT_MODEL, or choose ngram or off");
  }
  const std::vector<std::string> modes = {"off", "ngram", "draft", "both"};
  const auto selected = std::find(modes.begin(), modes.end(), mode.value) - modes.begin();
  const char* const no_model = has_model ? "not asked for" : "there is no draft model";
  record.select("speculation", static_cast<size_t>(selected), mode,
                {{"off", "guessing was asked for, or a draft model given"},
                 {"ngram", "not asked for; it pays where answers repeat their prompt or themselves"},
                 {"draft", no_model},
                 {"both", no_model}},
                {Effect::kPerformance});
  config.speculation = mode.value;
  return Status::ok();
}

}  // namespace

Status decide_speculation(const ResolverInput& input, Recorder& record, RunConfig& config) {
  FERRUM_RETURN_IF_ERROR(decide_draft_model(input, record, config));
  FERRUM_RETURN_IF_ERROR(decide_mode(record, config));
  constexpr const char *kLow = "FERRUM_SPECULATION_NGRAM_MIN", *kHigh = "FERRUM_SPECULATION_NGRAM_MAX";
  const Count draft = record.count("FERRUM_SPECULATION_MAX_DRAFT", {kMaxDraft, Source::kDefault, {}});
  // A bound that is not set gives way to the one that is.
  Count low = record.count(kLow, {kNgramMin, Source::kDefault, {}});
  const Count high = record.count(kHigh, {std::max(kNgramMax, low.value), Source::kDefault, {}});
  if (!low.key) low.value = std::min(low.value, high.value);
  if (low.value > high.value) {
    return record.refuse(kLow, "the fewest tokens of context cannot be more than the most", {kHigh});
  }
  const Word cost = record.word("FERRUM_SPECULATION_COST", {"measured", Source::kDefault, {}});
  config.measure_guess_cost = cost.value == "measured";
  record.select("speculation_cost", config.measure_guess_cost ? 0 : 1, cost,
                {{"measured", "a run that can be repeated was asked for"},
                 {"usual", "not asked for; it does not know this machine"}},
                {Effect::kPerformance});
  config.max_draft = draft.value;
  config.ngram_min = low.value;
  config.ngram_max = high.value;
  record.value("speculation_max_draft", std::to_string(draft.value), draft, {Effect::kPerformance});
  record.value("speculation_ngram", std::to_string(low.value) + ".." + std::to_string(high.value), low.key ? low : high,
               {Effect::kPerformance});
  return Status::ok();
}

}  // namespace ferrum
