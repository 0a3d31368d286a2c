// Settings to the options of the engine.
#pragma once

#include "base/status.h"
#include "config/settings.h"
#include "engine/engine.h"

namespace ferrum {

// EngineOptions with everything that is set; the rest keeps its defaults.
EngineOptions engine_options_from(const Settings& settings);

}  // namespace ferrum
