#include "text/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "text/jinja/string_literal.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

constexpr size_t kMaxTokens = 1'000'000;

// One kind of newline, and without the last one: the template's file ends in a newline that is not part of the prompt.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)), rest_(source_) {}
  Result<std::vector<Token>> run();

 private:
  enum class Tag { kVariable, kBlock, kComment };

  Status lex_tag(size_t tag_at);
  Status lex_comment();
  Status lex_inside(Tag tag);
  Status lex_token(Tag tag);
  Status lex_number();
  Status lex_string(char quote);
  Status lex_operator();
  bool lex_raw(Status& status);
  bool lex_end(Tag tag);
  std::optional<size_t> raw_tag(size_t at, std::string_view word, bool is_end) const;

  void add_text(size_t begin, size_t end, char sign, bool may_lstrip);
  void skip_space() {
    while (pos_ < source_.size()) {
      size_t next = pos_;
      if (!is_space(next_code_point(source_, next))) break;
      pos_ = next;
    }
  }
  // What follows a closing tag: "-" eats white space, a plain one eats one newline, "+" nothing.
  void after_close(char sign) {
    if (sign == '-') {
      skip_space();
    } else if (sign != '+' && pos_ < source_.size() && source_[pos_] == '\n') {
      ++pos_;
    }
  }
  bool at(std::string_view what, size_t from) const {
    return rest_.substr(std::min(from, rest_.size())).starts_with(what);
  }
  char peek(size_t i) const { return i < source_.size() ? source_[i] : '\0'; }
  bool digit(size_t i) const { return peek(i) >= '0' && peek(i) <= '9'; }

  // Positions are asked for in rising order, nearly; so each costs what lies since the last.
  Position position(size_t offset) {
    if (offset < counted_) counted_ = 0, line_ = 1, line_start_ = 0;
    for (; counted_ < offset; ++counted_) {
      if (source_[counted_] == '\n') ++line_, line_start_ = counted_ + 1;
    }
    return {line_, static_cast<uint32_t>(offset - line_start_ + 1)};
  }
  Token& push(TokenKind kind, size_t offset, std::string text = {}) {
    tokens_.push_back({kind, position(offset), std::move(text), 0, 0});
    return tokens_.back();
  }
  Status fail(size_t offset, const std::string& message) {
    return invalid_argument(to_string(position(offset)) + ": " + message);
  }

  const std::string source_;
  const std::string_view rest_;
  size_t pos_ = 0;
  std::string open_brackets_;
  std::vector<Token> tokens_;
  size_t counted_ = 0, line_start_ = 0;
  uint32_t line_ = 1;
};

Result<std::vector<Token>> Lexer::run() {
  while (pos_ < source_.size()) {
    size_t tag = pos_;
    while ((tag = source_.find('{', tag)) != std::string::npos) {
      const char kind = peek(tag + 1);
      if (kind == '{' || kind == '%' || kind == '#') break;
      ++tag;
    }
    if (tag == std::string::npos) {
      push(TokenKind::kText, pos_, source_.substr(pos_));
      break;
    }
    FERRUM_RETURN_IF_ERROR(lex_tag(tag));
    if (tokens_.size() > kMaxTokens) return fail(pos_, "the template has too many tokens");
  }
  push(TokenKind::kEnd, source_.size());
  return std::move(tokens_);
}

// The text before a tag, without the white space that the tag's sign or lstrip_blocks takes away.
void Lexer::add_text(size_t begin, size_t end, char sign, bool may_lstrip) {
  std::string_view text = rest_.substr(begin, end - begin);
  if (sign == '-') {
    text = strip(text, nullptr, 1);
  } else if (sign != '+' && may_lstrip) {
    const size_t newline = text.rfind('\n');
    const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    const bool starts_line = line > 0 || begin == 0 || source_[begin - 1] == '\n';
    if (starts_line && strip(text.substr(line), nullptr, 0).empty()) text = text.substr(0, line);
  }
  if (!text.empty()) push(TokenKind::kText, begin, std::string(text));
}

