#include "text/jinja/operators.h"

#include <cmath>
#include <limits>

#include "text/jinja/format.h"
#include "text/jinja/print.h"

namespace ferrum::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

Status overflow() { return invalid_argument("the result of this integer operation does not fit 64 bits"); }
Status division_by_zero() { return invalid_argument("division by zero"); }

Status bad_operands(BinaryOp op, const Value& a, const Value& b) {
  return invalid_argument("unsupported operand types for " + std::string(kSymbols[static_cast<size_t>(op)]) + ": '" +
                          std::string(a.type_name()) + "' and '" + std::string(b.type_name()) + "'");
}

// Rounds towards minus infinity, as // and % do.
int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

double float_modulo(double a, double b) {
  const double remainder = std::fmod(a, b);
  if (remainder == 0.0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

// Python's float //: exact where the quotient of the rounded division would be off by one.
double float_floor_divide(double a, double b) {
  const double quotient = (a - float_modulo(a, b)) / b;
  if (quotient == 0.0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1.0 : floored;
}

Result<Value> integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return overflow();
  }
  return Value(result);
}

Result<Value> integer_binary(BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::kAdd: return __builtin_add_overflow(a, b, &result) ? Result<Value>(overflow()) : Value(result);
    case BinaryOp::kSubtract: return __builtin_sub_overflow(a, b, &result) ? Result<Value>(overflow()) : Value(result);
    case BinaryOp::kMultiply: return __builtin_mul_overflow(a, b, &result) ? Result<Value>(overflow()) : Value(result);
    case BinaryOp::kDivide:
      if (b == 0) return division_by_zero();
      return Value(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOp::kFloorDivide:
    case BinaryOp::kModulo:
      if (b == 0) return division_by_zero();
      if (b == -1)
        return op == BinaryOp::kModulo ? Result<Value>(Value(int64_t{0})) : integer_binary(BinaryOp::kSubtract, 0, a);
      if (op == BinaryOp::kFloorDivide) return Value(floor_divide(a, b));
      return Value(a - floor_divide(a, b) * b);
    case BinaryOp::kPower:
      if (b >= 0) return integer_power(a, b);
      if (a == 0) return division_by_zero();
      return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
  return overflow();
}

Result<Value> float_binary(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd: return Value(a + b);
    case BinaryOp::kSubtract: return Value(a - b);
    case BinaryOp::kMultiply: return Value(a * b);
    case BinaryOp::kDivide: return b == 0.0 ? Result<Value>(division_by_zero()) : Value(a / b);
    case BinaryOp::kFloorDivide: return b == 0.0 ? Result<Value>(division_by_zero()) : Value(float_floor_divide(a, b));
    case BinaryOp::kModulo: return b == 0.0 ? Result<Value>(division_by_zero()) : Value(float_modulo(a, b));
    case BinaryOp::kPower: {
      if (a == 0.0 && b < 0) return division_by_zero();
      if (a < 0 && b != std::floor(b)) return invalid_argument("a negative number to a broken power is not a number");
      const double result = std::pow(a, b);
      if (std::isinf(result) && !std::isinf(a) && !std::isinf(b)) return invalid_argument("float power is too large");
      return Value(result);
    }
  }
  return overflow();
}

Result<Value> repeat(Runtime& runtime, const Value& value, int64_t count) {
  const size_t times = count > 0 ? static_cast<size_t>(count) : 0;
  if (value.is_string()) {
    TextBuilder out(runtime);
    if (value.text().size() == 1) {
      out.append(value.text()[0], times);
    } else if (!value.text().empty()) {
      for (size_t i = 0; i < times && !out.full(); ++i) out.append(value.text());
    }
    return out.finish(runtime);
  }
  const auto& items = value.sequence()->items;
  const size_t bytes = items.size() * sizeof(Value);
  if (bytes != 0 && times > runtime.options().limits.memory / bytes) {
    return invalid_argument("the template uses more memory than a render may");
  }
  FERRUM_RETURN_IF_ERROR(runtime.charge(items.size() * times));
  std::vector<Value> out;
  for (size_t i = 0; i < times && !items.empty(); ++i) out.insert(out.end(), items.begin(), items.end());
  return runtime.sequence(value.object()->kind, std::move(out));
}

bool is_list_or_tuple(const Value& value) {
  return value.is_object(ObjectKind::kList) || value.is_object(ObjectKind::kTuple);
}

Result<Value> concatenate(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string()) {
    TextBuilder out(runtime);
    out.append(a.text());
    out.append(b.text());
    return out.finish(runtime);
  }
  const auto& left = a.sequence()->items;
  const auto& right = b.sequence()->items;
  FERRUM_RETURN_IF_ERROR(runtime.charge((left.size() + right.size()) / 8));
  std::vector<Value> out(left);
  out.insert(out.end(), right.begin(), right.end());
  return runtime.sequence(a.object()->kind, std::move(out));
}

