#include "types/queue_policy.h"

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

}  // namespace ferrum
