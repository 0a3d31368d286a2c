#include "types/speculation.h"

#include <iterator>
#include <string>

namespace ferrum {
namespace {

constexpr SpeculationMode kModes[] = {SpeculationMode::kOff, SpeculationMode::kNgram, SpeculationMode::kDraft,
                                      SpeculationMode::kBoth};

Status check(const char* name, int value, int low, int high) {
  if (value >= low && value <= high) return Status::ok();
  return invalid_argument(std::string(name) + " must be from " + std::to_string(low) + " to " + std::to_string(high) +
                          ", got " + std::to_string(value));
}

}  // namespace

const char* to_string(SpeculationMode mode) {
  switch (mode) {
    case SpeculationMode::kOff: return "off";
    case SpeculationMode::kNgram: return "ngram";
    case SpeculationMode::kDraft: return "draft";
    case SpeculationMode::kBoth: return "both";
  }
  return "";
}

const char* to_string(GuessSource source) { return source == GuessSource::kNgram ? "ngram" : "draft"; }

std::optional<SpeculationMode> speculation_mode(std::string_view name) {
  for (const SpeculationMode mode : kModes) {
    if (name == to_string(mode)) return mode;
  }
  return std::nullopt;
}

std::string speculation_modes() {
  std::string all;
  for (size_t i = 0; i < std::size(kModes); ++i) {
    if (i > 0) all += i + 1 < std::size(kModes) ? ", " : " or ";
    all += std::string("\"") + to_string(kModes[i]) + "\"";
  }
  return all;
}

Status validate(const SpeculationParams& p) {
  FERRUM_RETURN_IF_ERROR(check("the speculation's max_draft", p.max_draft, 1, kMaxDraft));
  FERRUM_RETURN_IF_ERROR(check("the speculation's ngram_min", p.ngram_min, 1, kMaxNgram));
  return check("the speculation's ngram_max", p.ngram_max, p.ngram_min, kMaxNgram);
}

}  // namespace ferrum
