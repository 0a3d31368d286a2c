// Ordering values, and the keys that filters order and group by.
#pragma once

#include <vector>

#include "text/jinja/runtime.h"

namespace ferrum::jinja {

// Orders items by their keys, keeping the order of equal ones. An error where two keys have no order.
Status sort_by_keys(Runtime& runtime, std::vector<Value>& items, const std::vector<Value>& keys, bool reverse);

// "a.b.0" of a value: attributes and indices; the value itself when the attribute is none. A number is an index.
Result<Value> attribute_path(Runtime& runtime, const Value& value, const Value& attribute);

// Lower case of a string, anything else as it is.
Result<Value> fold_case(Runtime& runtime, const Value& value);

}  // namespace ferrum::jinja
