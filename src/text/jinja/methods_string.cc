// str.*, as Python's.
#include <unordered_map>

#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

Result<Value> strip_side(Runtime& runtime, const Value& self, CallArgs& args, std::string_view name, int side) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind(name, args, {"chars"}));
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.text().size() / 64));
  if (!bound.has(0) || bound[0].is_none()) return runtime.string(strip(self.text(), nullptr, side));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view set, bound.text(0, ""));
  FERRUM_RETURN_IF_ERROR(runtime.charge(self.text().size() * set.size() / 64));
  return runtime.string(strip(self.text(), &set, side));
}

Result<Value> strip_both(Runtime& runtime, const Value& self, CallArgs& args) {
  return strip_side(runtime, self, args, "strip()", 0);
}
Result<Value> lstrip(Runtime& runtime, const Value& self, CallArgs& args) {
  return strip_side(runtime, self, args, "lstrip()", -1);
}
Result<Value> rstrip(Runtime& runtime, const Value& self, CallArgs& args) {
  return strip_side(runtime, self, args, "rstrip()", 1);
}

Result<Value> split_with(Runtime& runtime, const Value& self, CallArgs& args, std::string_view name, bool from_right) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind(name, args, {"sep", "maxsplit"}));
  FERRUM_ASSIGN_OR_RETURN(const int64_t limit, bound.integer(1, -1));
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.text().size() / 64));
  std::vector<std::string_view> parts;
  if (!bound.has(0) || bound[0].is_none()) {
    parts = split_space(self.text(), limit, from_right);
  } else {
    FERRUM_ASSIGN_OR_RETURN(const std::string_view separator, bound.text(0, ""));
    if (separator.empty()) return invalid_argument("the separator of " + std::string(name) + " is empty");
    parts = split_text(self.text(), separator, limit, from_right);
  }
  return list_of(runtime, parts);
}
Result<Value> split(Runtime& runtime, const Value& self, CallArgs& args) {
  return split_with(runtime, self, args, "split()", false);
}
Result<Value> rsplit(Runtime& runtime, const Value& self, CallArgs& args) {
  return split_with(runtime, self, args, "rsplit()", true);
}

Result<Value> splitlines(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("splitlines()", args, {"keepends"}));
  return list_of(runtime, split_lines(self.text(), bound.truthy(0, false)));
}

Result<Value> partition_at(Runtime& runtime, const Value& self, CallArgs& args, bool from_right) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("partition()", args, {"sep"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view separator, bound.text(0, ""));
  if (separator.empty()) return invalid_argument("the separator of partition() is empty");
  const std::string_view text = self.text();
  const size_t at = from_right ? text.rfind(separator) : text.find(separator);
  std::vector<std::string_view> parts = {text, "", ""};
  if (at == std::string_view::npos) {
    if (from_right) std::swap(parts[0], parts[2]);
  } else {
    parts = {text.substr(0, at), separator, text.substr(at + separator.size())};
  }
  FERRUM_ASSIGN_OR_RETURN(const Value list, list_of(runtime, parts));
  return runtime.tuple(list.sequence()->items);
}
Result<Value> partition(Runtime& runtime, const Value& self, CallArgs& args) {
  return partition_at(runtime, self, args, false);
}
Result<Value> rpartition(Runtime& runtime, const Value& self, CallArgs& args) {
  return partition_at(runtime, self, args, true);
}

// A string with the optional start and stop that find, count, startswith ... take, as the part of the text they select.
struct Window {
  std::string_view text;
  int64_t start = 0;  // in code points
  bool valid = true;  // false: start lies behind the end, where not even "" is found
};
Result<Window> window(const Value& self, const BoundArgs& bound) {
  const auto length = static_cast<int64_t>(self.string()->length);
  const auto bound_at = [&](size_t i, int64_t fallback) -> Result<int64_t> {
    if (bound.has(i) && bound[i].is_none()) return fallback;
    FERRUM_ASSIGN_OR_RETURN(const int64_t at, bound.integer(i, fallback));
    return at < 0 ? std::max<int64_t>(0, at + length) : at;
  };
  Window out;
  FERRUM_ASSIGN_OR_RETURN(out.start, bound_at(1, 0));
  FERRUM_ASSIGN_OR_RETURN(const int64_t wanted_stop, bound_at(2, length));
  const int64_t stop = std::min(wanted_stop, length);
  out.valid = out.start <= stop;
  if (!out.valid) return out;
  const size_t begin = byte_offset(self.text(), static_cast<size_t>(out.start));
  const size_t end = byte_offset(self.text(), static_cast<size_t>(stop));
  out.text = self.text().substr(begin, end - begin);
  return out;
}

