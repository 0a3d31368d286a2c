#include "text/jinja/sorting.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

// Merges the ordered halves [begin, middle) and [middle, end) of `order`. Written out, since std::sort must not be
// given a comparison that can fail.
Status merge(Runtime& runtime, std::vector<size_t>& order, std::vector<size_t>& spare, const std::vector<Value>& keys,
             size_t begin, size_t middle, size_t end, bool reverse) {
  size_t left = begin, right = middle, out = begin;
  while (left < middle && right < end) {
    const Value& a = keys[order[left]];
    const Value& b = keys[order[right]];
    FERRUM_ASSIGN_OR_RETURN(const bool swap, reverse ? less(runtime, a, b) : less(runtime, b, a));
    spare[out++] = swap ? order[right++] : order[left++];
  }
  std::copy(order.begin() + static_cast<std::ptrdiff_t>(left), order.begin() + static_cast<std::ptrdiff_t>(middle),
            spare.begin() + static_cast<std::ptrdiff_t>(out));
  out += middle - left;
  std::copy(order.begin() + static_cast<std::ptrdiff_t>(right), order.begin() + static_cast<std::ptrdiff_t>(end),
            spare.begin() + static_cast<std::ptrdiff_t>(out));
  return Status::ok();
}

}  // namespace

Status sort_by_keys(Runtime& runtime, std::vector<Value>& items, const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(items.size()), spare(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t width = 1; width < order.size(); width *= 2) {
    for (size_t begin = 0; begin < order.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, order.size());
      const size_t end = std::min(begin + 2 * width, order.size());
      FERRUM_RETURN_IF_ERROR(merge(runtime, order, spare, keys, begin, middle, end, reverse));
    }
    order.swap(spare);
  }
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (const size_t i : order) sorted.push_back(items[i]);
  items = std::move(sorted);
  return Status::ok();
}

Result<Value> attribute_path(Runtime& runtime, const Value& value, const Value& attribute) {
  if (attribute.is_none()) return value;
  if (!attribute.is_string()) return get_item(runtime, value, attribute);
  Value current = value;
  std::string_view path = attribute.text();
  while (true) {
    const size_t dot = std::min(path.find('.'), path.size());
    const std::string_view part = path.substr(0, dot);
    int64_t index = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index = error == std::errc() && end == part.data() + part.size() && !part.starts_with('-');
    Value key = index;
    if (!is_index) {
      FERRUM_ASSIGN_OR_RETURN(key, runtime.string(part));
    }
    FERRUM_ASSIGN_OR_RETURN(current, get_item(runtime, current, key));
    if (dot == path.size()) return current;
    path.remove_prefix(dot + 1);
  }
}

Result<Value> fold_case(Runtime& runtime, const Value& value) {
  if (!value.is_string()) return value;
  return runtime.string(to_lower(value.text()));
}

}  // namespace ferrum::jinja
