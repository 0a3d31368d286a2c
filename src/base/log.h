// Diagnostics go to standard error, never to standard output: that belongs to the answer.
#pragma once

#include <spdlog/spdlog.h>

namespace ferrum {

// Log through spdlog::info(...) and its siblings. Sets the pattern and the level: "trace", "debug", "info", "warn",
// "error" or "off"; false if the name is none of these.
bool set_up_logging(const char* level);

}  // namespace ferrum