Status Lexer::lex_tag(size_t tag_at) {
  const char kind = source_[tag_at + 1];
  const size_t text_begin = pos_;
  char sign = peek(tag_at + 2);
  if (sign != '-' && sign != '+') sign = '\0';
  add_text(text_begin, tag_at, sign, kind != '{');
  pos_ = tag_at;
  if (kind == '#') return lex_comment();
  Status status;
  if (kind == '%' && lex_raw(status)) return status;
  push(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, tag_at);
  pos_ = tag_at + (sign != '\0' ? 3 : 2);
  return lex_inside(kind == '{' ? Tag::kVariable : Tag::kBlock);
}

Status Lexer::lex_comment() {
  const size_t begin = pos_;
  pos_ += 2;
  if (peek(pos_) == '-' || peek(pos_) == '+') ++pos_;
  const size_t end = source_.find("#}", pos_);
  if (end == std::string::npos) return fail(begin, "this comment has no end '#}'");
  const char sign = end > pos_ ? source_[end - 1] : '\0';
  pos_ = end + 2;
  after_close(sign);
  return Status::ok();
}

// Offset behind a "{% raw %}" or "{% endraw %}" tag at `at`, before its trimming.
std::optional<size_t> Lexer::raw_tag(size_t at_offset, std::string_view word, bool is_end) const {
  size_t i = at_offset + 2;
  if (peek(i) == '-' || peek(i) == '+') ++i;
  const auto skip = [&] {
    while (i < source_.size() && is_space(static_cast<unsigned char>(source_[i]))) ++i;
  };
  skip();
  if (!at(word, i)) return std::nullopt;
  i += word.size();
  skip();
  if (peek(i) == '-' || (is_end && peek(i) == '+')) ++i;
  if (!at("%}", i)) return std::nullopt;
  return i + 2;
}

bool Lexer::lex_raw(Status& status) {
  const size_t begin = pos_;
  const auto body = raw_tag(begin, "raw", false);
  if (!body) return false;
  pos_ = *body;
  if (source_[*body - 3] == '-') skip_space();
  const size_t text_begin = pos_;
  for (size_t close = source_.find("{%", pos_); close != std::string::npos; close = source_.find("{%", close + 2)) {
    const auto end = raw_tag(close, "endraw", true);
    if (!end) continue;
    add_text(text_begin, close, peek(close + 2), true);
    pos_ = *end;
    after_close(source_[*end - 3]);
    return true;
  }
  status = fail(begin, "this raw block has no '{% endraw %}'");
  return true;
}

bool Lexer::lex_end(Tag tag) {
  if (!open_brackets_.empty()) return false;
  const std::string_view close = tag == Tag::kVariable ? "}}" : "%}";
  const char sign = peek(pos_);
  const bool signed_end = (sign == '-' || (sign == '+' && tag == Tag::kBlock)) && at(close, pos_ + 1);
  if (!signed_end && !at(close, pos_)) return false;
  push(tag == Tag::kVariable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, pos_);
  pos_ += signed_end ? 3 : 2;
  if (tag == Tag::kVariable) {
    if (signed_end) skip_space();
  } else {
    after_close(signed_end ? sign : '\0');
  }
  return true;
}

Status Lexer::lex_inside(Tag tag) {
  const size_t begin = pos_;
  open_brackets_.clear();
  while (true) {
    skip_space();
    if (pos_ >= source_.size()) {
      return fail(begin, tag == Tag::kVariable ? "this '{{' has no '}}'" : "this '{%' has no '%}'");
    }
    if (lex_end(tag)) return Status::ok();
    FERRUM_RETURN_IF_ERROR(lex_token(tag));
    if (tokens_.size() > kMaxTokens) return fail(pos_, "the template has too many tokens");
  }
}