// The JavaScript port joins a string and anything with "+".
Result<Value> js_add(Runtime& runtime, const Value& a, const Value& b) {
  TextBuilder out(runtime);
  FERRUM_RETURN_IF_ERROR(append_text(runtime, out, a));
  FERRUM_RETURN_IF_ERROR(append_text(runtime, out, b));
  return out.finish(runtime);
}

// Exact also where a 64-bit integer has more digits than a double holds.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
  const auto wide = [](const Value& v) {
    return v.is_float() ? static_cast<long double>(v.real()) : static_cast<long double>(v.integer());
  };
  return wide(a) < wide(b) ? -1 : wide(a) > wide(b) ? 1 : wide(a) == wide(b) ? 0 : 2;  // 2: one is not a number
}

Result<bool> equal_at(Runtime& runtime, const Value& a, const Value& b, int depth);

Result<bool> equal_containers(Runtime& runtime, const Value& a, const Value& b, int depth) {
  if (a.object() == b.object()) return true;
  if (a.object()->kind != b.object()->kind) return false;
  if (const Sequence* left = a.sequence()) {
    const auto& right = b.sequence()->items;
    if (left->kind == ObjectKind::kGenerator || left->items.size() != right.size()) return false;
    for (size_t i = 0; i < right.size(); ++i) {
      FERRUM_ASSIGN_OR_RETURN(const bool same, equal_at(runtime, left->items[i], right[i], depth + 1));
      if (!same) return false;
    }
    return true;
  }
  const Dict* left = a.dict();
  if (left == nullptr || left->entries().size() != b.dict()->entries().size()) return false;
  for (const auto& [key, value] : left->entries()) {
    const Value* other = b.dict()->find(key);
    if (other == nullptr) return false;
    FERRUM_ASSIGN_OR_RETURN(const bool same, equal_at(runtime, value, *other, depth + 1));
    if (!same) return false;
  }
  return true;
}

Result<bool> equal_at(Runtime& runtime, const Value& a, const Value& b, int depth) {
  if (depth > kMaxValueDepth) return invalid_argument("these values are nested too deeply to compare");
  if (a.object() == nullptr || b.object() == nullptr) {
    const size_t bytes = a.is_string() ? a.text().size() : 0;
    FERRUM_RETURN_IF_ERROR(runtime.charge(1 + bytes / 64));
    if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
    return equal_keys(a, b);
  }
  FERRUM_RETURN_IF_ERROR(runtime.charge(1));
  return equal_containers(runtime, a, b, depth);
}

Result<bool> less_at(Runtime& runtime, const Value& a, const Value& b, int depth) {
  if (depth > kMaxValueDepth) return invalid_argument("these values are nested too deeply to compare");
  FERRUM_RETURN_IF_ERROR(runtime.charge(1));
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == -1;
  if (a.is_string() && b.is_string()) return a.text() < b.text();  // UTF-8 sorts as its code points do
  if (a.is_undefined() || b.is_undefined()) return undefined_error(a.is_undefined() ? a : b);
  if (!is_list_or_tuple(a) || !is_list_or_tuple(b) || a.object()->kind != b.object()->kind) {
    return invalid_argument("'<' not supported between instances of '" + std::string(a.type_name()) + "' and '" +
                            std::string(b.type_name()) + "'");
  }
  const auto& left = a.sequence()->items;
  const auto& right = b.sequence()->items;
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    FERRUM_ASSIGN_OR_RETURN(const bool same, equal_at(runtime, left[i], right[i], depth + 1));
    if (!same) return less_at(runtime, left[i], right[i], depth + 1);
  }
  return left.size() < right.size();
}

}  // namespace

Status undefined_error(const Value& value) {
  const StringPtr& hint = value.undefined().hint;
  return invalid_argument(hint != nullptr ? hint->text : "an undefined value is used");
}

