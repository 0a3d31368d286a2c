// Filters that give text.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/json.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

template <std::string (*convert)(std::string_view)>
Result<Value> mapped(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("this filter", args, {}).status());
  FERRUM_ASSIGN_OR_RETURN(const Value text, to_text(runtime, input));
  FERRUM_RETURN_IF_ERROR(runtime.charge(text.text().size() / 16));
  return runtime.string(convert(text.text()));
}

// Jinja's own title: a word starts behind white space or one of -({[<, so that "it's" stays "It's".
std::string title_words(std::string_view text) {
  std::string out;
  bool starts_word = true;
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = next_code_point(text, pos);
    const std::string_view one = text.substr(start, pos - start);
    const bool separator =
        is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) != std::string_view::npos);
    out += separator ? std::string(one) : starts_word ? to_upper(one) : to_lower(one);
    starts_word = separator;
  }
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

Result<Value> trim(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("trim", args, {"chars"}));
  FERRUM_ASSIGN_OR_RETURN(const Value text, to_text(runtime, input));
  if (!bound.has(0) || bound[0].is_none()) return runtime.string(strip(text.text(), nullptr, 0));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view set, bound.text(0, ""));
  FERRUM_RETURN_IF_ERROR(runtime.charge(text.text().size() * set.size() / 64));
  return runtime.string(strip(text.text(), &set, 0));
}

Result<Value> string_filter(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("string", args, {}).status());
  return to_text(runtime, input);
}

Result<Value> safe(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("safe", args, {}).status());
  return to_text(runtime, input);
}

Result<Value> replace(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("replace", args, {"old", "new", "count"}, 2));
  FERRUM_ASSIGN_OR_RETURN(const Value text, to_text(runtime, input));
  FERRUM_ASSIGN_OR_RETURN(const Value from, to_text(runtime, bound[0]));
  FERRUM_ASSIGN_OR_RETURN(const Value to, to_text(runtime, bound[1]));
  const bool no_limit = bound.has(2) && bound[2].is_none();
  FERRUM_ASSIGN_OR_RETURN(const int64_t limit, no_limit ? Result<int64_t>(-1) : bound.integer(2, -1));
  return replace_text(runtime, text.text(), from.text(), to.text(), limit);
}

Result<Value> center(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("center", args, {"width"}));
  FERRUM_ASSIGN_OR_RETURN(const int64_t width, bound.integer(0, 80));
  FERRUM_ASSIGN_OR_RETURN(const Value text, to_text(runtime, input));
  return pad(runtime, text.text(), width, '^', " ");
}

Result<Value> indent(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("indent", args, {"width", "first", "blank"}));
  if (!input.is_string())
    return invalid_argument("indent needs a string, not '" + std::string(input.type_name()) + "'");
  TextBuilder indention(runtime);
  if (bound.has(0) && bound[0].is_string()) {
    indention.append(bound[0].text());
  } else {
    FERRUM_ASSIGN_OR_RETURN(const int64_t width, bound.integer(0, 4));
    indention.append(' ', static_cast<size_t>(std::max<int64_t>(0, width)));
  }
  FERRUM_RETURN_IF_ERROR(indention.status());
  const bool first = bound.truthy(1, false), blank = bound.truthy(2, false);
  std::vector<std::string_view> lines = split_lines(input.text(), false);
  // The text counts as if a newline followed it.
  if (lines.empty() || input.text().ends_with('\n')) lines.push_back("");
  TextBuilder out(runtime);
  for (size_t i = 0; i < lines.size() && !out.full(); ++i) {
    if (i > 0) out.append('\n');
    if (i == 0 ? first : blank || !lines[i].empty()) out.append(indention.text());
    out.append(lines[i]);
  }
  return out.finish(runtime);
}

