// How the tokens of a request are guessed ahead of the model. A guess changes the number of steps, never the tokens.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ferrum {

enum class SpeculationMode {
  kOff,
  kNgram,  // what followed the last time that the text ended like this ("prompt lookup")
  kDraft,  // what a smaller model would say
  kBoth,   // the lookup where it promises as much, else the smaller model
};
// "off", "ngram", "draft", "both": the values of --speculation and of the API.
const char* to_string(SpeculationMode mode);
std::optional<SpeculationMode> speculation_mode(std::string_view name);
// All of them, quoted, for messages: "off", "ngram", "draft" or "both".
std::string speculation_modes();

// Where a guess comes from.
enum class GuessSource { kNgram, kDraft };
inline constexpr int kGuessSources = 2;
const char* to_string(GuessSource source);  // "ngram", "draft"

inline constexpr int kMaxDraft = 32;  // tokens guessed at once
inline constexpr int kMaxNgram = 16;

struct SpeculationParams {
  SpeculationMode mode = SpeculationMode::kOff;
  int max_draft = 8;  // 1 to kMaxDraft; how many of them are used follows from how many were right, and what they cost
  int ngram_min = 2;  // tokens of context that must agree
  int ngram_max = 5;  // tokens of context that are looked for first

  bool uses_ngrams() const { return mode == SpeculationMode::kNgram || mode == SpeculationMode::kBoth; }
  bool uses_draft_model() const { return mode == SpeculationMode::kDraft || mode == SpeculationMode::kBoth; }
};

// kInvalidArgument naming the parameter, the value and what is allowed.
Status validate(const SpeculationParams& params);

}  // namespace ferrum
