// What a server calls its model, and in which form it takes prompts.
#pragma once

#include "apps/cli/bench_serve/load.h"

namespace ferrum {

// The name of the first model of GET /v1/models. kIo when the server does not answer like one of OpenAI's kind.
Result<std::string> first_model(const LoadTarget& target);

// One small request in the target's form, as the run will send them: its failure is worth more than a hundred later.
Status try_request(const LoadTarget& target, const WorkloadOptions& workload);

}  // namespace ferrum
