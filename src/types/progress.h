// Progress of a long operation, for a bar on the user's screen.
#pragma once

#include <functional>
#include <string>

namespace ferrum {

// Called with 0..1 and what is being done. Empty = nobody looks.
using LoadProgress = std::function<void(double fraction, const std::string& what)>;

}  // namespace ferrum
