// Filters of scalars: default, int, float, abs, round, attr.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/methods.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"

namespace ferrum::jinja {
namespace {

Result<Value> default_filter(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("default", args, {"default_value", "boolean"}));
  const bool replaced = input.is_undefined() || (bound.truthy(1, false) && !input.truthy());
  if (!replaced) return input;
  return bound.has(0) ? Result<Value>(bound[0]) : runtime.string(std::string());
}

Result<Value> int_filter(Runtime&, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("int", args, {"default", "base"}));
  FERRUM_ASSIGN_OR_RETURN(const int64_t base, bound.integer(1, 10));
  const Value fallback = bound.get(0, int64_t{0});
  if (input.is_undefined()) return undefined_error(input);
  if (input.is_integral()) return Value(input.integer());
  std::optional<double> number;
  if (input.is_float()) number = input.real();
  if (input.is_string()) {
    FERRUM_ASSIGN_OR_RETURN(
        const std::optional<int64_t> whole,
        parse_integer(input.text(), base == 0 || (base >= 2 && base <= 36) ? static_cast<int>(base) : 1));
    if (whole) return Value(*whole);
    number = parse_float(input.text());
  }
  if (!number || std::isnan(*number) || std::isinf(*number)) return fallback;
  FERRUM_ASSIGN_OR_RETURN(const int64_t whole, truncate_to_integer(*number));
  return Value(whole);
}

Result<Value> float_filter(Runtime&, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("float", args, {"default"}));
  if (input.is_undefined()) return undefined_error(input);
  if (input.is_number()) return Value(input.number());
  if (input.is_string()) {
    if (const auto number = parse_float(input.text())) return Value(*number);
  }
  return bound.get(0, 0.0);
}

Result<Value> abs_filter(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("abs", args, {}).status());
  if (input.is_float()) return Value(std::fabs(input.real()));
  if (input.is_integral()) return input.integer() < 0 ? negate(runtime, input) : Value(input.integer());
  if (input.is_undefined()) return undefined_error(input);
  return invalid_argument("abs needs a number, not '" + std::string(input.type_name()) + "'");
}

// round(): half to even on the exact binary value, which is what printf does.
double round_common(double value, int64_t precision) {
  if (precision < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(value / scale) * scale;
  }
  char buffer[400];
  std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(precision), value);
  return std::strtod(buffer, nullptr);
}

Result<Value> round_filter(Runtime&, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("round", args, {"precision", "method"}));
  FERRUM_ASSIGN_OR_RETURN(const int64_t precision, bound.integer(0, 0));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view method, bound.text(1, "common"));
  if (input.is_undefined()) return undefined_error(input);
  if (!input.is_number()) return invalid_argument("round needs a number, not '" + std::string(input.type_name()) + "'");
  if (precision < -300 || precision > 60) return invalid_argument("round: the precision must lie within -300 and 60");
  if (method == "common") {
    if (input.is_float()) {
      return Value(std::isfinite(input.real()) ? round_common(input.real(), precision) : input.real());
    }
    if (precision >= 0) return Value(input.integer());
    FERRUM_ASSIGN_OR_RETURN(const int64_t rounded, truncate_to_integer(round_common(input.number(), precision)));
    return Value(rounded);
  }
  if (method != "ceil" && method != "floor") return invalid_argument("round: the method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.number() * scale;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

// Attributes only, never entries: {"a": 1}|attr("a") is undefined.
Result<Value> attr(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("attr", args, {"name"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view name, bound.text(0, ""));
  if (input.dict() != nullptr && find_method(input, name) == nullptr) {
    return runtime.undefined("'dict object' has no attribute '" + std::string(name) + "'");
  }
  return get_attribute(runtime, input, name);
}

}  // namespace

FilterBody find_number_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, FilterBody> kFilters = {
      {"default", default_filter}, {"d", default_filter},   {"int", int_filter}, {"float", float_filter},
      {"abs", abs_filter},         {"round", round_filter}, {"attr", attr},
  };
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace ferrum::jinja
