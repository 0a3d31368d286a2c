// One GET of a server nearby, for commands that look at a running one.
#pragma once

#include <string>

#include "base/status.h"

namespace ferrum {

// base: "http://host[:port]", as `ferrum serve` prints it. The body of a 200; everything else is a status. key: sent as
// a bearer token, "" = none. Bounded: 5 s without progress, 8 MiB.
Result<std::string> http_get(const std::string& base, const std::string& path, const std::string& key);

}  // namespace ferrum
