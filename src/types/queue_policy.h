// In which order requests are served.
#pragma once

#include <optional>
#include <string_view>

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

}  // namespace ferrum
