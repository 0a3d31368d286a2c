// The architectures Ferrum knows. They share one wiring (models/decoder.h); what tells them apart is this table.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "types/model_spec.h"

namespace ferrum {

enum class QkNorm { kForbidden, kRequired };

struct ArchitectureTraits {
  std::string_view name;  // general.architecture, and the prefix of its metadata keys
  RopeLayout rope_layout = RopeLayout::kInterleaved;
  QkNorm qk_norm = QkNorm::kForbidden;
  float default_rope_base = 10000.0f;  // where the file has no rope.freq_base
};

std::span<const ArchitectureTraits> all_architectures();

// nullptr for an unknown name.
const ArchitectureTraits* find_architecture(std::string_view name);

// "llama, mistral, ...": for messages.
std::string architecture_names();

}  // namespace ferrum
