// Filters that measure, order, cut and join sequences.
#include <algorithm>
#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/sorting.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

Result<Value> length(Runtime&, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("length", args, {}).status());
  if (input.is_undefined()) return Value(int64_t{0});
  if (input.is_string()) return Value(static_cast<int64_t>(input.string()->length));
  if (const Sequence* sequence = input.sequence()) return Value(static_cast<int64_t>(sequence->items.size()));
  if (const Dict* dict = input.dict()) return Value(static_cast<int64_t>(dict->entries().size()));
  return invalid_argument("object of type '" + std::string(input.type_name()) + "' has no length");
}

Result<Value> first(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("first", args, {}).status());
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  return items.empty() ? runtime.undefined("there is no first item: the sequence is empty") : items.front();
}

Result<Value> last(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("last", args, {}).status());
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  return items.empty() ? runtime.undefined("there is no last item: the sequence is empty") : items.back();
}

Result<Value> list(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("list", args, {}).status());
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.items(input));
  return runtime.list(std::move(items));
}

Result<Value> reverse(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("reverse", args, {}).status());
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.items(input));
  std::reverse(items.begin(), items.end());
  if (!input.is_string()) return runtime.sequence(ObjectKind::kGenerator, std::move(items));
  TextBuilder out(runtime);
  for (const Value& character : items) out.append(character.text());
  return out.finish(runtime);
}

// The value of attribute `attribute` (none: the item itself) of each item, strings in lower case when `fold` is set.
Result<std::vector<Value>> keys_of(Runtime& runtime, const std::vector<Value>& items, const Value& attribute,
                                   bool fold) {
  std::vector<Value> keys;
  keys.reserve(items.size());
  for (const Value& item : items) {
    FERRUM_ASSIGN_OR_RETURN(Value key, attribute_path(runtime, item, attribute));
    if (fold) {
      FERRUM_ASSIGN_OR_RETURN(key, fold_case(runtime, key));
    }
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<Value> join(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("join", args, {"d", "attribute"}));
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.items(input));
  FERRUM_ASSIGN_OR_RETURN(items, keys_of(runtime, items, bound.get(1, None{}), false));
  FERRUM_ASSIGN_OR_RETURN(const Value separator,
                          bound.has(0) ? to_text(runtime, bound[0]) : runtime.string(std::string()));
  TextBuilder out(runtime);
  for (size_t i = 0; i < items.size() && !out.full(); ++i) {
    if (i > 0) out.append(separator.text());
    FERRUM_RETURN_IF_ERROR(append_text(runtime, out, items[i]));
  }
  return out.finish(runtime);
}

// "a,b" sorts by a, then by b: the key is a list of both. It is a list for one attribute too, since lists with equal
// items need no order of these: [none, none]|sort is fine.
Result<std::vector<Value>> sort_keys(Runtime& runtime, const std::vector<Value>& items, const Value& attribute,
                                     bool fold) {
  std::vector<std::vector<Value>> rows(items.size());
  std::string_view rest = attribute.is_string() ? attribute.text() : std::string_view();
  while (true) {
    const size_t comma = std::min(rest.find(','), rest.size());
    Value part = attribute;
    if (attribute.is_string()) {
      FERRUM_ASSIGN_OR_RETURN(part, runtime.string(rest.substr(0, comma)));
    }
    FERRUM_ASSIGN_OR_RETURN(std::vector<Value> column, keys_of(runtime, items, part, fold));
    for (size_t i = 0; i < rows.size(); ++i) rows[i].push_back(std::move(column[i]));
    if (comma == rest.size()) break;
    rest.remove_prefix(comma + 1);
  }
  std::vector<Value> keys;
  for (auto& row : rows) {
    FERRUM_ASSIGN_OR_RETURN(Value key, runtime.list(std::move(row)));
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<Value> sort(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound,
                          BoundArgs::bind("sort", args, {"reverse", "case_sensitive", "attribute"}));
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.items(input));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> keys,
                          sort_keys(runtime, items, bound.get(2, None{}), !bound.truthy(1, false)));
  FERRUM_RETURN_IF_ERROR(sort_by_keys(runtime, items, keys, bound.truthy(0, false)));
  return runtime.list(std::move(items));
}

