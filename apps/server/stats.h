// GET /stats: what the engine does now and did lately, as JSON, for the page at "/" and `ferrum top`. Counts and times;
// never a request's text.
#pragma once

#include "apps/server/api_error.h"
#include "engine/engine.h"

namespace ferrum {

Json stats_json(const Engine& engine);

}  // namespace ferrum
