// map, select, reject, selectattr, rejectattr: filters that run another filter or test on each item.
#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/sorting.h"

namespace ferrum::jinja {
namespace {

// Takes the leading positional argument, which names a filter, test or attribute.
Result<Value> take_first(CallArgs& args, std::string_view filter, std::string_view what) {
  if (args.positional.empty()) return invalid_argument(std::string(filter) + " needs the name of " + std::string(what));
  const Value first = args.positional.front();
  args.positional.erase(args.positional.begin());
  return first;
}

Result<Value> map_attribute(Runtime& runtime, const std::vector<Value>& items, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("map", args, {"attribute", "default"}, 1));
  std::vector<Value> mapped;
  for (const Value& item : items) {
    FERRUM_ASSIGN_OR_RETURN(Value value, attribute_path(runtime, item, bound[0]));
    if (value.is_undefined() && bound.has(1)) value = bound[1];
    mapped.push_back(std::move(value));
  }
  return runtime.sequence(ObjectKind::kGenerator, std::move(mapped));
}

Result<Value> map(Runtime& runtime, const Value& input, CallArgs& args) {
  if (!input.truthy()) return runtime.sequence(ObjectKind::kGenerator, {});  // also none, false and 0
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  if (args.positional.empty()) return map_attribute(runtime, items, args);
  FERRUM_ASSIGN_OR_RETURN(const Value name, take_first(args, "map", "a filter"));
  if (!name.is_string()) return invalid_argument("map needs the name of a filter");
  std::vector<Value> mapped;
  for (const Value& item : items) {
    CallArgs copy = args;
    FERRUM_ASSIGN_OR_RETURN(Value value, apply_filter(runtime, name.text(), item, copy));
    mapped.push_back(std::move(value));
  }
  return runtime.sequence(ObjectKind::kGenerator, std::move(mapped));
}

Result<Value> choose(Runtime& runtime, const Value& input, CallArgs& args, bool by_attribute, bool wanted) {
  if (!input.truthy()) return runtime.sequence(ObjectKind::kGenerator, {});
  const std::string_view filter =
      by_attribute ? (wanted ? "selectattr" : "rejectattr") : (wanted ? "select" : "reject");
  Value attribute = None{};
  if (by_attribute) {
    FERRUM_ASSIGN_OR_RETURN(attribute, take_first(args, filter, "an attribute"));
  }
  Value test;
  if (!args.positional.empty()) {
    FERRUM_ASSIGN_OR_RETURN(test, take_first(args, filter, "a test"));
    if (!test.is_string()) return invalid_argument(std::string(filter) + " needs the name of a test");
  }
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(input));
  std::vector<Value> kept;
  for (const Value& item : items) {
    FERRUM_ASSIGN_OR_RETURN(const Value value, attribute_path(runtime, item, attribute));
    bool holds = value.truthy();
    if (test.is_string()) {
      CallArgs copy = args;
      FERRUM_ASSIGN_OR_RETURN(holds, apply_test(runtime, test.text(), value, copy));
    }
    if (holds == wanted) kept.push_back(item);
  }
  return runtime.sequence(ObjectKind::kGenerator, std::move(kept));
}

template <bool by_attribute, bool wanted>
Result<Value> choose_filter(Runtime& runtime, const Value& input, CallArgs& args) {
  return choose(runtime, input, args, by_attribute, wanted);
}

}  // namespace

FilterBody find_selection_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, FilterBody> kFilters = {
      {"map", map},
      {"select", choose_filter<false, true>},
      {"reject", choose_filter<false, false>},
      {"selectattr", choose_filter<true, true>},
      {"rejectattr", choose_filter<true, false>},
  };
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace ferrum::jinja
