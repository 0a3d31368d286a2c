// Filters ("value | name(...)") and tests ("value is name(...)").
#pragma once

#include <string_view>

#include "text/jinja/runtime.h"

namespace ferrum::jinja {

using FilterBody = Result<Value> (*)(Runtime&, const Value& input, CallArgs&);
using TestBody = Result<bool> (*)(Runtime&, const Value& input, CallArgs&);

// kInvalidArgument when there is no filter or test of that name.
Result<Value> apply_filter(Runtime& runtime, std::string_view name, const Value& input, CallArgs& args);
Result<bool> apply_test(Runtime& runtime, std::string_view name, const Value& input, CallArgs& args);

bool has_filter(std::string_view name);
bool has_test(std::string_view name);

// The tables behind apply_filter; null when the name is not in them.
FilterBody find_text_filter(std::string_view name);
FilterBody find_number_filter(std::string_view name);
FilterBody find_sequence_filter(std::string_view name);
FilterBody find_selection_filter(std::string_view name);

}  // namespace ferrum::jinja
