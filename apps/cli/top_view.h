// One picture of what a server does, for a terminal.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"

namespace ferrum {

// stats: the answer of GET /stats, of a server that may be any. Lines of at most `columns` characters, at most `rows`.
Result<std::string> render_top(const nlohmann::json& stats, int columns, int rows);

}  // namespace ferrum