Status Lexer::lex_token(Tag) {
  const char c = source_[pos_];
  if (digit(pos_)) return lex_number();
  if (c == '\'' || c == '"') return lex_string(c);
  size_t end = pos_;
  while (end < source_.size()) {
    size_t next = end;
    if (!is_word(next_code_point(source_, next))) break;
    end = next;
  }
  if (end == pos_) return lex_operator();
  push(TokenKind::kName, pos_, source_.substr(pos_, end - pos_));
  pos_ = end;
  return Status::ok();
}

// 10, 1_000, 0x1f, 0o17, 0b11, 1.5, 1e3. After a dot ("matrix.0.1") only an integer is meant.
Status Lexer::lex_number() {
  const size_t begin = pos_;
  const bool after_dot = begin > 0 && source_[begin - 1] == '.';
  int base = 10;
  const char marker = static_cast<char>(peek(pos_ + 1) | 0x20);
  if (source_[pos_] == '0' && (marker == 'x' || marker == 'o' || marker == 'b')) {
    base = marker == 'x' ? 16 : marker == 'o' ? 8 : 2;
    pos_ += 2;
  }
  const auto digits = [&] {
    std::string out;
    const auto fits = [&](char d) {
      if (base == 16) return (d >= '0' && d <= '9') || ((d | 0x20) >= 'a' && (d | 0x20) <= 'f');
      return d >= '0' && d < '0' + base;
    };
    while (fits(peek(pos_)) || (peek(pos_) == '_' && fits(peek(pos_ + 1)))) {
      if (source_[pos_] != '_') out += source_[pos_];
      ++pos_;
    }
    return out;
  };
  std::string number = digits();
  bool is_float = false;
  if (base == 10 && !after_dot) {
    if (peek(pos_) == '.' && digit(pos_ + 1)) {
      is_float = true;
      ++pos_;
      number += "." + digits();
    }
    const bool exponent_sign = peek(pos_ + 1) == '+' || peek(pos_ + 1) == '-';
    if ((peek(pos_) | 0x20) == 'e' && digit(pos_ + (exponent_sign ? 2 : 1))) {
      is_float = true;
      number += 'e';
      ++pos_;
      if (exponent_sign) number += source_[pos_++];
      number += digits();
    }
  }
  if (is_float) {
    push(TokenKind::kFloat, begin, number).real = std::strtod(number.c_str(), nullptr);
    return Status::ok();
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value, base);
  if (error != std::errc() || end != number.data() + number.size()) {
    return fail(begin, "this integer does not fit 64 bits");
  }
  push(TokenKind::kInteger, begin, number).integer = value;
  return Status::ok();
}

Status Lexer::lex_string(char quote) {
  const size_t begin = pos_;
  size_t end = pos_ + 1;
  while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
  if (end >= source_.size()) return fail(begin, "this string has no closing quote");
  auto decoded = decode_string_literal(rest_.substr(begin + 1, end - begin - 1));
  if (!decoded.is_ok()) return fail(begin, decoded.status().message());
  push(TokenKind::kString, begin, *std::move(decoded));
  pos_ = end + 1;
  return Status::ok();
}

Status Lexer::lex_operator() {
  static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                    "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                    ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
  for (const std::string_view op : kOperators) {
    if (!at(op, pos_)) continue;
    const char c = op[0];
    if (c == '(' || c == '[' || c == '{') {
      open_brackets_ += c;
    } else if (c == ')' || c == ']' || c == '}') {
      const char wanted = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open_brackets_.empty() || open_brackets_.back() != wanted) {
        return fail(pos_, "unexpected '" + std::string(op) + "'");
      }
      open_brackets_.pop_back();
    }
    push(TokenKind::kOperator, pos_, std::string(op));
    pos_ += op.size();
    return Status::ok();
  }
  size_t end = pos_;
  next_code_point(source_, end);
  return fail(pos_, "unexpected character '" + source_.substr(pos_, end - pos_) + "'");
}

}  // namespace

std::string to_string(Position position) {
  return "line " + std::to_string(position.line) + ", column " + std::to_string(position.column);
}

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(normalize_newlines(source)).run(); }

}  // namespace ferrum::jinja
