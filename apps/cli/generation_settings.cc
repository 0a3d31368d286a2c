#include "apps/cli/generation_settings.h"

#include <cstdio>

#include "base/quote.h"
#include "config/parse.h"

namespace ferrum {
namespace {

std::string text_of(float value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", static_cast<double>(value));
  return text;
}

// A float member of SamplingParams; its range is validate()'s business.
template <float SamplingParams::*member>
Status set_float(GenerationSettings& settings, std::string_view text) {
  FERRUM_ASSIGN_OR_RETURN(const double value, parse_float(text, -1e6, 1e6));
  settings.sampling.*member = static_cast<float>(value);
  return validate(settings.sampling);
}
template <float SamplingParams::*member>
std::string get_float(const GenerationSettings& settings) {
  return text_of(settings.sampling.*member);
}

template <int SamplingParams::*member>
Status set_int(GenerationSettings& settings, std::string_view text) {
  FERRUM_ASSIGN_OR_RETURN(const int64_t value, parse_int(text, -1, INT32_MAX));
  settings.sampling.*member = static_cast<int>(value);
  return validate(settings.sampling);
}
template <int SamplingParams::*member>
std::string get_int(const GenerationSettings& settings) {
  return std::to_string(settings.sampling.*member);
}

Status set_seed(GenerationSettings& settings, std::string_view text) {
  if (to_lower(trim(text)) == "random") {
    settings.sampling.seed.reset();
    return Status::ok();
  }
  FERRUM_ASSIGN_OR_RETURN(const int64_t value, parse_int(text, INT64_MIN, INT64_MAX));
  settings.sampling.seed = static_cast<uint64_t>(value);
  return Status::ok();
}
std::string get_seed(const GenerationSettings& settings) {
  return settings.sampling.seed ? std::to_string(*settings.sampling.seed) : "random";
}

Status set_max_tokens(GenerationSettings& settings, std::string_view text) {
  FERRUM_ASSIGN_OR_RETURN(const int64_t value, parse_int(text, -1, INT32_MAX));
  settings.stop.max_tokens = static_cast<int>(value);
  return Status::ok();
}
std::string get_max_tokens(const GenerationSettings& settings) { return std::to_string(settings.stop.max_tokens); }

Status set_stop(GenerationSettings& settings, std::string_view text) {
  if (text.empty()) {
    settings.stop.stop.clear();
  } else {
    settings.stop.stop.emplace_back(text);
  }
  return Status::ok();
}
std::string get_stop(const GenerationSettings& settings) {
  std::string list;
  for (const std::string& stop : settings.stop.stop) list.append(list.empty() ? "" : " ").append(ferrum::quoted(stop));
  return list.empty() ? "none" : list;
}

Status set_ignore_eos(GenerationSettings& settings, std::string_view text) {
  FERRUM_ASSIGN_OR_RETURN(settings.stop.ignore_eos, parse_bool(text));
  return Status::ok();
}
std::string get_ignore_eos(const GenerationSettings& settings) { return settings.stop.ignore_eos ? "on" : "off"; }

}  // namespace

const std::vector<GenerationKnob>& generation_knobs() {
  using P = SamplingParams;
  static const std::vector<GenerationKnob> knobs = {
      {"max-tokens", "-n,--max-tokens", "Longest answer in tokens; -1 = as the context allows", set_max_tokens,
       get_max_tokens},
      {"temp", "--temp", "Temperature; 0 always takes the likeliest token", set_float<&P::temperature>,
       get_float<&P::temperature>},
      {"top-k", "--top-k", "Draw among the k likeliest tokens; 0 = all", set_int<&P::top_k>, get_int<&P::top_k>},
      {"top-p", "--top-p", "Draw among the likeliest tokens with this share of probability; 1 = all",
       set_float<&P::top_p>, get_float<&P::top_p>},
      {"min-p", "--min-p", "Drop tokens less likely than this share of the likeliest one; 0 = none",
       set_float<&P::min_p>, get_float<&P::min_p>},
      {"typical-p", "--typical-p", "Locally typical sampling; 1 = off", set_float<&P::typical_p>,
       get_float<&P::typical_p>},
      {"repeat-penalty", "--repeat-penalty", "Penalty on tokens already seen; 1 = none",
       set_float<&P::repetition_penalty>, get_float<&P::repetition_penalty>},
      {"presence-penalty", "--presence-penalty", "Subtracted once for every token already seen",
       set_float<&P::presence_penalty>, get_float<&P::presence_penalty>},
      {"frequency-penalty", "--frequency-penalty", "Subtracted for each time a token was seen",
       set_float<&P::frequency_penalty>, get_float<&P::frequency_penalty>},
      {"repeat-last-n", "--repeat-last-n", "How many tokens penalties look back; -1 = all", set_int<&P::penalty_window>,
       get_int<&P::penalty_window>},
      {"seed", "--seed", "Seed of the random draws, or \"random\"", set_seed, get_seed},
      {"stop", "--stop", "End the answer before this text (repeatable)", set_stop, get_stop},
      {"ignore-eos", "--ignore-eos", "Go on after the model's end token", set_ignore_eos, get_ignore_eos, true},
  };
  return knobs;
}

Status set_knob(GenerationSettings& settings, std::string_view name, std::string_view text) {
  std::string_view nearest;
  int best = 4;
  for (const GenerationKnob& knob : generation_knobs()) {
    if (knob.name == name) {
      GenerationSettings changed = settings;
      const Status status = knob.set(changed, text);
      if (!status.is_ok()) return status.with_context(name);
      settings = std::move(changed);
      return Status::ok();
    }
    const int distance = edit_distance(name, knob.name);
    if (distance < best) {
      best = distance;
      nearest = knob.name;
    }
  }
  std::string message = "there is no setting " + ferrum::quoted(name);
  if (!nearest.empty()) message.append("; did you mean ").append(nearest).append("?");
  return invalid_argument(std::move(message));
}

}  // namespace ferrum
