// The knobs of generation by name: the flags of `ferrum run` and what /set changes, from one table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "types/sampling.h"

namespace ferrum {

struct GenerationSettings {
  SamplingParams sampling = chat_sampling_defaults();
  StopParams stop;
};

struct GenerationKnob {
  std::string_view name;   // for /set: "top-k"
  std::string_view flags;  // for the command line: "--top-k"
  std::string_view help;
  Status (*set)(GenerationSettings& settings, std::string_view text);
  std::string (*get)(const GenerationSettings& settings);
  bool is_switch = false;  // takes on or off
};

const std::vector<GenerationKnob>& generation_knobs();

// Checks range and form; kInvalidArgument names the knob, with a suggestion where the name is unknown. On failure
// nothing changes. "stop" adds a string; an empty one clears the list.
Status set_knob(GenerationSettings& settings, std::string_view name, std::string_view text);

}  // namespace ferrum
