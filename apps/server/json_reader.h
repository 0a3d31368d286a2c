// Reading JSON that strangers sent: text to a value within limits, and values to typed fields with errors that name the
// path.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/server/api_error.h"
#include "base/status.h"

namespace ferrum {

struct JsonLimits {
  int max_depth = 64;             // nested arrays and objects
  size_t max_members = 1024;      // of one object: Json finds keys by walking, so many would cost their square
  size_t max_values = 4'000'000;  // in the whole text
};

// Whether a text that claims to be JSON stays within the limits; looks at brackets, commas and quotes only, so it says
// nothing of the rest. kInvalidArgument with the position otherwise.
Status check_json_limits(std::string_view text, const JsonLimits& limits);
// Within the limits; strict RFC 8259, UTF-8 only. Errors (kInvalidArgument) give line and column.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits);

// Keeps the first failure; everything after it is ignored, so that parsing code needs no branches.
class FirstError {
 public:
  void set(std::string param, std::string message, std::string code = "");
  explicit operator bool() const { return error_.has_value(); }
  const ApiError& operator*() const { return *error_; }

 private:
  std::optional<ApiError> error_;
};

// The typed fields of one object. null counts as absent everywhere (OpenAI's clients send it for "default"). A reader
// returns the fallback when the field is absent or wrong; a wrong one is reported.
class FieldReader {
 public:
  // path: of the object, "" for the whole body. `object` and `errors` must outlive the reader. If `object` is not an
  // object, that is reported and all fields are absent.
  FieldReader(const Json& object, std::string path, FirstError& errors);

  const Json* find(std::string_view name);  // nullptr if absent
  std::optional<bool> boolean(std::string_view name);
  std::optional<double> number(std::string_view name);  // finite
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high);
  std::optional<uint64_t> seed(std::string_view name);  // any 64-bit integer; negative ones wrap
  std::optional<std::string> string(std::string_view name);

  // Reports the first present field that neither was asked for nor is in `ignored`.
  void refuse_unknown(std::span<const std::string_view> ignored);

  std::string path_of(std::string_view name) const;  // "messages[2].content"
  FirstError& errors() { return errors_; }

 private:
  const Json& object_;
  std::string path_;
  FirstError& errors_;
  std::vector<std::string_view> asked_;
};

// "a string", "an array", ... for messages.
std::string_view kind_of(const Json& value);

}  // namespace ferrum
