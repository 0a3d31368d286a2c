// What the tests of the language share.
#pragma once

#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "text/jinja/template.h"

namespace ferrum::jinja {

// 2025-07-10 12:00:00 UTC, which the published vectors were made at.
inline std::tm fixed_clock() {
  const std::time_t seconds = 1752148800;
  std::tm time{};
  gmtime_r(&seconds, &time);
  return time;
}

inline RenderOptions fixed_options(Dialect dialect = Dialect::kPython) {
  RenderOptions options;
  options.dialect = dialect;
  options.clock = fixed_clock;
  return options;
}

// The rendered text, or "error: " and the message.
inline std::string render(std::string_view source,
                          const nlohmann::ordered_json& context = nlohmann::ordered_json::object(),
                          const RenderOptions& options = fixed_options()) {
  const auto compiled = Template::compile(source);
  if (!compiled.is_ok()) return "error: " + compiled.status().message();
  const auto text = compiled->render(context, options);
  return text.is_ok() ? *text : "error: " + text.status().message();
}

inline std::string repository_path(const std::string& relative) {
  return std::string(FERRUM_SOURCE_DIR) + "/" + relative;
}

inline nlohmann::ordered_json read_json(const std::string& path) {
  std::ifstream file(path);
  return nlohmann::ordered_json::parse(file);
}

}  // namespace ferrum::jinja