Result<Value> truncate(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound,
                          BoundArgs::bind("truncate", args, {"length", "killwords", "end", "leeway"}));
  if (input.is_undefined()) return input;
  if (!input.is_string())
    return invalid_argument("truncate needs a string, not '" + std::string(input.type_name()) + "'");
  FERRUM_ASSIGN_OR_RETURN(const int64_t length, bound.integer(0, 255));
  FERRUM_ASSIGN_OR_RETURN(const std::string_view end, bound.text(2, "..."));
  const bool no_leeway = bound.has(3) && bound[3].is_none();
  FERRUM_ASSIGN_OR_RETURN(const int64_t leeway, no_leeway ? Result<int64_t>(5) : bound.integer(3, 5));
  const int64_t room = length - static_cast<int64_t>(count_code_points(end));
  if (room < 0) return invalid_argument("truncate: the length is less than that of its ending");
  if (leeway < 0) return invalid_argument("truncate: the leeway is negative");
  const auto size = static_cast<int64_t>(input.string()->length);
  if (size <= length || size - length <= leeway) return input;
  std::string_view kept = input.text().substr(0, byte_offset(input.text(), static_cast<size_t>(room)));
  if (!bound.truthy(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return runtime.string(std::string(kept).append(end));
}

Result<Value> wordcount(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("wordcount", args, {}).status());
  FERRUM_ASSIGN_OR_RETURN(const Value value, to_text(runtime, input));
  const std::string_view text = value.text();
  int64_t words = 0;
  bool inside = false;
  for (size_t pos = 0; pos < text.size();) {
    const bool word = is_word(next_code_point(text, pos));
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value(words);
}

Result<Value> format(Runtime& runtime, const Value& input, CallArgs& args) {
  if (!args.positional.empty() && !args.named.empty())
    return invalid_argument("format takes values or names, not both");
  FERRUM_ASSIGN_OR_RETURN(const Value text, to_text(runtime, input));
  if (args.named.empty()) {
    FERRUM_ASSIGN_OR_RETURN(const Value values, runtime.tuple(args.positional));
    return printf_format(runtime, text.text(), values);
  }
  FERRUM_ASSIGN_OR_RETURN(Dict * values, runtime.dict());
  for (const auto& [name, value] : args.named) FERRUM_RETURN_IF_ERROR(runtime.set_entry(*values, name, value));
  return printf_format(runtime, text.text(), Value(values));
}

void append_url(TextBuilder& out, std::string_view text, bool query) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                       c == '.' || c == '-' || c == '~' || (c == '/' && !query);
    if (plain) {
      out.append(c);
    } else if (c == ' ' && query) {
      out.append('+');
    } else {
      out.append('%');
      out.append(kDigits[static_cast<unsigned char>(c) >> 4]);
      out.append(kDigits[static_cast<unsigned char>(c) & 0xF]);
    }
  }
}

Result<Value> urlencode(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("urlencode", args, {}).status());
  TextBuilder out(runtime);
  if (input.dict() == nullptr && input.sequence() == nullptr) {
    FERRUM_ASSIGN_OR_RETURN(const Value text, to_text(runtime, input));
    append_url(out, text.text(), false);
    return out.finish(runtime);
  }
  std::vector<std::pair<Value, Value>> pairs;
  if (const Dict* dict = input.dict()) {
    pairs = dict->entries();
  } else {
    for (const Value& item : input.sequence()->items) {
      FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> pair, runtime.items(item));
      if (pair.size() != 2) return invalid_argument("urlencode needs pairs");
      pairs.emplace_back(pair[0], pair[1]);
    }
  }
  for (size_t i = 0; i < pairs.size() && !out.full(); ++i) {
    FERRUM_ASSIGN_OR_RETURN(const Value key, to_text(runtime, pairs[i].first));
    FERRUM_ASSIGN_OR_RETURN(const Value value, to_text(runtime, pairs[i].second));
    if (i > 0) out.append('&');
    append_url(out, key.text(), true);
    out.append('=');
    append_url(out, value.text(), true);
  }
  return out.finish(runtime);
}

