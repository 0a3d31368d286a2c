#include "text/jinja/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

void append_escape(std::string& out, char32_t unit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[(unit >> shift) & 0xF];
}

std::string json_string(std::string_view text, bool ensure_ascii) {
  static constexpr std::string_view kFrom = "\"\\\n\r\t\b\f";
  static constexpr std::string_view kTo = "\"\\nrtbf";
  std::string out = "\"";
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = next_code_point(text, pos);
    const size_t named = c < 0x80 ? kFrom.find(static_cast<char>(c)) : std::string_view::npos;
    if (named != std::string_view::npos) {
      out += '\\';
      out += kTo[named];
    } else if (c < 0x20 || (ensure_ascii && c == 0x7F)) {
      append_escape(out, c);
    } else if (ensure_ascii && c >= 0x10000) {
      append_escape(out, 0xD800 + ((c - 0x10000) >> 10));
      append_escape(out, 0xDC00 + ((c - 0x10000) & 0x3FF));
    } else if (ensure_ascii && c >= 0x80) {
      append_escape(out, c);
    } else {
      out += text.substr(start, pos - start);
    }
  }
  return out += '"';
}

std::string json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return format_float(value);
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, TextBuilder& out, const JsonStyle& style)
      : runtime_(runtime), out_(out), style_(style) {}

  Status write(const Value& value, int depth) {
    if (depth > kMaxValueDepth) return invalid_argument("this value is nested too deeply for JSON");
    FERRUM_RETURN_IF_ERROR(runtime_.charge(1));
    if (value.is_string()) {
      out_.append(json_string(value.text(), style_.ensure_ascii));
    } else if (value.is_none()) {
      out_.append("null");
    } else if (value.is_bool()) {
      out_.append(value.boolean() ? "true" : "false");
    } else if (value.is_int()) {
      out_.append(std::to_string(value.integer()));
    } else if (value.is_float()) {
      out_.append(json_number(value.real()));
    } else if (value.is_undefined() && !style_.undefined.empty()) {
      out_.append(style_.undefined);
    } else if (const Sequence* sequence = value.sequence()) {
      return write_array(*sequence, depth);
    } else if (const Dict* dict = value.dict()) {
      return write_object(*dict, depth);
    } else {
      return invalid_argument("a value of type " + std::string(value.type_name()) + " cannot be written as JSON");
    }
    return out_.status();
  }

 private:
  Status write_array(const Sequence& sequence, int depth) {
    if (sequence.items.empty()) return out_.append("[]"), out_.status();
    out_.append('[');
    bool first = true;
    for (const Value& item : sequence.items) {
      separate(first, depth + 1);
      FERRUM_RETURN_IF_ERROR(write(item, depth + 1));
    }
    new_line(depth);
    out_.append(']');
    return out_.status();
  }

  Status write_object(const Dict& dict, int depth) {
    if (dict.entries().empty()) return out_.append("{}"), out_.status();
    std::vector<std::pair<std::string, const Value*>> entries;
    entries.reserve(dict.entries().size());
    for (const auto& [key, value] : dict.entries()) {
      FERRUM_ASSIGN_OR_RETURN(std::string name, key_text(key));
      entries.emplace_back(std::move(name), &value);
    }
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    out_.append('{');
    bool first = true;
    for (const auto& [name, value] : entries) {
      separate(first, depth + 1);
      out_.append(json_string(name, style_.ensure_ascii));
      out_.append(style_.key_separator);
      FERRUM_RETURN_IF_ERROR(write(*value, depth + 1));
    }
    new_line(depth);
    out_.append('}');
    return out_.status();
  }

  static Result<std::string> key_text(const Value& key) {
    if (key.is_string()) return std::string(key.text());
    if (key.is_none()) return std::string("null");
    if (key.is_bool()) return std::string(key.boolean() ? "true" : "false");
    if (key.is_int()) return std::to_string(key.integer());
    if (key.is_float()) return json_number(key.real());
    return invalid_argument("a key of type " + std::string(key.type_name()) + " cannot be written as JSON");
  }

  void separate(bool& first, int depth) {
    if (!first) out_.append(style_.item_separator);
    first = false;
    new_line(depth);
  }
  void new_line(int depth) {
    if (!style_.indent) return;
    out_.append('\n');
    for (int i = 0; i < depth; ++i) out_.append(*style_.indent);
  }

  Runtime& runtime_;
  TextBuilder& out_;
  const JsonStyle& style_;
};

Result<Value> convert(Runtime& runtime, const nlohmann::ordered_json& json, int depth);

Result<Value> convert_array(Runtime& runtime, const nlohmann::ordered_json& json, int depth) {
  std::vector<Value> items;
  items.reserve(json.size());
  for (const auto& element : json) {
    FERRUM_ASSIGN_OR_RETURN(Value item, convert(runtime, element, depth + 1));
    items.push_back(std::move(item));
  }
  return runtime.list(std::move(items));
}

Result<Value> convert_object(Runtime& runtime, const nlohmann::ordered_json& json, int depth) {
  FERRUM_ASSIGN_OR_RETURN(Dict * dict, runtime.dict());
  for (const auto& [key, element] : json.items()) {
    FERRUM_ASSIGN_OR_RETURN(Value value, convert(runtime, element, depth + 1));
    FERRUM_RETURN_IF_ERROR(runtime.set_entry(*dict, key, std::move(value)));
  }
  return Value(dict);
}

Result<Value> convert(Runtime& runtime, const nlohmann::ordered_json& json, int depth) {
  using Kind = nlohmann::ordered_json::value_t;
  if (depth > kMaxValueDepth) return invalid_argument("the JSON is nested more than 128 levels deep");
  FERRUM_RETURN_IF_ERROR(runtime.charge(1));
  switch (json.type()) {
    case Kind::null: return Value(None{});
    case Kind::boolean: return Value(json.get<bool>());
    case Kind::number_integer: return Value(json.get<int64_t>());
    case Kind::number_float: return Value(json.get<double>());
    case Kind::string: return runtime.string(json.get_ref<const std::string&>());
    case Kind::array: return convert_array(runtime, json, depth);
    case Kind::object: return convert_object(runtime, json, depth);
    case Kind::number_unsigned: break;
    case Kind::binary:
    case Kind::discarded: return invalid_argument("this JSON value cannot be passed to a template");
  }
  const auto number = json.get<uint64_t>();
  if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return invalid_argument("the integer " + std::to_string(number) + " in the JSON does not fit 64 bits with sign");
  }
  return Value(static_cast<int64_t>(number));
}

}  // namespace

Status append_json(Runtime& runtime, TextBuilder& out, const Value& value, const JsonStyle& style) {
  return JsonWriter(runtime, out, style).write(value, 0);
}

Result<Value> from_json(Runtime& runtime, const nlohmann::ordered_json& json) { return convert(runtime, json, 0); }

}  // namespace ferrum::jinja