Result<Value> dictsort(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound,
                          BoundArgs::bind("dictsort", args, {"case_sensitive", "by", "reverse"}));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view by, bound.text(1, "key"));
  if (input.dict() == nullptr) return invalid_argument("dictsort needs a dict");
  if (by != "key" && by != "value") return invalid_argument("dictsort: by must be \"key\" or \"value\"");
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.dict()->entries()) {
    FERRUM_ASSIGN_OR_RETURN(Value pair, runtime.pair(key, value));
    pairs.push_back(std::move(pair));
  }
  const Value column = int64_t{by == "key" ? 0 : 1};
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> keys, keys_of(runtime, pairs, column, !bound.truthy(0, false)));
  FERRUM_RETURN_IF_ERROR(sort_by_keys(runtime, pairs, keys, bound.truthy(2, false)));
  return runtime.list(std::move(pairs));
}

Result<Value> extreme(Runtime& runtime, const Value& input, CallArgs& args, bool largest) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound,
                          BoundArgs::bind(largest ? "max" : "min", args, {"case_sensitive", "attribute"}));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  if (items.empty()) return runtime.undefined("there is no smallest or largest item: the sequence is empty");
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> keys,
                          keys_of(runtime, items, bound.get(1, None{}), !bound.truthy(0, false)));
  size_t best = 0;
  for (size_t i = 1; i < keys.size(); ++i) {
    FERRUM_ASSIGN_OR_RETURN(const bool better,
                            largest ? less(runtime, keys[best], keys[i]) : less(runtime, keys[i], keys[best]));
    if (better) best = i;
  }
  return items[best];
}
Result<Value> min(Runtime& runtime, const Value& input, CallArgs& args) { return extreme(runtime, input, args, false); }
Result<Value> max(Runtime& runtime, const Value& input, CallArgs& args) { return extreme(runtime, input, args, true); }

Result<Value> sum(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("sum", args, {"attribute", "start"}));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> terms, keys_of(runtime, items, bound.get(0, None{}), false));
  Value total = bound.get(1, int64_t{0});
  for (const Value& term : terms) {
    FERRUM_ASSIGN_OR_RETURN(total, binary(runtime, BinaryOp::kAdd, total, term));
  }
  return total;
}

Result<Value> unique(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("unique", args, {"case_sensitive", "attribute"}));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> keys,
                          keys_of(runtime, items, bound.get(1, None{}), !bound.truthy(0, false)));
  FERRUM_ASSIGN_OR_RETURN(Dict * seen, runtime.dict());
  std::vector<Value> kept;
  for (size_t i = 0; i < items.size(); ++i) {
    const size_t before = seen->entries().size();
    FERRUM_RETURN_IF_ERROR(runtime.set_entry(*seen, keys[i], None{}));
    if (seen->entries().size() > before) kept.push_back(items[i]);
  }
  return runtime.sequence(ObjectKind::kGenerator, std::move(kept));
}

Result<Value> items_filter(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("items", args, {}).status());
  std::vector<Value> pairs;
  if (input.is_undefined()) return runtime.sequence(ObjectKind::kGenerator, std::move(pairs));
  if (input.dict() == nullptr)
    return invalid_argument("items needs a dict, not '" + std::string(input.type_name()) + "'");
  for (const auto& [key, value] : input.dict()->entries()) {
    FERRUM_ASSIGN_OR_RETURN(Value pair, runtime.pair(key, value));
    pairs.push_back(std::move(pair));
  }
  return runtime.sequence(ObjectKind::kGenerator, std::move(pairs));
}

