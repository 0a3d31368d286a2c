// The two template strings of Python: printf style and brace style; see format.h.
#include <algorithm>
#include <cmath>

#include "text/jinja/format.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace ferrum::jinja {
namespace {

class PrintfFormatter {
 public:
  PrintfFormatter(Runtime& runtime, std::string_view text, const Value& value)
      : runtime_(runtime), text_(text), value_(value), out_(runtime) {}

  Result<Value> run() {
    while (pos_ < text_.size()) {
      const size_t percent = std::min(text_.find('%', pos_), text_.size());
      out_.append(text_.substr(pos_, percent - pos_));
      pos_ = percent + 1;
      if (percent == text_.size()) break;
      FERRUM_RETURN_IF_ERROR(conversion());
      if (out_.full()) break;
    }
    const size_t given = value_.is_object(ObjectKind::kTuple) ? value_.sequence()->items.size() : 1;
    // Whatever can be subscripted might be meant for %(name)s, and need not be used up.
    const bool optional = value_.is_undefined() || value_.dict() != nullptr ||
                          (value_.sequence() != nullptr && !value_.is_object(ObjectKind::kTuple));
    if (used_ < given && !optional) return invalid_argument("not all arguments converted during string formatting");
    return out_.finish(runtime_);
  }

 private:
  Result<Value> next_value() {
    if (value_.is_object(ObjectKind::kTuple)) {
      const auto& items = value_.sequence()->items;
      if (used_ < items.size()) return items[used_++];
    } else if (used_ == 0) {
      ++used_;
      return value_;
    }
    return invalid_argument("not enough arguments for the format string");
  }

  Result<int64_t> number_or_star() {
    int64_t number = 0;
    if (pos_ < text_.size() && text_[pos_] == '*') {
      ++pos_;
      FERRUM_ASSIGN_OR_RETURN(const Value star, next_value());
      if (!star.is_integral()) return invalid_argument("* wants an integer");
      return std::clamp<int64_t>(star.integer(), -10'000'000, 10'000'000);
    }
    for (; pos_ < text_.size() && text_[pos_] >= '0' && text_[pos_] <= '9'; ++pos_) {
      number = std::min<int64_t>(number * 10 + (text_[pos_] - '0'), 10'000'000);
    }
    return number;
  }

  // What stands behind a '%', up to and with its conversion letter.
  Status conversion() {
    Value named;
    bool has_name = false;
    if (pos_ < text_.size() && text_[pos_] == '(') {
      const size_t end = text_.find(')', pos_);
      if (end == std::string_view::npos) return invalid_argument("incomplete format key");
      if (value_.dict() == nullptr) return invalid_argument("the format string needs a mapping");
      const Value* found = value_.dict()->find(text_.substr(pos_ + 1, end - pos_ - 1));
      if (found == nullptr) return invalid_argument("the format string names a key that is not there");
      named = *found;
      has_name = true;
      pos_ = end + 1;
    }
    FormatSpec spec;
    bool left = false;
    for (; pos_ < text_.size(); ++pos_) {
      const char c = text_[pos_];
      if (c == '-')
        left = true;
      else if (c == '0')
        spec.zero = true;
      else if (c == '#')
        spec.alternate = true;
      else if (c == '+' || (c == ' ' && spec.sign != '+'))
        spec.sign = c;
      else if (c != ' ')
        break;
    }
    FERRUM_ASSIGN_OR_RETURN(spec.width, number_or_star());
    if (spec.width < 0) left = true, spec.width = -spec.width;
    if (pos_ < text_.size() && text_[pos_] == '.') {
      ++pos_;
      FERRUM_ASSIGN_OR_RETURN(const int64_t precision, number_or_star());
      spec.precision = std::max<int64_t>(0, precision);
    }
    while (pos_ < text_.size() && (text_[pos_] == 'l' || text_[pos_] == 'h' || text_[pos_] == 'L')) ++pos_;
    if (pos_ >= text_.size()) return invalid_argument("incomplete format");
    spec.type = text_[pos_++];
    if (spec.type == '%') return out_.append('%'), out_.status();
    if (!has_name) {
      FERRUM_ASSIGN_OR_RETURN(named, next_value());
    }
    spec.align = left ? '<' : '\0';
    return write(named, spec);
  }

