// Methods of lists, tuples and dicts. Those that change one change what this render made of the caller's data, never
// the caller's data itself.
#include <algorithm>
#include <unordered_map>

#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/sorting.h"

namespace ferrum::jinja {
namespace {

using Table = std::unordered_map<std::string_view, MethodBody>;

Result<Value> view(Runtime& runtime, std::string_view label, std::vector<Value> items) {
  FERRUM_ASSIGN_OR_RETURN(const Value made, runtime.sequence(ObjectKind::kView, std::move(items)));
  made.sequence()->label = label;
  return made;
}

Result<Value> dict_keys(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("keys()", args, {}).status());
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> keys, runtime.items(self));
  return view(runtime, "dict_keys", std::move(keys));
}

Result<Value> dict_values(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("values()", args, {}).status());
  std::vector<Value> values;
  for (const auto& entry : self.dict()->entries()) values.push_back(entry.second);
  return view(runtime, "dict_values", std::move(values));
}

Result<Value> dict_items(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("items()", args, {}).status());
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict()->entries()) {
    FERRUM_ASSIGN_OR_RETURN(Value item, runtime.pair(key, value));
    items.push_back(std::move(item));
  }
  return view(runtime, "dict_items", std::move(items));
}

Status check_key(const Value& key) {
  return is_hashable(key) ? Status::ok() : invalid_argument("unhashable type: '" + std::string(key.type_name()) + "'");
}

Result<Value> dict_get(Runtime&, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("get()", args, {"key", "default"}, 1));
  FERRUM_RETURN_IF_ERROR(check_key(bound[0]));
  const Value* found = self.dict()->find(bound[0]);
  return found != nullptr ? *found : bound.get(1, None{});
}

Result<Value> dict_setdefault(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("setdefault()", args, {"key", "default"}, 1));
  FERRUM_RETURN_IF_ERROR(check_key(bound[0]));
  if (const Value* found = self.dict()->find(bound[0])) return *found;
  const Value value = bound.get(1, None{});
  FERRUM_RETURN_IF_ERROR(runtime.set_entry(*self.dict(), bound[0], value));
  return value;
}

Result<Value> dict_pop(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("pop()", args, {"key", "default"}, 1));
  FERRUM_RETURN_IF_ERROR(check_key(bound[0]));
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.dict()->entries().size()));
  const Value* found = self.dict()->find(bound[0]);
  if (found == nullptr) {
    return bound.has(1) ? Result<Value>(bound[1]) : invalid_argument("pop(): the dict has no such key");
  }
  Value value = *found;
  self.dict()->erase(bound[0]);
  return value;
}

Result<Value> dict_update(Runtime& runtime, const Value& self, CallArgs& args) {
  if (args.positional.size() > 1) return invalid_argument("update() takes at most one dict");
  if (!args.positional.empty()) {
    const Dict* other = args.positional[0].dict();
    if (other == nullptr) return invalid_argument("update() needs a dict");
    const auto entries = other->entries();  // a copy: it may be the same dict
    for (const auto& [key, value] : entries) FERRUM_RETURN_IF_ERROR(runtime.set_entry(*self.dict(), key, value));
  }
  for (const auto& [key, value] : args.named) FERRUM_RETURN_IF_ERROR(runtime.set_entry(*self.dict(), key, value));
  return Value(None{});
}

Result<Value> dict_copy(Runtime& runtime, const Value& self, CallArgs&) {
  FERRUM_ASSIGN_OR_RETURN(Dict * copy, runtime.dict());
  for (const auto& [key, value] : self.dict()->entries()) FERRUM_RETURN_IF_ERROR(runtime.set_entry(*copy, key, value));
  return Value(copy);
}

Result<Value> dict_clear(Runtime&, const Value& self, CallArgs&) {
  self.dict()->clear();
  return Value(None{});
}

Result<Value> list_append(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("append()", args, {"item"}, 1));
  FERRUM_RETURN_IF_ERROR(runtime.append(*self.sequence(), bound[0]));
  return Value(None{});
}

Result<Value> list_extend(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("extend()", args, {"items"}, 1));
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, runtime.items(bound[0]));
  for (Value& item : items) FERRUM_RETURN_IF_ERROR(runtime.append(*self.sequence(), std::move(item)));
  return Value(None{});
}

