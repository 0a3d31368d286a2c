// The values a template computes with: Python's, as far as templates can see them.
//
// A Value is cheap to copy: scalars are held inside, strings are shared and immutable, everything else is a pointer to
// an Object that the Runtime of the render owns until the render ends. So a template can build cycles and very deep
// values without leaking or exhausting the stack when they go.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace ferrum::jinja {

class Runtime;
class Value;

// Counts the bytes of live values against the limit of a render.
struct Budget {
  size_t used = 0;
  size_t limit = 0;
};

struct StringObject {
  StringObject(std::string content, Budget* budget_or_null);
  ~StringObject();
  StringObject(const StringObject&) = delete;
  StringObject& operator=(const StringObject&) = delete;

  const std::string text;
  const size_t length;   // in code points
  Budget* const budget;  // null for literals, which belong to the compiled template
  bool ascii() const { return length == text.size(); }
};
using StringPtr = std::shared_ptr<const StringObject>;

enum class ObjectKind {
  kList,
  kTuple,
  kRange,
  kGenerator,  // what map, select, ... give: true even when empty, and empty after it was walked through once
  kView,       // keys(), values(), items() of a dict
  kDict,
  kNamespace,
  kLoop,
  kMacro,
  kFunction,
  kMethod,
};

struct Object {
  explicit Object(ObjectKind object_kind) : kind(object_kind) {}
  virtual ~Object() = default;
  const ObjectKind kind;
};

// Jinja's Undefined: prints as nothing, is false and empty; anything else fails with the hint ("'x' is undefined").
struct Undefined {
  StringPtr hint;
};
struct None {};

struct Sequence;
struct Dict;

class Value {
 public:
  Value() = default;  // undefined
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(None none) : data_(none) {}
  Value(bool b) : data_(b) {}
  Value(int64_t i) : data_(i) {}
  Value(double d) : data_(d) {}
  Value(StringPtr s) : data_(std::move(s)) {}
  Value(Object* object) : data_(object) {}

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }  // not bool, unlike Python's isinstance
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_string() const { return std::holds_alternative<StringPtr>(data_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_integral() const { return is_bool() || is_int(); }
  bool is_object(ObjectKind kind) const { return object() != nullptr && object()->kind == kind; }

  const Undefined& undefined() const { return std::get<Undefined>(data_); }
  bool boolean() const { return std::get<bool>(data_); }
  double real() const { return std::get<double>(data_); }
  int64_t integer() const { return is_bool() ? int64_t{boolean()} : std::get<int64_t>(data_); }
  double number() const { return is_float() ? real() : static_cast<double>(integer()); }
  const StringPtr& string() const { return std::get<StringPtr>(data_); }
  std::string_view text() const { return string()->text; }

  Object* object() const {
    const auto* pointer = std::get_if<Object*>(&data_);
    return pointer != nullptr ? *pointer : nullptr;
  }
  Sequence* sequence() const;  // list, tuple, range, generator or view; null for anything else
  Dict* dict() const;          // null for anything else, also for a namespace

  bool truthy() const;
  std::string_view type_name() const;  // Python's: "str", "NoneType", ...

 private:
  std::variant<Undefined, None, bool, int64_t, double, StringPtr, Object*> data_;
};

struct Sequence : Object {
  Sequence(ObjectKind object_kind, std::vector<Value> values) : Object(object_kind), items(std::move(values)) {}
  std::vector<Value> items;
  std::string label;  // of a view, "dict_keys"; of a range, how it prints
};

// Insertion ordered. Keys compare as in Python: 1, 1.0 and true are the same key.
struct Dict : Object {
  explicit Dict(ObjectKind object_kind = ObjectKind::kDict) : Object(object_kind) {}

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  bool set(Value key, Value value);  // true when the key is new
  bool erase(const Value& key);
  void clear();
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }

 private:
  static constexpr size_t kIndexFrom = 16;  // fewer entries are found faster by looking at each
  static constexpr size_t kAbsent = static_cast<size_t>(-1);
  size_t locate(const Value& key) const;
  void rebuild_index();

  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_multimap<size_t, size_t> index_;  // hash of the key to position; empty below kIndexFrom
};

// str, numbers, None and tuples of such may be keys (a tuple in a tuple may not: its hash could take for ever).
bool is_hashable(const Value& value);
size_t hash_key(const Value& key);
bool equal_keys(const Value& a, const Value& b);

struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// A function of the host. Also the global functions of the language.
struct Function : Object {
  using Body = std::function<Result<Value>(Runtime&, CallArgs)>;
  Function(std::string function_name, Body function_body)
      : Object(ObjectKind::kFunction), name(std::move(function_name)), body(std::move(function_body)) {}
  std::string name;
  Body body;
};

using MethodBody = Result<Value> (*)(Runtime&, const Value& self, CallArgs&);

// obj.name, not yet called.
struct Method : Object {
  Method(Value object, std::string method_name, MethodBody method_body)
      : Object(ObjectKind::kMethod), self(std::move(object)), name(std::move(method_name)), body(method_body) {}
  Value self;
  std::string name;
  MethodBody body;
};

}  // namespace ferrum::jinja
