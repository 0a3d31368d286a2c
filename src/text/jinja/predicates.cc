// The tests of "value is name"; see filters.h.
#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

namespace ferrum::jinja {
namespace {

Status no_arguments(CallArgs& args) { return BoundArgs::bind("this test", args, {}).status(); }

template <bool (*holds)(const Value&)>
Result<bool> plain(Runtime&, const Value& input, CallArgs& args) {
  if (Status status = no_arguments(args); !status.is_ok()) return status;
  return holds(input);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.dict() != nullptr; }
bool is_number(const Value& v) { return v.is_number(); }
bool is_integer(const Value& v) { return v.is_int(); }
bool is_float(const Value& v) { return v.is_float(); }
bool is_boolean(const Value& v) { return v.is_bool(); }
bool is_true(const Value& v) { return v.is_bool() && v.boolean(); }
bool is_false(const Value& v) { return v.is_bool() && !v.boolean(); }
bool is_escaped(const Value&) { return false; }  // nothing is marked as markup here
bool is_iterable(const Value& v) {
  return v.is_string() || v.is_undefined() || v.sequence() != nullptr || v.dict() != nullptr ||
         v.is_object(ObjectKind::kLoop);
}
bool is_sequence(const Value& v) {
  return is_iterable(v) && !v.is_object(ObjectKind::kGenerator) && !v.is_object(ObjectKind::kView) &&
         !v.is_object(ObjectKind::kLoop);
}
// Python's Undefined has a __call__, which fails.
bool is_callable(const Value& v) {
  return v.is_undefined() || v.is_object(ObjectKind::kFunction) || v.is_object(ObjectKind::kMacro) ||
         v.is_object(ObjectKind::kMethod) || v.is_object(ObjectKind::kLoop);
}

template <bool upper>
Result<bool> is_cased(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(no_arguments(args));
  FERRUM_ASSIGN_OR_RETURN(const Value text, to_text(runtime, input));
  return has_case(text.text(), upper);
}

Result<bool> remainder_is(Runtime& runtime, const Value& input, const Value& divisor, int64_t wanted) {
  FERRUM_ASSIGN_OR_RETURN(const Value rest, binary(runtime, BinaryOp::kModulo, input, divisor));
  return equals(runtime, rest, wanted);
}
template <int wanted>
Result<bool> is_parity(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(no_arguments(args));
  return remainder_is(runtime, input, int64_t{2}, wanted);
}
Result<bool> divisible_by(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("divisibleby", args, {"num"}, 1));
  return remainder_is(runtime, input, bound[0], 0);
}

template <CompareOp op>
Result<bool> compares(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("this test", args, {"other"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const Value result, compare(runtime, op, input, bound[0]));
  return result.truthy();
}

Result<bool> same_as(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("sameas", args, {"other"}, 1));
  if (input.object() != nullptr || bound[0].object() != nullptr) return input.object() == bound[0].object();
  if (input.type_name() != bound[0].type_name()) return false;
  return equals(runtime, input, bound[0]);
}

template <bool (*known)(std::string_view)>
Result<bool> is_name(Runtime&, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(no_arguments(args));
  return input.is_string() && known(input.text());
}

const std::unordered_map<std::string_view, TestBody>& tests() {
  static const std::unordered_map<std::string_view, TestBody> kTests = {
      {"defined", plain<is_defined>},
      {"undefined", plain<is_undefined>},
      {"none", plain<is_none>},
      {"string", plain<is_string>},
      {"mapping", plain<is_mapping>},
      {"iterable", plain<is_iterable>},
      {"sequence", plain<is_sequence>},
      {"number", plain<is_number>},
      {"integer", plain<is_integer>},
      {"float", plain<is_float>},
      {"boolean", plain<is_boolean>},
      {"true", plain<is_true>},
      {"false", plain<is_false>},
      {"callable", plain<is_callable>},
      {"escaped", plain<is_escaped>},
      {"upper", is_cased<true>},
      {"lower", is_cased<false>},
      {"odd", is_parity<1>},
      {"even", is_parity<0>},
      {"divisibleby", divisible_by},
      {"eq", compares<CompareOp::kEqual>},
      {"equalto", compares<CompareOp::kEqual>},
      {"==", compares<CompareOp::kEqual>},
      {"ne", compares<CompareOp::kNotEqual>},
      {"!=", compares<CompareOp::kNotEqual>},
      {"lt", compares<CompareOp::kLess>},
      {"lessthan", compares<CompareOp::kLess>},
      {"<", compares<CompareOp::kLess>},
      {"le", compares<CompareOp::kLessEqual>},
      {"<=", compares<CompareOp::kLessEqual>},
      {"gt", compares<CompareOp::kGreater>},
      {"greaterthan", compares<CompareOp::kGreater>},
      {">", compares<CompareOp::kGreater>},
      {"ge", compares<CompareOp::kGreaterEqual>},
      {">=", compares<CompareOp::kGreaterEqual>},
      {"in", compares<CompareOp::kIn>},
      {"sameas", same_as},
      {"filter", is_name<has_filter>},
      {"test", is_name<has_test>},
  };
  return kTests;
}

}  // namespace

bool has_test(std::string_view name) { return tests().contains(name); }

Result<bool> apply_test(Runtime& runtime, std::string_view name, const Value& input, CallArgs& args) {
  const auto found = tests().find(name);
  if (found == tests().end()) return invalid_argument("there is no test '" + std::string(name) + "'");
  FERRUM_RETURN_IF_ERROR(runtime.charge(1));
  return found->second(runtime, input, args);
}

}  // namespace ferrum::jinja
