// Values to and from JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "text/jinja/runtime.h"

namespace ferrum::jinja {

// The parameters of Python's json.dumps.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level of it; without, everything stands on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  std::string undefined;  // how undefined is written; empty makes it an error, as in Python
};

Status append_json(Runtime& runtime, TextBuilder& out, const Value& value, const JsonStyle& style);

// Integers beyond 64 bits signed and nesting beyond kMaxValueDepth are kInvalidArgument: a number is never changed.
Result<Value> from_json(Runtime& runtime, const nlohmann::ordered_json& json);

}  // namespace ferrum::jinja