Result<Value> affix(Runtime& runtime, const Value& self, CallArgs& args, std::string_view name, bool at_end) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind(name, args, {"prefix", "start", "end"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const Window part, window(self, bound));
  FERRUM_RETURN_IF_ERROR(runtime.charge(1));
  const auto matches = [&](const Value& wanted) -> Result<bool> {
    if (!wanted.is_string()) return invalid_argument(std::string(name) + " needs a string or a tuple of strings");
    if (!part.valid) return false;
    return at_end ? part.text.ends_with(wanted.text()) : part.text.starts_with(wanted.text());
  };
  if (!bound[0].is_object(ObjectKind::kTuple)) {
    FERRUM_ASSIGN_OR_RETURN(const bool found, matches(bound[0]));
    return Value(found);
  }
  for (const Value& wanted : bound[0].sequence()->items) {
    FERRUM_ASSIGN_OR_RETURN(const bool found, matches(wanted));
    if (found) return Value(true);
  }
  return Value(false);
}
Result<Value> startswith(Runtime& runtime, const Value& self, CallArgs& args) {
  return affix(runtime, self, args, "startswith()", false);
}
Result<Value> endswith(Runtime& runtime, const Value& self, CallArgs& args) {
  return affix(runtime, self, args, "endswith()", true);
}

// Index in code points, -1 where the text is not found.
Result<int64_t> find_from(Runtime& runtime, const Value& self, CallArgs& args, std::string_view name, bool from_right) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind(name, args, {"sub", "start", "end"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view wanted, bound.text(0, ""));
  FERRUM_ASSIGN_OR_RETURN(const Window part, window(self, bound));
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.text().size() / 64));
  if (!part.valid) return -1;
  const size_t at = from_right ? part.text.rfind(wanted) : part.text.find(wanted);
  if (at == std::string_view::npos) return -1;
  return part.start + static_cast<int64_t>(count_code_points(part.text.substr(0, at)));
}
template <bool from_right, bool must_exist>
Result<Value> find(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const int64_t at,
                          find_from(runtime, self, args, must_exist ? "index()" : "find()", from_right));
  if (must_exist && at < 0) return invalid_argument("index(): substring not found");
  return Value(at);
}

Result<Value> count(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("count()", args, {"sub", "start", "end"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view wanted, bound.text(0, ""));
  FERRUM_ASSIGN_OR_RETURN(const Window part, window(self, bound));
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.text().size() / 64));
  if (!part.valid) return Value(int64_t{0});
  if (wanted.empty()) return Value(static_cast<int64_t>(count_code_points(part.text)) + 1);
  int64_t found = 0;
  for (size_t at = part.text.find(wanted); at != std::string_view::npos;
       at = part.text.find(wanted, at + wanted.size())) {
    ++found;
  }
  return Value(found);
}

Result<Value> replace(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("replace()", args, {"old", "new", "count"}, 2));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view from, bound.text(0, ""));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view to, bound.text(1, ""));
  FERRUM_ASSIGN_OR_RETURN(const int64_t limit, bound.integer(2, -1));
  return replace_text(runtime, self.text(), from, to, limit);
}

Result<Value> prefix_removed(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("removeprefix()", args, {"prefix"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view prefix, bound.text(0, ""));
  return runtime.string(self.text().substr(self.text().starts_with(prefix) ? prefix.size() : 0));
}
Result<Value> suffix_removed(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("removesuffix()", args, {"suffix"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view suffix, bound.text(0, ""));
  const std::string_view text = self.text();
  return runtime.string(text.substr(0, text.size() - (text.ends_with(suffix) ? suffix.size() : 0)));
}

template <std::string (*convert)(std::string_view)>
Result<Value> converted(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("this method", args, {}).status());
  FERRUM_RETURN_IF_ERROR(runtime.charge(self.text().size() / 16));
  return runtime.string(convert(self.text()));
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = next_code_point(text, pos);
    const std::string_view one = text.substr(start, pos - start);
    out += is_upper(c) ? to_lower(one) : to_upper(one);
  }
  return out;
}