Result<Value> list_insert(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("insert()", args, {"index", "item"}, 2));
  FERRUM_ASSIGN_OR_RETURN(const int64_t wanted, bound.integer(0, 0));
  auto& items = self.sequence()->items;
  const auto size = static_cast<int64_t>(items.size());
  const int64_t at = std::clamp<int64_t>(wanted < 0 ? wanted + size : wanted, 0, size);
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + items.size() / 8));
  FERRUM_RETURN_IF_ERROR(runtime.allocate(sizeof(Value)));
  items.insert(items.begin() + at, bound[1]);
  return Value(None{});
}

Result<Value> list_pop(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("pop()", args, {"index"}));
  FERRUM_ASSIGN_OR_RETURN(const int64_t wanted, bound.integer(0, -1));
  auto& items = self.sequence()->items;
  const int64_t at = wanted < 0 ? wanted + static_cast<int64_t>(items.size()) : wanted;
  if (at < 0 || at >= static_cast<int64_t>(items.size())) return invalid_argument("pop(): the list has no such index");
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + items.size() / 8));
  Value value = items[static_cast<size_t>(at)];
  items.erase(items.begin() + at);
  return value;
}

// The position of a value, or the list's size.
Result<size_t> position_of(Runtime& runtime, const std::vector<Value>& items, const Value& wanted) {
  for (size_t i = 0; i < items.size(); ++i) {
    FERRUM_ASSIGN_OR_RETURN(const bool same, equals(runtime, items[i], wanted));
    if (same) return i;
  }
  return items.size();
}

Result<Value> list_remove(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("remove()", args, {"item"}, 1));
  auto& items = self.sequence()->items;
  FERRUM_ASSIGN_OR_RETURN(const size_t at, position_of(runtime, items, bound[0]));
  if (at == items.size()) return invalid_argument("remove(): the list has no such item");
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
  return Value(None{});
}

Result<Value> list_index(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("index()", args, {"item"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const size_t at, position_of(runtime, self.sequence()->items, bound[0]));
  if (at == self.sequence()->items.size()) return invalid_argument("index(): the list has no such item");
  return Value(static_cast<int64_t>(at));
}

Result<Value> list_count(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("count()", args, {"item"}, 1));
  int64_t found = 0;
  for (const Value& item : self.sequence()->items) {
    FERRUM_ASSIGN_OR_RETURN(const bool same, equals(runtime, item, bound[0]));
    found += same ? 1 : 0;
  }
  return Value(found);
}

Result<Value> list_reverse(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("reverse()", args, {}).status());
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.sequence()->items.size() / 8));
  std::reverse(self.sequence()->items.begin(), self.sequence()->items.end());
  return Value(None{});
}

Result<Value> list_sort(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("sort()", args, {"reverse"}));
  std::vector<Value> items = self.sequence()->items;
  const std::vector<Value> keys = items;
  FERRUM_RETURN_IF_ERROR(sort_by_keys(runtime, items, keys, bound.truthy(0, false)));
  self.sequence()->items = std::move(items);
  return Value(None{});
}

Result<Value> list_copy(Runtime& runtime, const Value& self, CallArgs&) { return runtime.list(self.sequence()->items); }

Result<Value> list_clear(Runtime&, const Value& self, CallArgs&) {
  self.sequence()->items.clear();
  return Value(None{});
}

MethodBody find_in(const Table& table, std::string_view name) {
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace

MethodBody find_container_method(const Value& object, std::string_view name) {
  static const Table kDict = {
      {"keys", dict_keys}, {"values", dict_values}, {"items", dict_items},
      {"get", dict_get},   {"pop", dict_pop},       {"setdefault", dict_setdefault},
      {"copy", dict_copy}, {"update", dict_update}, {"clear", dict_clear},
  };
  static const Table kTuple = {{"index", list_index}, {"count", list_count}};
  static const Table kList = {
      {"append", list_append}, {"extend", list_extend}, {"insert", list_insert}, {"pop", list_pop},
      {"remove", list_remove}, {"index", list_index},   {"count", list_count},   {"reverse", list_reverse},
      {"sort", list_sort},     {"copy", list_copy},     {"clear", list_clear},
  };
  if (object.dict() != nullptr) return find_in(kDict, name);
  if (object.is_object(ObjectKind::kList)) return find_in(kList, name);
  if (object.is_object(ObjectKind::kTuple) || object.is_object(ObjectKind::kRange)) return find_in(kTuple, name);
  return nullptr;
}

MethodBody find_method(const Value& object, std::string_view name) {
  if (object.is_string()) return find_string_method(name);
  return object.object() != nullptr ? find_container_method(object, name) : nullptr;
}

}  // namespace ferrum::jinja
