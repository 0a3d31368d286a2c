// Attributes, items and slices; see operators.h.
#include <algorithm>

#include "text/jinja/methods.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

std::string owner(const Value& object) {
  return object.is_none() ? "'None'" : "'" + std::string(object.type_name()) + " object'";
}

Value missing(Runtime& runtime, const Value& object, std::string_view name) {
  return runtime.undefined(owner(object) + " has no attribute '" + std::string(name) + "'");
}

// The value under a name of the objects that have names of their own: a namespace's entries, loop.index, macro.name.
Result<Value> own_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_object(ObjectKind::kNamespace)) {
    const Value* found = static_cast<const Dict*>(object.object())->find(name);
    return found != nullptr ? *found : missing(runtime, object, name);
  }
  if (object.is_object(ObjectKind::kLoop)) {
    return loop_attribute(runtime, *static_cast<const Loop*>(object.object()), name);
  }
  if (object.is_object(ObjectKind::kMacro)) {
    return macro_attribute(runtime, *static_cast<const Macro*>(object.object()), name);
  }
  const Sequence* sequence = object.sequence();
  if (sequence != nullptr && sequence->label == "group" && sequence->items.size() == 2) {
    if (name == "grouper") return sequence->items[0];
    if (name == "list") return sequence->items[1];
  }
  return missing(runtime, object, name);
}

Result<Value> method_of(Runtime& runtime, const Value& object, std::string_view name) {
  const MethodBody body = find_method(object, name);
  if (body == nullptr) return own_attribute(runtime, object, name);
  FERRUM_ASSIGN_OR_RETURN(Method * method, runtime.make<Method>(object, std::string(name), body));
  return Value(method);
}

Result<Value> character(Runtime& runtime, const StringObject& string, size_t index) {
  if (string.ascii()) return runtime.string(std::string(1, string.text[index]));
  FERRUM_RETURN_IF_ERROR(runtime.charge(index / 64));
  const size_t begin = byte_offset(string.text, index);
  size_t end = begin;
  next_code_point(string.text, end);
  return runtime.string(string.text.substr(begin, end - begin));
}

// One bound of a slice to a position in [low, high]; negative ones count from the end.
Result<int64_t> clamp_bound(const Value& bound, int64_t length, int64_t fallback, int64_t low, int64_t high) {
  if (bound.is_none()) return fallback;
  if (bound.is_undefined()) return undefined_error(bound);
  if (!bound.is_integral()) return invalid_argument("slice indices must be integers");
  const int64_t index = bound.integer() < 0 ? bound.integer() + length : bound.integer();
  return std::clamp(index, low, high);
}

struct SliceRange {
  int64_t start, stop, step;
};

Result<SliceRange> resolve_slice(const SliceBounds& bounds, int64_t length) {
  SliceRange range{0, length, 1};
  if (!bounds.step.is_none()) {
    if (!bounds.step.is_integral()) return invalid_argument("slice indices must be integers");
    range.step = bounds.step.integer();
    if (range.step == 0) return invalid_argument("the step of a slice cannot be zero");
    // Larger steps reach no further element, and their sums could overflow.
    range.step = std::clamp(range.step, -length - 1, length + 1);
  }
  const bool backwards = range.step < 0;
  const int64_t low = backwards ? -1 : 0;
  const int64_t high = backwards ? length - 1 : length;
  FERRUM_ASSIGN_OR_RETURN(range.start, clamp_bound(bounds.start, length, backwards ? high : low, low, high));
  FERRUM_ASSIGN_OR_RETURN(range.stop, clamp_bound(bounds.stop, length, backwards ? low : high, low, high));
  return range;
}

Result<Value> slice_string(Runtime& runtime, const StringObject& string, const SliceRange& range) {
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + string.text.size() / 64));
  if (range.step == 1) {
    if (range.stop <= range.start) return runtime.string(std::string());
    const auto offset = [&](int64_t i) {
      return string.ascii() ? static_cast<size_t>(i) : byte_offset(string.text, static_cast<size_t>(i));
    };
    const size_t begin = offset(range.start);
    return runtime.string(string.text.substr(begin, offset(range.stop) - begin));
  }
  std::vector<size_t> starts;
  for (size_t pos = 0; pos < string.text.size(); next_code_point(string.text, pos)) starts.push_back(pos);
  starts.push_back(string.text.size());
  TextBuilder out(runtime);
  const std::string_view text = string.text;
  for (int64_t i = range.start; range.step > 0 ? i < range.stop : i > range.stop; i += range.step) {
    const auto at = static_cast<size_t>(i);
    out.append(text.substr(starts[at], starts[at + 1] - starts[at]));
  }
  return out.finish(runtime);
}

}  // namespace

Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) return undefined_error(object);
  if (const Dict* dict = object.dict()) {
    if (find_method(object, name) == nullptr) {
      const Value* found = dict->find(name);
      return found != nullptr ? *found : missing(runtime, object, name);
    }
  }
  return method_of(runtime, object, name);
}

Result<Value> get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) return undefined_error(object);
  if (const Dict* dict = object.dict()) {
    if (is_hashable(key)) {
      if (const Value* found = dict->find(key)) return *found;
    }
  } else if (key.is_integral()) {
    const Sequence* sequence = object.sequence();
    int64_t length = -1;
    if (sequence != nullptr) length = static_cast<int64_t>(sequence->items.size());
    if (object.is_string()) length = static_cast<int64_t>(object.string()->length);
    const int64_t index = key.integer() < 0 ? key.integer() + length : key.integer();
    if (index >= 0 && index < length) {
      if (sequence != nullptr) return sequence->items[static_cast<size_t>(index)];
      return character(runtime, *object.string(), static_cast<size_t>(index));
    }
  }
  if (key.is_string()) return method_of(runtime, object, key.text());
  FERRUM_ASSIGN_OR_RETURN(const Value shown, to_text(runtime, key));
  return runtime.undefined(owner(object) + " has no element " + std::string(shown.text()));
}

Result<Value> get_slice(Runtime& runtime, const Value& object, const SliceBounds& bounds) {
  if (object.is_undefined()) return undefined_error(object);
  if (object.is_string()) {
    const auto length = static_cast<int64_t>(object.string()->length);
    FERRUM_ASSIGN_OR_RETURN(const SliceRange range, resolve_slice(bounds, length));
    return slice_string(runtime, *object.string(), range);
  }
  const Sequence* sequence = object.sequence();
  if (sequence == nullptr) {
    return invalid_argument(owner(object) + " cannot be sliced");
  }
  FERRUM_ASSIGN_OR_RETURN(const SliceRange range, resolve_slice(bounds, static_cast<int64_t>(sequence->items.size())));
  std::vector<Value> items;
  for (int64_t i = range.start; range.step > 0 ? i < range.stop : i > range.stop; i += range.step) {
    items.push_back(sequence->items[static_cast<size_t>(i)]);
  }
  const bool is_tuple = sequence->kind == ObjectKind::kTuple;
  return runtime.sequence(is_tuple ? ObjectKind::kTuple : ObjectKind::kList, std::move(items));
}

}  // namespace ferrum::jinja