std::string unescape_html(std::string text) {
  static constexpr std::pair<std::string_view, std::string_view> kEntities[] = {
      {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#34;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}};
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const std::string_view rest = std::string_view(text).substr(pos);
    const auto* entity = std::find_if(std::begin(kEntities), std::end(kEntities),
                                      [&](const auto& e) { return rest.starts_with(e.first); });
    if (entity == std::end(kEntities)) {
      out += text[pos++];
    } else {
      out += entity->second;
      pos += entity->first.size();
    }
  }
  return out;
}

Result<Value> striptags(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_RETURN_IF_ERROR(BoundArgs::bind("striptags", args, {}).status());
  FERRUM_ASSIGN_OR_RETURN(const Value value, to_text(runtime, input));
  const std::string_view text = value.text();
  std::string plain;
  for (size_t pos = 0; pos < text.size();) {
    const bool comment = text.substr(pos).starts_with("<!--");
    const size_t end = text[pos] != '<' ? std::string_view::npos : text.find(comment ? "-->" : ">", pos);
    if (end == std::string_view::npos) {
      // Without an end there is none for any later tag either, but each would be looked for again.
      const size_t next = text[pos] == '<' ? text.size() : pos + 1;
      plain += text.substr(pos, next - pos);
      pos = next;
    } else {
      pos = end + (comment ? 3 : 1);
    }
  }
  std::string out;
  for (const std::string_view word : split_space(plain, -1, false)) out.append(out.empty() ? "" : " ").append(word);
  return runtime.string(unescape_html(std::move(out)));
}

Result<Value> filesizeformat(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound, BoundArgs::bind("filesizeformat", args, {"binary"}));
  const bool binary = bound.truthy(0, false);
  const double base = binary ? 1024 : 1000;
  std::optional<double> size;
  if (input.is_number()) size = input.number();
  if (input.is_string()) size = parse_float(input.text());
  if (!size) return invalid_argument("filesizeformat needs a number");
  double shown = *size;
  if (shown == 1) return runtime.string(std::string_view("1 Byte"));
  if (shown < base) {
    FERRUM_ASSIGN_OR_RETURN(const int64_t whole, truncate_to_integer(shown));
    return runtime.string(std::to_string(whole) + " Bytes");
  }
  static constexpr char kPrefixes[] = "kMGTPEZY";
  size_t prefix = 0;
  for (shown /= base; shown >= base && prefix < 7; ++prefix) shown /= base;
  char buffer[400];
  std::snprintf(buffer, sizeof(buffer), "%.1f ", shown);
  std::string unit = binary && prefix == 0 ? "K" : std::string(1, kPrefixes[prefix]);
  return runtime.string(buffer + unit + (binary ? "iB" : "B"));
}

// json.dumps(value, ensure_ascii, indent, separators, sort_keys), which is how Hugging Face defines the filter.
Result<Value> tojson(Runtime& runtime, const Value& input, CallArgs& args) {
  FERRUM_ASSIGN_OR_RETURN(const BoundArgs bound,
                          BoundArgs::bind("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = bound.truthy(0, false);
  style.sort_keys = bound.truthy(3, false);
  if (runtime.is_js()) style.undefined = "null";
  if (bound.has(1) && !bound[1].is_none()) {
    if (bound[1].is_string()) {
      style.indent = std::string(bound[1].text());
    } else {
      FERRUM_ASSIGN_OR_RETURN(const int64_t width, bound.integer(1, 0));
      if (width > 1000) return invalid_argument("tojson: an indent above 1000 is not supported");
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
    }
    style.item_separator = ",";
  }
  if (bound.has(2) && !bound[2].is_none()) {
    const Sequence* both = bound[2].sequence();
    if (both == nullptr || both->items.size() != 2 || !both->items[0].is_string() || !both->items[1].is_string()) {
      return invalid_argument("tojson: separators must be two strings");
    }
    style.item_separator = both->items[0].text();
    style.key_separator = both->items[1].text();
  }
  TextBuilder out(runtime);
  FERRUM_RETURN_IF_ERROR(append_json(runtime, out, input, style));
  return out.finish(runtime);
}

}  // namespace

FilterBody find_text_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, FilterBody> kFilters = {
      {"upper", mapped<to_upper>},
      {"lower", mapped<to_lower>},
      {"title", mapped<title_words>},
      {"capitalize", mapped<capitalize>},
      {"escape", mapped<escape_html>},
      {"e", mapped<escape_html>},
      {"forceescape", mapped<escape_html>},
      {"safe", safe},
      {"string", string_filter},
      {"trim", trim},
      {"replace", replace},
      {"center", center},
      {"indent", indent},
      {"truncate", truncate},
      {"wordcount", wordcount},
      {"format", format},
      {"urlencode", urlencode},
      {"striptags", striptags},
      {"filesizeformat", filesizeformat},
      {"tojson", tojson},
  };
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace ferrum::jinja
