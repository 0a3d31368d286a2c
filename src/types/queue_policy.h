// In which order requests are served.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/status.h"

namespace ferrum {

enum class QueuePolicy {
  kFcfs,      // first come, first served
  kPriority,  // by Request::priority, which waiting makes up for
  kFair,      // the tenant that was served least; its own requests as with kPriority
};
const char* to_string(QueuePolicy policy);                       // "fcfs", "priority", "fair"
std::optional<QueuePolicy> queue_policy(std::string_view name);  // the reverse

// vLLM sets no bounds; these keep the arithmetic of ageing within 64 bits of nanoseconds.
inline constexpr int kMaxPriority = 1'000'000;  // and the negative of it
inline constexpr int kMaxAgeingSeconds = 3600;

// Whether a request may have this priority, and whether anybody looks at it.
Status check_priority(int64_t priority, QueuePolicy policy);

}  // namespace ferrum
