#include "text/jinja/objects.h"

namespace ferrum::jinja {

Result<Value> loop_attribute(Runtime& runtime, const Loop& loop, std::string_view name) {
  const auto index = static_cast<int64_t>(loop.index);
  const auto length = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "revindex") return Value(length - index);
  if (name == "revindex0") return Value(length - index - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == length);
  if (name == "length") return Value(length);
  if (name == "depth") return Value(loop.level + 1);
  if (name == "depth0") return Value(loop.level);
  if (name == "previtem")
    return index > 0 ? loop.items[loop.index - 1] : runtime.undefined("there is no previous item");
  if (name == "nextitem") {
    return index + 1 < length ? loop.items[loop.index + 1] : runtime.undefined("there is no next item");
  }
  return runtime.undefined("'LoopContext object' has no attribute '" + std::string(name) + "'");
}

Result<Value> macro_attribute(Runtime& runtime, const Macro& macro, std::string_view name) {
  const MacroDefinition& definition = macro.definition;
  if (name == "name") return runtime.string(definition.name);
  if (name == "catch_kwargs") return Value(definition.uses_kwargs);
  if (name == "catch_varargs") return Value(definition.uses_varargs);
  if (name == "caller") return Value(definition.uses_caller);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const auto& parameter : definition.parameters) {
      FERRUM_ASSIGN_OR_RETURN(Value parameter_name, runtime.string(parameter.name));
      names.push_back(std::move(parameter_name));
    }
    return runtime.tuple(std::move(names));
  }
  return runtime.undefined("'Macro object' has no attribute '" + std::string(name) + "'");
}

}  // namespace ferrum::jinja