  Status write(const Value& value, FormatSpec spec) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': return write_text(value, spec);
      case 'c':
        if (value.is_string()) return spec.type = 's', write_text(value, spec);
        return append_formatted(runtime_, out_, value, spec);
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': return write_integer(value, spec);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.is_number()) return invalid_argument("must be a real number, not " + std::string(value.type_name()));
        return append_formatted(runtime_, out_, value, spec);
      default: return invalid_argument("unsupported format character '" + std::string(1, spec.type) + "'");
    }
  }

  Status write_text(const Value& value, FormatSpec spec) {
    TextBuilder shown(runtime_);
    FERRUM_RETURN_IF_ERROR(spec.type == 's' ? append_text(runtime_, shown, value)
                                            : append_repr(runtime_, shown, value));
    FERRUM_ASSIGN_OR_RETURN(const Value text, shown.finish(runtime_));
    if (spec.align == '\0') spec.align = '>';
    spec.type = 's';
    return append_formatted(runtime_, out_, text, spec);
  }

  Status write_integer(const Value& value, FormatSpec spec) {
    if (!value.is_number()) {
      return invalid_argument("%" + std::string(1, spec.type) + " format: a number is required, not " +
                              std::string(value.type_name()));
    }
    Value number = value;
    if (value.is_float()) {
      FERRUM_ASSIGN_OR_RETURN(const int64_t whole, truncate_to_integer(value.real()));
      number = whole;
    } else if (value.is_bool()) {
      number = value.integer();
    }
    if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
    spec.precision = -1;
    return append_formatted(runtime_, out_, number, spec);
  }

  Runtime& runtime_;
  const std::string_view text_;
  const Value& value_;
  TextBuilder out_;
  size_t pos_ = 0;
  size_t used_ = 0;
};

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, std::string_view text, CallArgs& args)
      : runtime_(runtime), text_(text), args_(args), out_(runtime) {}

  Result<Value> run() {
    for (size_t pos = 0; pos < text_.size() && !out_.full();) {
      const char c = text_[pos];
      if ((c == '{' || c == '}') && text_.substr(pos + 1, 1) == text_.substr(pos, 1)) {
        out_.append(c);
        pos += 2;
      } else if (c == '}') {
        return invalid_argument("single '}' in a format string");
      } else if (c == '{') {
        const size_t end = text_.find('}', pos);
        if (end == std::string_view::npos) return invalid_argument("single '{' in a format string");
        FERRUM_RETURN_IF_ERROR(field(text_.substr(pos + 1, end - pos - 1)));
        pos = end + 1;
      } else {
        const size_t end = std::min(text_.find_first_of("{}", pos), text_.size());
        out_.append(text_.substr(pos, end - pos));
        pos = end;
      }
    }
    return out_.finish(runtime_);
  }

 private:
  Status field(std::string_view text) {
    if (text.find('{') != std::string_view::npos) return invalid_argument("nested format fields are not supported");
    const size_t colon = std::min(text.find(':'), text.size());
    const std::string_view spec_text = colon < text.size() ? text.substr(colon + 1) : std::string_view();
    std::string_view path = text.substr(0, colon);
    char conversion = '\0';
    if (path.size() >= 2 && path[path.size() - 2] == '!') {
      conversion = path.back();
      path.remove_suffix(2);
    }
    FERRUM_ASSIGN_OR_RETURN(Value value, resolve(path));
    if (conversion == 'r' || conversion == 'a') {
      TextBuilder shown(runtime_);
      FERRUM_RETURN_IF_ERROR(append_repr(runtime_, shown, value));
      FERRUM_ASSIGN_OR_RETURN(value, shown.finish(runtime_));
    } else if (conversion == 's') {
      FERRUM_ASSIGN_OR_RETURN(value, to_text(runtime_, value));
    } else if (conversion != '\0') {
      return invalid_argument("unknown conversion in a format string");
    }
    FERRUM_ASSIGN_OR_RETURN(const FormatSpec spec, parse_format_spec(spec_text));
    return append_formatted(runtime_, out_, value, spec);
  }

  // "name.attribute[key]" to a value.
  Result<Value> resolve(std::string_view path) {
    size_t pos = std::min(path.find_first_of(".["), path.size());
    FERRUM_ASSIGN_OR_RETURN(Value value, argument(path.substr(0, pos)));
    while (pos < path.size()) {
      if (path[pos] == '.') {
        const size_t end = std::min(path.find_first_of(".[", pos + 1), path.size());
        FERRUM_ASSIGN_OR_RETURN(value, get_attribute(runtime_, value, path.substr(pos + 1, end - pos - 1)));
        pos = end;
        continue;
      }
      const size_t end = path.find(']', pos);
      if (path[pos] != '[' || end == std::string_view::npos) return invalid_argument("broken field in a format string");
      FERRUM_ASSIGN_OR_RETURN(const Value key, key_of(path.substr(pos + 1, end - pos - 1)));
      FERRUM_ASSIGN_OR_RETURN(value, get_item(runtime_, value, key));
      pos = end + 1;
    }
    return value;
  }

  static bool is_number(std::string_view text) {
    return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string_view::npos;
  }
  Result<Value> key_of(std::string_view text) {
    if (is_number(text)) return Value(int64_t{std::stoi(std::string(text))});
    return runtime_.string(text);
  }

  Result<Value> argument(std::string_view name) {
    if (name.empty() || is_number(name)) {
      const size_t index = name.empty() ? automatic_++ : static_cast<size_t>(std::stoi(std::string(name)));
      if (index < args_.positional.size()) return args_.positional[index];
      return invalid_argument("the format string asks for more arguments than are given");
    }
    for (const auto& [known, value] : args_.named) {
      if (known == name) return value;
    }
    return invalid_argument("the format string asks for '" + std::string(name) + "', which is not given");
  }

  Runtime& runtime_;
  const std::string_view text_;
  CallArgs& args_;
  TextBuilder out_;
  size_t automatic_ = 0;
};

}  // namespace

Result<Value> printf_format(Runtime& runtime, std::string_view text, const Value& value) {
  return PrintfFormatter(runtime, text, value).run();
}

Result<Value> brace_format(Runtime& runtime, std::string_view text, CallArgs& args) {
  return BraceFormatter(runtime, text, args).run();
}

}  // namespace ferrum::jinja