Result<int64_t> truncate_to_integer(double value) {
  if (!(value > -9.3e18 && value < 9.3e18)) return overflow();
  const double whole = std::trunc(value);
  if (whole < -9223372036854775808.0 || whole >= 9223372036854775808.0) return overflow();
  return static_cast<int64_t>(whole);
}

Result<Value> binary(Runtime& runtime, BinaryOp op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return integer_binary(op, a.integer(), b.integer());
    return float_binary(op, a.number(), b.number());
  }
  if (op == BinaryOp::kModulo && a.is_string()) return printf_format(runtime, a.text(), b);
  if (a.is_undefined() || b.is_undefined()) return undefined_error(a.is_undefined() ? a : b);
  if (op == BinaryOp::kAdd) {
    if (a.is_string() && b.is_string()) return concatenate(runtime, a, b);
    if (is_list_or_tuple(a) && is_list_or_tuple(b) && a.object()->kind == b.object()->kind) {
      return concatenate(runtime, a, b);
    }
    if (runtime.is_js() && (a.is_string() || b.is_string())) return js_add(runtime, a, b);
  }
  if (op == BinaryOp::kMultiply) {
    if ((a.is_string() || is_list_or_tuple(a)) && b.is_integral()) return repeat(runtime, a, b.integer());
    if ((b.is_string() || is_list_or_tuple(b)) && a.is_integral()) return repeat(runtime, b, a.integer());
  }
  return bad_operands(op, a, b);
}

Result<Value> negate(Runtime&, const Value& value) {
  if (value.is_integral()) return integer_binary(BinaryOp::kSubtract, 0, value.integer());
  if (value.is_float()) return Value(-value.real());
  if (value.is_undefined()) return undefined_error(value);
  return invalid_argument("bad operand type for unary -: '" + std::string(value.type_name()) + "'");
}

Result<bool> equals(Runtime& runtime, const Value& a, const Value& b) { return equal_at(runtime, a, b, 0); }
Result<bool> less(Runtime& runtime, const Value& a, const Value& b) { return less_at(runtime, a, b, 0); }

Result<bool> contains(Runtime& runtime, const Value& container, const Value& wanted) {
  if (container.is_string()) {
    if (wanted.is_undefined() && runtime.is_js()) return false;
    if (!wanted.is_string()) {
      return invalid_argument("'in <string>' needs a string on its left, not '" + std::string(wanted.type_name()) +
                              "'");
    }
    FERRUM_RETURN_IF_ERROR(runtime.charge(1 + container.text().size() / 64));
    return container.text().find(wanted.text()) != std::string_view::npos;
  }
  if (const Dict* dict = container.dict()) {
    if (!is_hashable(wanted)) return invalid_argument("unhashable type: '" + std::string(wanted.type_name()) + "'");
    return dict->find(wanted) != nullptr;
  }
  if (container.is_undefined()) return false;
  const Sequence* sequence = container.sequence();
  if (sequence == nullptr) {
    return invalid_argument("a value of type '" + std::string(container.type_name()) +
                            "' cannot be searched with 'in'");
  }
  for (const Value& item : sequence->items) {
    FERRUM_ASSIGN_OR_RETURN(const bool same, equals(runtime, item, wanted));
    if (same && !(runtime.is_js() && item.is_bool() != wanted.is_bool())) return true;
  }
  return false;
}

Result<Value> compare(Runtime& runtime, CompareOp op, const Value& a, const Value& b) {
  const auto nan = [&] { return a.is_number() && b.is_number() && compare_numbers(a, b) == 2; };
  const auto from = [](Result<bool> result, bool wanted) -> Result<Value> {
    if (!result.is_ok()) return result.status();
    return Value(*result == wanted);
  };
  switch (op) {
    case CompareOp::kEqual: return from(equals(runtime, a, b), true);
    case CompareOp::kNotEqual: return from(equals(runtime, a, b), false);
    case CompareOp::kLess: return from(less(runtime, a, b), true);
    case CompareOp::kGreater: return from(less(runtime, b, a), true);
    case CompareOp::kLessEqual: return nan() ? Value(false) : from(less(runtime, b, a), false);
    case CompareOp::kGreaterEqual: return nan() ? Value(false) : from(less(runtime, a, b), false);
    case CompareOp::kIn: return from(contains(runtime, b, a), true);
    case CompareOp::kNotIn: return from(contains(runtime, b, a), false);
  }
  return Value(false);
}

}  // namespace ferrum::jinja
