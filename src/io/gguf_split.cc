#include "io/gguf_split.h"

#include <charconv>
#include <cstdio>

#include "io/gguf.h"

namespace ferrum {
namespace {

// "00042" is 42; -1 if a character is no digit.
int64_t parse_five_digits(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && text[0] != '-' ? value : -1;
}

}  // namespace

Result<SplitInfo> read_split_info(const GgufMetadata& metadata) {
  SplitInfo info;
  FERRUM_ASSIGN_OR_RETURN(const auto count, metadata.get_int(kSplitCountKey));
  if (!count.has_value() || *count == 0) return info;
  FERRUM_ASSIGN_OR_RETURN(const auto number, metadata.get_int(kSplitNumberKey));
  FERRUM_ASSIGN_OR_RETURN(const auto tensors, metadata.get_int(kSplitTensorsKey));
  if (*count < 0 || *count > GgufLimits::kParts) {
    return corrupt("split.count is " + std::to_string(*count) + "; it must be between 1 and " +
                   std::to_string(GgufLimits::kParts));
  }
  info.count = *count;
  info.number = number.value_or(0);
  if (info.number < 0 || info.number >= info.count || (!number.has_value() && info.count > 1)) {
    return corrupt("split.no is " + (number.has_value() ? std::to_string(*number) : "missing") + " in a file of " +
                   std::to_string(info.count) + " parts; it counts from 0");
  }
  info.tensors = tensors.value_or(-1);
  return info;
}

std::optional<SplitName> parse_split_name(std::string_view path) {
  constexpr std::string_view kPattern = "-00000-of-00000.gguf";  // 0 stands for any digit
  if (path.size() < kPattern.size()) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kPattern.size());
  for (size_t i = 0; i < kPattern.size(); ++i) {
    if (kPattern[i] != '0' && tail[i] != kPattern[i]) return std::nullopt;
  }
  SplitName name;
  name.prefix = path.substr(0, path.size() - kPattern.size());
  name.number = parse_five_digits(tail.substr(1, 5)) - 1;
  name.count = parse_five_digits(tail.substr(10, 5));
  if (name.number < 0 || name.number >= name.count) return std::nullopt;
  return name;
}

std::string make_split_name(const std::string& prefix, int64_t number, int64_t count) {
  char tail[64];
  std::snprintf(tail, sizeof(tail), "-%05lld-of-%05lld.gguf", static_cast<long long>(number + 1),
                static_cast<long long>(count));
  return prefix + tail;
}

}  // namespace ferrum
