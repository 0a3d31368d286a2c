// Assertions for our own bugs. They stay on in release builds: a wrong answer is worse than a stopped process. Anything
// an input can cause (file, flag, request) must be a Status instead.
#pragma once

#include <string>

namespace ferrum {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace ferrum

// The message is evaluated only on failure.
#define FERRUM_CHECK(condition, message)                                 \
  do {                                                                   \
    if (!(condition)) [[unlikely]]                                       \
      ::ferrum::check_failed(__FILE__, __LINE__, #condition, (message)); \
  } while (false)

// For hot loops: on in debug builds only.
#ifdef NDEBUG
#define FERRUM_DCHECK(condition, message) \
  do {                                    \
  } while (false)
#else
#define FERRUM_DCHECK(condition, message) FERRUM_CHECK(condition, message)
#endif
