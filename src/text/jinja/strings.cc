#include "text/jinja/strings.h"

#include <algorithm>

#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

bool is_line_break(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

}  // namespace

std::vector<std::string_view> split_space(std::string_view text, int64_t limit, bool from_right) {
  std::vector<std::string_view> words;
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    if (is_space(next_code_point(text, pos))) continue;
    size_t end = pos;
    while (pos < text.size() && !is_space(next_code_point(text, pos))) end = pos;
    words.push_back(text.substr(start, end - start));
  }
  if (limit < 0 || static_cast<int64_t>(words.size()) <= limit) return words;
  // The words beyond the limit stay as they are, with all white space after (from the right: before) them.
  const auto cuts = static_cast<size_t>(limit);
  const size_t kept = words.size() - cuts;
  if (from_right) {
    const auto end = static_cast<size_t>(words[kept - 1].data() + words[kept - 1].size() - text.data());
    words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(kept));
    words.insert(words.begin(), text.substr(0, end));
  } else {
    const auto begin = static_cast<size_t>(words[cuts].data() - text.data());
    words.resize(cuts);
    words.push_back(text.substr(begin));
  }
  return words;
}

std::vector<std::string_view> split_text(std::string_view text, std::string_view separator, int64_t limit,
                                         bool from_right) {
  std::vector<std::string_view> parts;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    if (from_right) {
      parts.push_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    } else {
      parts.push_back(text.substr(0, at));
      text = text.substr(at + separator.size());
    }
  }
  parts.push_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = pos;
    const char32_t c = next_code_point(text, pos);
    if (!is_line_break(c)) continue;
    if (c == '\r' && pos < text.size() && text[pos] == '\n') ++pos;
    lines.push_back(text.substr(begin, (keep_ends ? pos : end) - begin));
    begin = pos;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

Result<Value> list_of(Runtime& runtime, const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) {
    FERRUM_ASSIGN_OR_RETURN(Value item, runtime.string(part));
    items.push_back(std::move(item));
  }
  return runtime.list(std::move(items));
}

Result<Value> replace_text(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                           int64_t limit) {
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + text.size() / 64));
  TextBuilder out(runtime);
  size_t pos = 0;
  for (int64_t done = 0; (limit < 0 || done < limit) && !out.full(); ++done) {
    if (from.empty()) {
      out.append(to);
      if (pos == text.size()) return out.finish(runtime);
      const size_t start = pos;
      next_code_point(text, pos);
      out.append(text.substr(start, pos - start));
      continue;
    }
    const size_t at = text.find(from, pos);
    if (at == std::string_view::npos) break;
    out.append(text.substr(pos, at - pos));
    out.append(to);
    pos = at + from.size();
  }
  out.append(text.substr(pos));
  return out.finish(runtime);
}

Result<Value> pad(Runtime& runtime, std::string_view text, int64_t width, char align, std::string_view fill) {
  const auto length = static_cast<int64_t>(count_code_points(text));
  const int64_t total = std::max<int64_t>(0, width - length);
  int64_t left = align == '>' ? total : 0;
  // str.center() puts the odd one left when the width is odd too.
  if (align == '^') left = total / 2 + (total & width & 1);
  TextBuilder out(runtime);
  const auto repeat = [&](int64_t times) {
    if (fill.size() == 1) return out.append(fill[0], static_cast<size_t>(times));
    for (int64_t i = 0; i < times && !out.full(); ++i) out.append(fill);
  };
  repeat(left);
  out.append(text);
  repeat(total - left);
  return out.finish(runtime);
}

bool has_case(std::string_view text, bool upper) {
  bool found = false;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = next_code_point(text, pos);
    if (upper ? is_lower(c) : is_upper(c)) return false;
    found |= upper ? is_upper(c) : is_lower(c);
  }
  return found;
}

}  // namespace ferrum::jinja
