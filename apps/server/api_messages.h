// The messages and tools of a chat request, checked.
#pragma once

#include "apps/server/json_reader.h"

namespace ferrum {

// The messages without nulls and without fields that say nothing to a model. What a template cannot take (content
// parts, the role "developer", arguments as text) is adapted later, by the template that knows. Reports the first thing
// that is wrong or unsupported with its path ("messages[2].content[0].type").
Json read_messages(const Json& messages, const JsonLimits& limits, int max_messages, FirstError& errors);

// Each tool must be {"type": "function", "function": {"name", "description"?, "parameters"?, "strict"?}}.
void check_tools(const Json& tools, FirstError& errors);

}  // namespace ferrum
