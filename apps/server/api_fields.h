// Readers of fields that several endpoints share. Internal to the parsing of requests.
#pragma once

#include <string_view>
#include <vector>

#include "apps/server/api_request.h"
#include "apps/server/json_reader.h"

namespace ferrum {

// model, priority, timeout, queue_timeout, cache_salt.
void read_model_and_queueing(FieldReader& fields, const ApiLimits& limits, GenerationParams& params);
void read_token_list(FieldReader& fields, std::string_view name, int limit, std::vector<TokenId>& tokens);
// One or several prompts, as text or as token ids, of the field `name`, which must be there.
void read_prompts(FieldReader& fields, std::string_view name, const ApiLimits& limits, std::vector<Prompt>& prompts);

}  // namespace ferrum
