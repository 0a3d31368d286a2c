#include "config/engine_parts.h"

namespace ferrum {
namespace {

// nullptr where the part is there.
const char* missing(Part part, const EngineParts& parts) {
  switch (part) {
    case Part::kCore: return nullptr;
    case Part::kCuda: return parts.cuda ? nullptr : "this build has none of the CUDA kernels that it chooses";
    case Part::kMoe: return parts.moe ? nullptr : "this build has no mixture-of-experts models";
    case Part::kContiguousKv: return parts.contiguous_kv ? nullptr : "this build has no KV cache but the paged one";
    case Part::kProfiler: return parts.profiler ? nullptr : "this build cannot time operations and layers";
  }
  return nullptr;
}

// Whether the engine does without the part what the switch says: the KV cache is paged, and what is off by default is
// off. What is on by default has a value in neither position.
bool holds_anyway(const KeySpec& key, bool on) {
  return key.part == Part::kContiguousKv ? on : !on && key.fallback != "true";
}

}  // namespace

EngineParts EngineParts::all() { return {true, true, true, true}; }

EngineParts EngineParts::this_build() { return {}; }

Status check_parts(const Settings& settings, const EngineParts& parts) {
  for (const SettingEntry& entry : settings.entries()) {
    const KeySpec& key = *find_key(entry.key);
    const char* reason = missing(key.part, parts);
    if (reason == nullptr) continue;
    if (key.type == KeyType::kBool && holds_anyway(key, *settings.get_bool(key.name))) continue;
    return unsupported(std::string(key.name) + ": " + reason + ", so " + settings.describe(key.name) +
                       " would have no effect; unset it");
  }
  return Status::ok();
}

}  // namespace ferrum
