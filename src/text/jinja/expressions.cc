// Evaluation of expressions; see interpreter.h.
#include "text/jinja/filters.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace ferrum::jinja {

Result<Value> Interpreter::eval(const Expr& expr) {
  const Level level(depth_);
  if (Status status = enter(); !status.is_ok()) return locate(std::move(status), expr.position);
  Result<Value> result = eval_unlocated(expr);
  if (!result.is_ok()) return locate(std::move(result).status(), expr.position);
  return result;
}

Result<Value> Interpreter::eval_unlocated(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kLiteral: return static_cast<const Literal&>(expr).value;
    case ExprKind::kName: return eval_name(static_cast<const Name&>(expr));
    case ExprKind::kList: return eval_list(static_cast<const ListExpr&>(expr).items, ObjectKind::kList);
    case ExprKind::kTuple: return eval_list(static_cast<const TupleExpr&>(expr).items, ObjectKind::kTuple);
    case ExprKind::kDict: return eval_dict(static_cast<const DictExpr&>(expr));
    case ExprKind::kUnary: return eval_unary(static_cast<const Unary&>(expr));
    case ExprKind::kBinary: return eval_binary(static_cast<const Binary&>(expr));
    case ExprKind::kConcat: return eval_concat(static_cast<const Concat&>(expr));
    case ExprKind::kLogic: return eval_logic(static_cast<const Logic&>(expr));
    case ExprKind::kCompare: return eval_compare(static_cast<const Compare&>(expr));
    case ExprKind::kConditional: return eval_conditional(static_cast<const Conditional&>(expr));
    case ExprKind::kAttribute: return eval_attribute(static_cast<const Attribute&>(expr));
    case ExprKind::kItem: return eval_item(static_cast<const Item&>(expr));
    case ExprKind::kCall: return eval_call(static_cast<const Call&>(expr));
    case ExprKind::kFilter: return eval_filter(static_cast<const Filter&>(expr));
    case ExprKind::kTest: return eval_test(static_cast<const Test&>(expr));
    case ExprKind::kSlice: break;  // part of an Item
  }
  return invalid_argument("a slice stands where no slice can be");
}

Result<Value> Interpreter::eval_name(const Name& expr) {
  if (const Value* found = scope_->find(expr.name)) return *found;
  return runtime_.undefined("'" + expr.name + "' is undefined");
}

Result<Value> Interpreter::eval_list(const std::vector<ExprPtr>& items, ObjectKind kind) {
  std::vector<Value> values;
  values.reserve(items.size());
  for (const ExprPtr& item : items) {
    FERRUM_ASSIGN_OR_RETURN(Value value, eval(*item));
    values.push_back(std::move(value));
  }
  return runtime_.sequence(kind, std::move(values));
}

Result<Value> Interpreter::eval_dict(const DictExpr& expr) {
  FERRUM_ASSIGN_OR_RETURN(Dict * dict, runtime_.dict());
  for (const auto& [key_expr, value_expr] : expr.entries) {
    FERRUM_ASSIGN_OR_RETURN(Value key, eval(*key_expr));
    FERRUM_ASSIGN_OR_RETURN(Value value, eval(*value_expr));
    FERRUM_RETURN_IF_ERROR(runtime_.set_entry(*dict, std::move(key), std::move(value)));
  }
  return Value(dict);
}

Result<Value> Interpreter::eval_unary(const Unary& expr) {
  FERRUM_ASSIGN_OR_RETURN(const Value value, eval(*expr.operand));
  if (expr.op == UnaryOp::kNot) return Value(!value.truthy());
  if (expr.op == UnaryOp::kMinus) return negate(runtime_, value);
  if (value.is_float()) return value;
  if (value.is_integral()) return Value(value.integer());
  if (value.is_undefined()) return undefined_error(value);
  return invalid_argument("bad operand type for unary +: '" + std::string(value.type_name()) + "'");
}

Result<Value> Interpreter::eval_binary(const Binary& expr) {
  FERRUM_ASSIGN_OR_RETURN(const Value left, eval(*expr.left));
  FERRUM_ASSIGN_OR_RETURN(const Value right, eval(*expr.right));
  return binary(runtime_, expr.op, left, right);
}

Result<Value> Interpreter::eval_concat(const Concat& expr) {
  TextBuilder out(runtime_);
  for (const ExprPtr& item : expr.items) {
    FERRUM_ASSIGN_OR_RETURN(const Value value, eval(*item));
    FERRUM_RETURN_IF_ERROR(append_text(runtime_, out, value));
  }
  return out.finish(runtime_);
}

Result<Value> Interpreter::eval_logic(const Logic& expr) {
  FERRUM_ASSIGN_OR_RETURN(Value left, eval(*expr.left));
  if (left.truthy() != expr.is_and) return left;
  return eval(*expr.right);
}

Result<Value> Interpreter::eval_compare(const Compare& expr) {
  FERRUM_ASSIGN_OR_RETURN(Value left, eval(*expr.first));
  Value result = true;
  for (const auto& [op, operand] : expr.rest) {
    FERRUM_ASSIGN_OR_RETURN(Value right, eval(*operand));
    FERRUM_ASSIGN_OR_RETURN(result, compare(runtime_, op, left, right));
    if (!result.truthy()) break;
    left = std::move(right);
  }
  return result;
}