Result<Value> join(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("join()", args, {"iterable"}, 1));
  if (bound[0].is_undefined()) return runtime.string(std::string());
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.items(bound[0]));
  TextBuilder out(runtime);
  for (size_t i = 0; i < items.size() && !out.full(); ++i) {
    if (i > 0) out.append(self.text());
    if (!items[i].is_string() && !runtime.is_js()) {
      return invalid_argument("join(): item " + std::to_string(i) + " is of type '" +
                              std::string(items[i].type_name()) + "', not a string");
    }
    FERRUM_RETURN_IF_ERROR(append_text(runtime, out, items[i]));
  }
  return out.finish(runtime);
}

// True when the string is not empty and the test holds for every character.
template <bool (*holds)(char32_t)>
Result<Value> all(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("this method", args, {}).status());
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.text().size() / 64));
  const std::string_view text = self.text();
  for (size_t pos = 0; pos < text.size();) {
    if (!holds(next_code_point(text, pos))) return Value(false);
  }
  return Value(!text.empty());
}
bool is_alnum(char32_t c) { return c != '_' && is_word(c); }

template <bool upper>
Result<Value> is_cased(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("this method", args, {}).status());
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.text().size() / 64));
  return Value(has_case(self.text(), upper));
}

Result<Value> is_title(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("istitle()", args, {}).status());
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + self.text().size() / 64));
  return Value(to_title(self.text()) == self.text() && to_lower(self.text()) != to_upper(self.text()));
}

enum class Side { kLeft, kRight, kCenter };
template <Side side>
Result<Value> justify(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("this method", args, {"width", "fillchar"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const int64_t width, bound.integer(0, 0));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view fill, bound.text(1, " "));
  if (count_code_points(fill) != 1) return invalid_argument("the fill character must be exactly one character long");
  const char align = side == Side::kLeft ? '<' : side == Side::kRight ? '>' : '^';
  return pad(runtime, self.text(), width, align, fill);
}

Result<Value> zfill(Runtime& runtime, const Value& self, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("zfill()", args, {"width"}, 1));
  FERRUM_ASSIGN_OR_RETURN(const int64_t width, bound.integer(0, 0));
  std::string_view text = self.text();
  TextBuilder out(runtime);
  const auto length = static_cast<int64_t>(self.string()->length);
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    out.append(text[0]);
    text.remove_prefix(1);
  }
  if (width > length) out.append('0', static_cast<size_t>(width - length));
  out.append(text);
  return out.finish(runtime);
}

Result<Value> format(Runtime& runtime, const Value& self, CallArgs& args) {
  return brace_format(runtime, self.text(), args);
}

}  // namespace

MethodBody find_string_method(std::string_view name) {
  static const std::unordered_map<std::string_view, MethodBody> kMethods = {
      {"strip", strip_both},
      {"lstrip", lstrip},
      {"rstrip", rstrip},
      {"split", split},
      {"rsplit", rsplit},
      {"splitlines", splitlines},
      {"partition", partition},
      {"rpartition", rpartition},
      {"startswith", startswith},
      {"endswith", endswith},
      {"find", find<false, false>},
      {"rfind", find<true, false>},
      {"index", find<false, true>},
      {"rindex", find<true, true>},
      {"count", count},
      {"replace", replace},
      {"removeprefix", prefix_removed},
      {"removesuffix", suffix_removed},
      {"upper", converted<to_upper>},
      {"lower", converted<to_lower>},
      {"casefold", converted<to_lower>},
      {"title", converted<to_title>},
      {"capitalize", converted<capitalize>},
      {"swapcase", converted<swap_case>},
      {"join", join},
      {"format", format},
      {"isspace", all<is_space>},
      {"isalpha", all<is_alpha>},
      {"isdigit", all<is_decimal>},
      {"isdecimal", all<is_decimal>},
      {"isnumeric", all<is_decimal>},
      {"isalnum", all<is_alnum>},
      {"isupper", is_cased<true>},
      {"islower", is_cased<false>},
      {"istitle", is_title},
      {"ljust", justify<Side::kLeft>},
      {"rjust", justify<Side::kRight>},
      {"center", justify<Side::kCenter>},
      {"zfill", zfill},
  };
  const auto found = kMethods.find(name);
  return found == kMethods.end() ? nullptr : found->second;
}

}  // namespace ferrum::jinja
