#include "models/architecture.h"

#include <array>

namespace ferrum {
namespace {

// GGUF files of the Llama line store Q and K with their rows permuted so that rotary pairs are neighbours; Qwen's keep
// the checkpoint's order. Files of Mistral models call themselves "llama"; some converters write the newer names.
// Mixtral's is a Llama with experts.
constexpr ExpertTraits kMixtral = {ExpertUse::kOptional, true, true, false};

constexpr std::array<ArchitectureTraits, 8> kArchitectures = {{
    {"llama", RopeLayout::kInterleaved, QkNorm::kNone, 10000.0f, kMixtral},
    {"mistral", RopeLayout::kInterleaved, QkNorm::kNone, 10000.0f},
    {"mistral3", RopeLayout::kInterleaved, QkNorm::kNone, 10000.0f},
    {"qwen2", RopeLayout::kHalfSplit, QkNorm::kNone, 10000.0f},
    {"qwen3", RopeLayout::kHalfSplit, QkNorm::kPerHead, 10000.0f},
    {"qwen2moe", RopeLayout::kHalfSplit, QkNorm::kNone, 10000.0f, {ExpertUse::kAlways, false, false, true}},
    {"qwen3moe", RopeLayout::kHalfSplit, QkNorm::kPerHead, 10000.0f, {ExpertUse::kAlways, true, false, false}},
    {"olmoe", RopeLayout::kHalfSplit, QkNorm::kAllHeads, 10000.0f, {ExpertUse::kAlways, false, true, false}},
}};

}  // namespace

std::span<const ArchitectureTraits> all_architectures() { return kArchitectures; }

const ArchitectureTraits* find_architecture(std::string_view name) {
  for (const ArchitectureTraits& traits : kArchitectures) {
    if (traits.name == name) return &traits;
  }
  return nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const ArchitectureTraits& traits : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += traits.name;
  }
  return names;
}

}  // namespace ferrum
