#include "backend/registry.h"

#include <algorithm>
#include <array>

#include "backend/cpu/isa.h"
#include "backend/reference/reference_backend.h"

namespace ferrum {
namespace {

using Maker = Result<std::unique_ptr<Backend>> (*)(const BackendConfig&);

Result<std::unique_ptr<Backend>> make_reference(const BackendConfig&) {
  return std::unique_ptr<Backend>(std::make_unique<ReferenceBackend>());
}

struct Entry {
  std::string_view name;
  Maker make;
};

// Every backend there is.
constexpr std::array kBackends = {
    Entry{"reference", make_reference},
};

constexpr auto kNames = [] {
  std::array<std::string_view, kBackends.size()> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kBackends[i].name;
  return names;
}();

constexpr int kMaxTokens = 1 << 20;

}  // namespace

std::span<const std::string_view> backend_names() { return kNames; }
std::span<const std::string_view> isa_choices() { return cpu_isa_names(); }

bool isa_available(std::string_view isa) {
  const std::optional<CpuIsa> level = cpu_isa_from_name(isa);
  return level.has_value() && cpu_isa_available(*level);
}

Result<std::unique_ptr<Backend>> make_backend(const BackendConfig& config) {
  const int tokens = config.limits.max_tokens;
  if (tokens < 1 || tokens > kMaxTokens) {
    return invalid_argument("max_tokens is " + std::to_string(tokens) + "; a step holds 1 to " +
                            std::to_string(kMaxTokens) + " tokens");
  }
  const auto found =
      std::find_if(kBackends.begin(), kBackends.end(), [&](const Entry& e) { return e.name == config.name; });
  if (found == kBackends.end()) {
    std::string choices;
    for (std::string_view name : kNames) choices += (choices.empty() ? "" : ", ") + std::string(name);
    return invalid_argument("unknown backend '" + config.name + "'; choose one of: " + choices);
  }
  return found->make(config);
}

}  // namespace ferrum
