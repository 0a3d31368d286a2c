// RFC 4648 base64 with padding.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ferrum {

std::string to_base64(std::span<const std::byte> bytes);
// Strict: no line breaks, padding as it must be, no bits behind the last byte. kInvalidArgument with the place.
Result<std::vector<std::byte>> from_base64(std::string_view text);

}  // namespace ferrum
