// Calls of macros, loops and functions; see interpreter.h.
#include <algorithm>

#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"

namespace ferrum::jinja {

Result<Value> Interpreter::call(const Value& callee, CallArgs args) {
  if (callee.is_undefined()) return undefined_error(callee);
  Object* object = callee.object();
  if (object != nullptr) {
    switch (object->kind) {
      case ObjectKind::kFunction: return static_cast<Function*>(object)->body(runtime_, std::move(args));
      case ObjectKind::kMethod: {
        auto* method = static_cast<Method*>(object);
        return method->body(runtime_, method->self, args);
      }
      case ObjectKind::kMacro: return call_macro(*static_cast<Macro*>(object), std::move(args));
      case ObjectKind::kLoop: return call_loop(*static_cast<Loop*>(object), args);
      default: break;
    }
  }
  return invalid_argument("'" + std::string(callee.type_name()) + "' object is not callable");
}

Result<Value> Interpreter::call_macro(const Macro& macro, CallArgs args) {
  const ScopeGuard inner(*this, macro.defined_in);
  FERRUM_RETURN_IF_ERROR(bind_parameters(macro, args));
  FERRUM_RETURN_IF_ERROR(bind_extra(macro, args));
  Flow flow = Flow::kNext;
  return capture(macro.definition.body, flow);
}

// Gives each parameter its argument or default, and leaves in args what no parameter takes.
Status Interpreter::bind_parameters(const Macro& macro, CallArgs& args) {
  const auto& parameters = macro.definition.parameters;
  const size_t taken = std::min(parameters.size(), args.positional.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& parameter = parameters[i];
    const auto named = std::find_if(args.named.begin(), args.named.end(),
                                    [&](const auto& argument) { return argument.first == parameter.name; });
    Value value;
    if (i < taken) {
      if (named != args.named.end()) {
        return invalid_argument("macro '" + macro.definition.name + "' got '" + parameter.name + "' twice");
      }
      value = args.positional[i];
    } else if (named != args.named.end()) {
      value = std::move(named->second);
      args.named.erase(named);
    } else if (parameter.default_value != nullptr) {
      FERRUM_ASSIGN_OR_RETURN(value, eval(*parameter.default_value));
    } else {
      value = runtime_.undefined("parameter '" + parameter.name + "' was not provided");
    }
    FERRUM_RETURN_IF_ERROR(set_name(parameter.name, std::move(value)));
  }
  args.positional.erase(args.positional.begin(), args.positional.begin() + static_cast<std::ptrdiff_t>(taken));
  return Status::ok();
}

// caller, kwargs and varargs, where the body reads them; what is left over otherwise is an error.
Status Interpreter::bind_extra(const Macro& macro, CallArgs& args) {
  const MacroDefinition& definition = macro.definition;
  const auto caller = std::find_if(args.named.begin(), args.named.end(),
                                   [](const auto& argument) { return argument.first == "caller"; });
  if (definition.uses_caller) {
    const bool given = caller != args.named.end();
    FERRUM_RETURN_IF_ERROR(set_name("caller", given ? caller->second : runtime_.undefined("No caller defined")));
    if (given) args.named.erase(caller);
  }
  if (definition.uses_kwargs) {
    FERRUM_ASSIGN_OR_RETURN(Dict * kwargs, runtime_.dict());
    for (const auto& [name, value] : args.named) FERRUM_RETURN_IF_ERROR(runtime_.set_entry(*kwargs, name, value));
    FERRUM_RETURN_IF_ERROR(set_name("kwargs", Value(kwargs)));
  } else if (!args.named.empty()) {
    return invalid_argument("macro '" + definition.name + "' takes no argument '" + args.named.front().first + "'");
  }
  if (definition.uses_varargs) {
    FERRUM_ASSIGN_OR_RETURN(const Value varargs, runtime_.tuple(args.positional));
    return set_name("varargs", varargs);
  }
  if (args.positional.empty()) return Status::ok();
  return invalid_argument("macro '" + definition.name + "' takes not more than " +
                          std::to_string(definition.parameters.size()) + " arguments");
}

// loop(items) in a recursive loop: the same loop over other items, as text.
Result<Value> Interpreter::call_loop(const Loop& loop, CallArgs& args) {
  if (!loop.recursive || loop.statement == nullptr) {
    return invalid_argument("loop() needs a running loop with the 'recursive' modifier");
  }
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("loop()", args, {"iterable"}, 1));
  TextBuilder text(runtime_);
  TextBuilder* outer = std::exchange(out_, &text);
  Flow flow = Flow::kNext;
  const Status status = run_loop(*loop.statement, bound[0], loop.scope, loop.level + 1, flow);
  out_ = outer;
  FERRUM_RETURN_IF_ERROR(status);
  return text.finish(runtime_);
}

Result<Value> Interpreter::call_loop_method(Loop& loop, std::string_view name, CallArgs& args, bool& known) {
  known = name == "cycle" || name == "changed";
  if (name == "cycle") {
    if (args.positional.empty()) return invalid_argument("loop.cycle() needs something to cycle through");
    return args.positional[loop.index % args.positional.size()];
  }
  bool same = loop.has_changed && loop.last_changed.size() == args.positional.size();
  for (size_t i = 0; same && i < args.positional.size(); ++i) {
    FERRUM_ASSIGN_OR_RETURN(same, equals(runtime_, loop.last_changed[i], args.positional[i]));
  }
  loop.has_changed = true;
  loop.last_changed = args.positional;
  return Value(!same);
}

}  // namespace ferrum::jinja
