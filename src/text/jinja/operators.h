// What operators and subscripts do, as Python's do.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace ferrum::jinja {

Result<Value> binary(Runtime& runtime, BinaryOp op, const Value& a, const Value& b);
Result<Value> negate(Runtime& runtime, const Value& value);
Result<Value> compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b);

Result<bool> equals(Runtime& runtime, const Value& a, const Value& b);
// a < b; an error where the types have no order.
Result<bool> less(Runtime& runtime, const Value& a, const Value& b);
Result<bool> contains(Runtime& runtime, const Value& container, const Value& wanted);

// object.name: a method first, then an entry. Undefined when there is neither; an error on an undefined object.
Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name);
// object[key]: an entry first, then a method.
Result<Value> get_item(Runtime& runtime, const Value& object, const Value& key);
// object[start:stop:step]; each part None where it is not written.
struct SliceBounds {
  Value start{None{}}, stop{None{}}, step{None{}};
};
Result<Value> get_slice(Runtime& runtime, const Value& object, const SliceBounds& bounds);

// The error of using an undefined value.
Status undefined_error(const Value& value);
// Converts a float to an integer towards zero; an error when it does not fit.
Result<int64_t> truncate_to_integer(double value);

}  // namespace ferrum::jinja
