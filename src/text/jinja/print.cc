#include "text/jinja/print.h"

#include <charconv>
#include <cmath>

#include "text/jinja/json.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

void append_hex(std::string& out, const char* prefix, char32_t value, int digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += prefix;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += kDigits[(value >> shift) & 0xF];
}

Status append_sequence(Runtime& runtime, TextBuilder& out, const Sequence& sequence, int depth) {
  const bool is_tuple = sequence.kind == ObjectKind::kTuple;
  out.append(is_tuple ? '(' : '[');
  bool first = true;
  for (const Value& item : sequence.items) {
    if (!first) out.append(", ");
    first = false;
    FERRUM_RETURN_IF_ERROR(append_repr(runtime, out, item, depth + 1));
  }
  if (is_tuple && sequence.items.size() == 1) out.append(',');
  out.append(is_tuple ? ')' : ']');
  return out.status();
}

Status append_dict(Runtime& runtime, TextBuilder& out, const Dict& dict, int depth) {
  out.append('{');
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!first) out.append(", ");
    first = false;
    FERRUM_RETURN_IF_ERROR(append_repr(runtime, out, key, depth + 1));
    out.append(": ");
    FERRUM_RETURN_IF_ERROR(append_repr(runtime, out, value, depth + 1));
  }
  out.append('}');
  return out.status();
}

Status append_object(Runtime& runtime, TextBuilder& out, const Value& value, int depth) {
  if (const Dict* dict = value.dict()) return append_dict(runtime, out, *dict, depth);
  if (value.is_object(ObjectKind::kNamespace)) {
    out.append("<Namespace ");
    FERRUM_RETURN_IF_ERROR(append_dict(runtime, out, *static_cast<const Dict*>(value.object()), depth));
    out.append('>');
    return out.status();
  }
  if (const Sequence* sequence = value.sequence()) {
    if (sequence->kind == ObjectKind::kRange) return out.append(sequence->label), out.status();
    if (sequence->kind != ObjectKind::kView) return append_sequence(runtime, out, *sequence, depth);
    out.append(sequence->label);
    out.append('(');
    FERRUM_RETURN_IF_ERROR(append_sequence(runtime, out, *sequence, depth));
    out.append(')');
    return out.status();
  }
  out.append("<");
  out.append(value.type_name());
  out.append(">");
  return out.status();
}

}  // namespace

std::string format_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto shortest = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(shortest.ptr - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(buffer + e + (text[e + 1] == '+' ? 2 : 1), shortest.ptr, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string quote(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char mark = has_single && !has_double ? '"' : '\'';
  std::string out(1, mark);
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = next_code_point(text, pos);
    if (c == static_cast<unsigned char>(mark) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out += text.substr(start, pos - start);
    } else if (c < 0x100) {
      append_hex(out, "\\x", c, 2);
    } else if (c < 0x10000) {
      append_hex(out, "\\u", c, 4);
    } else {
      append_hex(out, "\\U", c, 8);
    }
  }
  return out += mark;
}

Status append_repr(Runtime& runtime, TextBuilder& out, const Value& value, int depth) {
  if (depth > kMaxValueDepth) return invalid_argument("this value is nested too deeply to print");
  FERRUM_RETURN_IF_ERROR(runtime.charge(1));
  if (value.is_string()) {
    out.append(quote(value.text()));
  } else if (value.is_undefined()) {
    out.append("Undefined");
  } else if (value.is_none()) {
    out.append("None");
  } else if (value.is_bool()) {
    out.append(value.boolean() ? "True" : "False");
  } else if (value.is_int()) {
    out.append(std::to_string(value.integer()));
  } else if (value.is_float()) {
    out.append(format_float(value.real()));
  } else {
    return append_object(runtime, out, value, depth);
  }
  return out.status();
}

Status append_text(Runtime& runtime, TextBuilder& out, const Value& value) {
  if (value.is_string()) {
    out.append(value.text());
    return out.status();
  }
  if (value.is_undefined()) return out.status();
  const bool has_json = value.is_bool() || value.is_none() || value.sequence() != nullptr || value.dict() != nullptr;
  if (runtime.is_js() && has_json) {
    JsonStyle style;
    style.undefined = "undefined";
    return append_json(runtime, out, value, style);
  }
  return append_repr(runtime, out, value);
}

Result<Value> to_text(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  TextBuilder out(runtime);
  FERRUM_RETURN_IF_ERROR(append_text(runtime, out, value));
  return out.finish(runtime);
}

}  // namespace ferrum::jinja
