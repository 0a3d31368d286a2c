#include "types/queue_policy.h"

#include <string>

namespace ferrum {

const char* to_string(QueuePolicy policy) {
  switch (policy) {
    case QueuePolicy::kFcfs: return "fcfs";
    case QueuePolicy::kPriority: return "priority";
    case QueuePolicy::kFair: return "fair";
  }
  return "";
}

std::optional<QueuePolicy> queue_policy(std::string_view name) {
  for (const QueuePolicy policy : {QueuePolicy::kFcfs, QueuePolicy::kPriority, QueuePolicy::kFair}) {
    if (name == to_string(policy)) return policy;
  }
  return std::nullopt;
}

Status check_priority(int64_t priority, QueuePolicy policy) {
  if (priority < -kMaxPriority || priority > kMaxPriority) {
    return invalid_argument("priority must be from " + std::to_string(-kMaxPriority) + " to " +
                            std::to_string(kMaxPriority) + ", got " + std::to_string(priority));
  }
  if (priority == 0 || policy != QueuePolicy::kFcfs) return Status::ok();
  return invalid_argument("priority " + std::to_string(priority) +
                          " has no effect: requests are served first come, first served "
                          "(--scheduling-policy priority or fair looks at it)");
}

}  // namespace ferrum
