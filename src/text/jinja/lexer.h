// Template source to tokens: Jinja's lexical rules with trim_blocks and lstrip_blocks on, as Hugging Face sets them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ferrum::jinja {

// Both count from 1; the column counts bytes.
struct Position {
  uint32_t line = 1;
  uint32_t column = 1;
};
std::string to_string(Position position);  // "line 3, column 14"

enum class TokenKind {
  kText,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Position position;
  std::string text;  // the text, name, operator or decoded string
  int64_t integer = 0;
  double real = 0;

  bool is_operator(std::string_view op) const { return kind == TokenKind::kOperator && text == op; }
  bool is_name(std::string_view name) const { return kind == TokenKind::kName && text == name; }
};

// All tokens, the last of them kEnd. Errors are kInvalidArgument and name the position.
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace ferrum::jinja
