// The objects that statements make: scopes, macros and loops.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace ferrum::jinja {

// Names of one block; a macro keeps the scope it was defined in. Owned by the interpreter until the render ends.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> names;  // views into the syntax tree or the caller's context
  bool captured = false;                                  // a macro may still read it, so it cannot be used again

  const Value* find_here(std::string_view name) const {
    for (const auto& [known, value] : names) {
      if (known == name) return &value;
    }
    return nullptr;
  }
  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent) {
      if (const Value* found = scope->find_here(name)) return found;
    }
    return nullptr;
  }
  void set(std::string_view name, Value value) {
    for (auto& [known, old] : names) {
      if (known == name) {
        old = std::move(value);
        return;
      }
    }
    names.emplace_back(name, std::move(value));
  }
};

struct Macro : Object {
  Macro(const MacroDefinition& macro_definition, Scope* scope)
      : Object(ObjectKind::kMacro), definition(macro_definition), defined_in(scope) {}
  const MacroDefinition& definition;
  Scope* const defined_in;
};

// `loop` inside a for body.
struct Loop : Object {
  explicit Loop(std::vector<Value> values) : Object(ObjectKind::kLoop), items(std::move(values)) {}
  std::vector<Value> items;
  size_t index = 0;   // from 0
  int64_t level = 0;  // of recursion, from 0
  const For* statement = nullptr;
  Scope* scope = nullptr;  // the scope around the statement
  bool recursive = false;
  std::vector<Value> last_changed;  // what changed() saw last
  bool has_changed = false;
};

// loop.index, loop.last, ...; undefined where there is no such attribute.
Result<Value> loop_attribute(Runtime& runtime, const Loop& loop, std::string_view name);
Result<Value> macro_attribute(Runtime& runtime, const Macro& macro, std::string_view name);

}  // namespace ferrum::jinja