Result<Value> Interpreter::eval_conditional(const Conditional& expr) {
  FERRUM_ASSIGN_OR_RETURN(const Value condition, eval(*expr.condition));
  if (condition.truthy()) return eval(*expr.then);
  if (expr.otherwise != nullptr) return eval(*expr.otherwise);
  return runtime_.undefined("the inline if-expression evaluated to false and has no else");
}

Result<Value> Interpreter::eval_attribute(const Attribute& expr) {
  FERRUM_ASSIGN_OR_RETURN(const Value object, eval(*expr.object));
  return get_attribute(runtime_, object, expr.name);
}

Result<Value> Interpreter::eval_item(const Item& expr) {
  FERRUM_ASSIGN_OR_RETURN(const Value object, eval(*expr.object));
  if (expr.key->kind == ExprKind::kSlice) return eval_slice(object, static_cast<const Slice&>(*expr.key));
  FERRUM_ASSIGN_OR_RETURN(const Value key, eval(*expr.key));
  return get_item(runtime_, object, key);
}

Result<Value> Interpreter::eval_slice(const Value& object, const Slice& slice) {
  SliceBounds bounds;
  if (slice.start != nullptr) {
    FERRUM_ASSIGN_OR_RETURN(bounds.start, eval(*slice.start));
  }
  if (slice.stop != nullptr) {
    FERRUM_ASSIGN_OR_RETURN(bounds.stop, eval(*slice.stop));
  }
  if (slice.step != nullptr) {
    FERRUM_ASSIGN_OR_RETURN(bounds.step, eval(*slice.step));
  }
  return get_slice(runtime_, object, bounds);
}

Result<Value> Interpreter::eval_filter(const Filter& expr) {
  FERRUM_ASSIGN_OR_RETURN(const Value input, eval(*expr.input));
  FERRUM_ASSIGN_OR_RETURN(CallArgs args, eval_arguments(expr.arguments));
  return apply_filter(runtime_, expr.name, input, args);
}

Result<Value> Interpreter::eval_filter_on(const Filter& expr, const Value& body) {
  const Level level(depth_);
  FERRUM_RETURN_IF_ERROR(enter());
  Value input = body;
  if (expr.input != nullptr) {
    FERRUM_ASSIGN_OR_RETURN(input, eval_filter_on(static_cast<const Filter&>(*expr.input), body));
  }
  FERRUM_ASSIGN_OR_RETURN(CallArgs args, eval_arguments(expr.arguments));
  return apply_filter(runtime_, expr.name, input, args);
}

Result<Value> Interpreter::eval_test(const Test& expr) {
  FERRUM_ASSIGN_OR_RETURN(const Value input, eval(*expr.input));
  FERRUM_ASSIGN_OR_RETURN(CallArgs args, eval_arguments(expr.arguments));
  FERRUM_ASSIGN_OR_RETURN(const bool holds, apply_test(runtime_, expr.name, input, args));
  return Value(holds != expr.negated);
}

Result<CallArgs> Interpreter::eval_arguments(const std::vector<Argument>& arguments) {
  CallArgs args;
  for (const Argument& argument : arguments) {
    FERRUM_ASSIGN_OR_RETURN(Value value, eval(*argument.value));
    switch (argument.kind) {
      case ArgumentKind::kPositional: args.positional.push_back(std::move(value)); break;
      case ArgumentKind::kNamed: args.named.emplace_back(argument.name, std::move(value)); break;
      case ArgumentKind::kStar: {
        FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, runtime_.items(value));
        for (Value& item : items) args.positional.push_back(std::move(item));
        break;
      }
      case ArgumentKind::kDoubleStar: {
        if (value.dict() == nullptr) return invalid_argument("the value after ** must be a dict");
        for (const auto& [key, item] : value.dict()->entries()) {
          if (!key.is_string()) return invalid_argument("keywords must be strings");
          args.named.emplace_back(std::string(key.text()), item);
        }
        FERRUM_RETURN_IF_ERROR(runtime_.charge(args.named.size()));
        break;
      }
    }
  }
  return args;
}

// `caller` is the body of a call block, which the macro gets as one more named argument.
Result<Value> Interpreter::eval_call(const Call& expr, const Value* caller) {
  Value callee;
  if (expr.callee->kind == ExprKind::kAttribute) {
    // obj.method(...): without making an object of the method.
    const auto& attribute = static_cast<const Attribute&>(*expr.callee);
    FERRUM_ASSIGN_OR_RETURN(const Value object, eval(*attribute.object));
    if (const MethodBody method = find_method(object, attribute.name)) {
      FERRUM_ASSIGN_OR_RETURN(CallArgs args, eval_arguments(expr.arguments));
      return method(runtime_, object, args);
    }
    if (object.is_object(ObjectKind::kLoop)) {
      FERRUM_ASSIGN_OR_RETURN(CallArgs args, eval_arguments(expr.arguments));
      bool known = false;
      auto result = call_loop_method(*static_cast<Loop*>(object.object()), attribute.name, args, known);
      if (known) return result;
    }
    FERRUM_ASSIGN_OR_RETURN(callee, get_attribute(runtime_, object, attribute.name));
  } else {
    FERRUM_ASSIGN_OR_RETURN(callee, eval(*expr.callee));
  }
  FERRUM_ASSIGN_OR_RETURN(CallArgs args, eval_arguments(expr.arguments));
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  return call(callee, std::move(args));
}

}  // namespace ferrum::jinja
