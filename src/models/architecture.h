// The architectures Ferrum knows. They share one wiring (models/decoder.h); what tells them apart is this table.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "types/model_spec.h"

namespace ferrum {

// Whether layers have experts: never; where the metadata count some; or always.
enum class ExpertUse { kNever, kOptional, kAlways };

// What tells routed layers apart, where the metadata do not say otherwise.
struct ExpertTraits {
  ExpertUse use = ExpertUse::kNever;
  bool normalize = false;         // the weights of a token's experts sum to 1
  bool width_is_ffn = false;      // an expert is as wide as feed_forward_length says
  bool shared_and_gated = false;  // an expert that every token goes through, with a gate
};

struct ArchitectureTraits {
  std::string_view name;  // general.architecture, and the prefix of its metadata keys
  RopeLayout rope_layout = RopeLayout::kInterleaved;
  QkNorm qk_norm = QkNorm::kNone;
  float default_rope_base = 10000.0f;  // where the file has no rope.freq_base
  ExpertTraits experts = {};
};

std::span<const ArchitectureTraits> all_architectures();

// nullptr for an unknown name.
const ArchitectureTraits* find_architecture(std::string_view name);

// "llama, mistral, ...": for messages.
std::string architecture_names();

}  // namespace ferrum
