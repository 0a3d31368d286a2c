#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <cstring>

namespace ferrum {

bool set_up_logging(const char* level) {
  static constexpr struct {
    const char* name;
    spdlog::level::level_enum value;
  } kLevels[] = {
      {"trace", spdlog::level::trace}, {"debug", spdlog::level::debug}, {"info", spdlog::level::info},
      {"warn", spdlog::level::warn},   {"error", spdlog::level::err},   {"off", spdlog::level::off},
  };
  for (const auto& entry : kLevels) {
    if (std::strcmp(entry.name, level) != 0) continue;
    static const auto logger = spdlog::stderr_color_mt("ferrum");
    spdlog::set_default_logger(logger);
    spdlog::set_pattern("%H:%M:%S.%e %^%l%$ %v");
    spdlog::set_level(entry.value);
    return true;
  }
  return false;
}

}  // namespace ferrum
