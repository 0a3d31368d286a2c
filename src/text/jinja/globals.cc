#include "text/jinja/globals.h"

#include <chrono>

#include "text/jinja/print.h"

namespace ferrum::jinja {
namespace {

Result<Value> range(Runtime& runtime, CallArgs args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("range()", args, {"start", "stop", "step"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const int64_t first, bound.integer(0, 0));
  FERRUM_ASSIGN_OR_RETURN(const int64_t second, bound.integer(1, 0));
  FERRUM_ASSIGN_OR_RETURN(const int64_t step, bound.integer(2, 1));
  const int64_t start = bound.has(1) ? first : 0;
  const int64_t stop = bound.has(1) ? second : first;
  if (step == 0) return invalid_argument("range(): the step must not be zero");
  // In unsigned arithmetic, where the distance of any two 64-bit integers fits.
  const bool empty = step > 0 ? start >= stop : start <= stop;
  const uint64_t distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                     : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  const uint64_t count = empty ? 0 : (distance - 1) / stride + 1;
  if (count > static_cast<uint64_t>(kMaxRange)) {
    return invalid_argument("range() gives more than " + std::to_string(kMaxRange) + " numbers");
  }
  std::vector<Value> items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i)
    items.emplace_back(static_cast<int64_t>(static_cast<uint64_t>(start) + i * static_cast<uint64_t>(step)));
  FERRUM_ASSIGN_OR_RETURN(const Value made, runtime.sequence(ObjectKind::kRange, std::move(items)));
  std::string label = "range(" + std::to_string(start) + ", " + std::to_string(stop);
  if (step != 1) label += ", " + std::to_string(step);
  made.sequence()->label = label + ")";
  return made;
}

// dict(mapping or pairs, **names), and namespace() with the same arguments.
Result<Value> make_dict(Runtime& runtime, CallArgs& args, ObjectKind kind) {
  FERRUM_ASSIGN_OR_RETURN(Dict * dict, runtime.dict(kind));
  if (args.positional.size() > 1) return invalid_argument("dict() takes at most one positional argument");
  if (!args.positional.empty()) {
    const Value& source = args.positional[0];
    if (const Dict* other = source.dict()) {
      for (const auto& [key, value] : other->entries()) FERRUM_RETURN_IF_ERROR(runtime.set_entry(*dict, key, value));
    } else {
      FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> pairs, runtime.items(source));
      for (const Value& pair : pairs) {
        FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> both, runtime.items(pair));
        if (both.size() != 2) return invalid_argument("dict() needs pairs of a key and a value");
        FERRUM_RETURN_IF_ERROR(runtime.set_entry(*dict, both[0], both[1]));
      }
    }
  }
  for (const auto& [name, value] : args.named) FERRUM_RETURN_IF_ERROR(runtime.set_entry(*dict, name, value));
  return Value(dict);
}

Result<Value> raise_exception(Runtime& runtime, CallArgs args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("raise_exception()", args, {"message"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const Value message, to_text(runtime, bound[0]));
  runtime.set_raised();
  return invalid_argument(std::string(kRaisedPrefix).append(message.text()));
}

std::tm local_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm time{};
  localtime_r(&now, &time);
  return time;
}

Result<Value> strftime_now(Runtime& runtime, CallArgs args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("strftime_now()", args, {"format"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view format, bound.text(0, ""));
  if (format.size() > 10'000) return invalid_argument("strftime_now(): the format is too long");
  const auto& clock = runtime.options().clock;
  return runtime.string(format_time(format, clock ? clock() : local_now()));
}

}  // namespace

std::string format_time(std::string_view format, const std::tm& time) {
  static constexpr std::string_view kConversions = "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%";
  std::string out;
  for (size_t pos = 0; pos < format.size();) {
    size_t end = pos + 1;
    if (format[pos] == '%' && end < format.size()) {
      if (std::string_view("-_0^#").find(format[end]) != std::string_view::npos) ++end;
      if (end < format.size() && kConversions.find(format[end]) != std::string_view::npos) {
        const std::string one(format.substr(pos, end + 1 - pos));
        char buffer[128];
        out.append(buffer, std::strftime(buffer, sizeof(buffer), one.c_str(), &time));
        pos = end + 1;
        continue;
      }
      end = pos + 1;
    }
    out += format[pos];
    pos = end;
  }
  return out;
}

Status add_globals(Runtime& runtime, Scope& scope) {
  const auto add = [&](const char* name, Function::Body body) -> Status {
    FERRUM_ASSIGN_OR_RETURN(Function * function, runtime.make<Function>(name, std::move(body)));
    scope.set(name, Value(function));
    return Status::ok();
  };
  FERRUM_RETURN_IF_ERROR(add("range", range));
  FERRUM_RETURN_IF_ERROR(add("dict", [](Runtime& r, CallArgs args) { return make_dict(r, args, ObjectKind::kDict); }));
  FERRUM_RETURN_IF_ERROR(
      add("namespace", [](Runtime& r, CallArgs args) { return make_dict(r, args, ObjectKind::kNamespace); }));
  FERRUM_RETURN_IF_ERROR(add("raise_exception", raise_exception));
  return add("strftime_now", strftime_now);
}

}  // namespace ferrum::jinja