// Rows of `count` items, the last one filled up when fill_with is given.
Result<Value> batch(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("batch", args, {"linecount", "fill_with"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const int64_t count, bound.integer(0, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  if (count < 1) return invalid_argument("batch: the count must be positive");
  const auto width = static_cast<size_t>(count);
  std::vector<Value> rows;
  for (size_t begin = 0; begin < items.size(); begin += std::min(width, items.size() - begin)) {
    const auto from = items.begin() + static_cast<std::ptrdiff_t>(begin);
    std::vector<Value> row(from, from + static_cast<std::ptrdiff_t>(std::min(width, items.size() - begin)));
    if (bound.has(1) && !bound[1].is_none() && row.size() < width) {
      FERRUM_RETURN_IF_ERROR(runtime.charge(width));
      row.resize(width, bound[1]);
    }
    FERRUM_ASSIGN_OR_RETURN(Value made, runtime.list(std::move(row)));
    rows.push_back(std::move(made));
  }
  return runtime.sequence(ObjectKind::kGenerator, std::move(rows));
}

// `count` columns of nearly equal length, the longer ones first.
Result<Value> slice(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("slice", args, {"slices", "fill_with"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const int64_t count, bound.integer(0, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  if (count < 1) return invalid_argument("slice: the count must be positive");
  const auto columns = static_cast<size_t>(count);
  const size_t short_length = items.size() / columns, longer = items.size() % columns;
  std::vector<Value> made;
  size_t begin = 0;
  for (size_t i = 0; i < columns; ++i) {
    const size_t length_here = short_length + (i < longer ? 1 : 0);
    const auto from = items.begin() + static_cast<std::ptrdiff_t>(begin);
    std::vector<Value> column(from, from + static_cast<std::ptrdiff_t>(length_here));
    begin += length_here;
    if (bound.has(1) && !bound[1].is_none() && i >= longer) column.push_back(bound[1]);
    FERRUM_ASSIGN_OR_RETURN(Value list_value, runtime.list(std::move(column)));
    made.push_back(std::move(list_value));
  }
  return runtime.sequence(ObjectKind::kGenerator, std::move(made));
}

// Pairs of (grouper, list), ordered by the grouper.
Result<Value> groupby(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound,
                          BoundArgs::bind("groupby", args, {"attribute", "default", "case_sensitive"}, 1));
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.items(input));
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> names, keys_of(runtime, items, bound[0], false));
  std::vector<Value> keys;
  for (Value& name : names) {
    if (name.is_undefined() && bound.has(1) && !bound[1].is_none()) name = bound[1];
    FERRUM_ASSIGN_OR_RETURN(Value key, bound.truthy(2, false) ? Result<Value>(name) : fold_case(runtime, name));
    keys.push_back(std::move(key));
  }
  FERRUM_RETURN_IF_ERROR(sort_by_keys(runtime, items, keys, false));
  FERRUM_RETURN_IF_ERROR(sort_by_keys(runtime, names, keys, false));
  const std::vector<Value> unsorted = keys;
  FERRUM_RETURN_IF_ERROR(sort_by_keys(runtime, keys, unsorted, false));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin + 1;
    for (; end < items.size(); ++end) {
      FERRUM_ASSIGN_OR_RETURN(const bool same, equals(runtime, keys[begin], keys[end]));
      if (!same) break;
    }
    std::vector<Value> members(items.begin() + static_cast<std::ptrdiff_t>(begin),
                               items.begin() + static_cast<std::ptrdiff_t>(end));
    FERRUM_ASSIGN_OR_RETURN(Value member_list, runtime.list(std::move(members)));
    FERRUM_ASSIGN_OR_RETURN(Value group, runtime.pair(names[begin], std::move(member_list)));
    group.sequence()->label = "group";  // has .grouper and .list; see access.cc
    groups.push_back(std::move(group));
    begin = end;
  }
  return runtime.list(std::move(groups));
}

}  // namespace

FilterBody find_sequence_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, FilterBody> kFilters = {
      {"length", length},   {"count", length},       {"first", first}, {"last", last},       {"list", list},
      {"join", join},       {"sort", sort},          {"min", min},     {"max", max},         {"sum", sum},
      {"unique", unique},   {"batch", batch},        {"slice", slice}, {"groupby", groupby}, {"dictsort", dictsort},
      {"reverse", reverse}, {"items", items_filter},
  };
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace ferrum::jinja
