// Tokens to syntax tree, by recursive descent over Jinja's grammar.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/jinja/ast.h"

namespace ferrum::jinja {

// Errors are kInvalidArgument and name the position. Nesting beyond what can be parsed safely is such an error.
Result<Body> parse(std::string_view source);

// Internal to parser.cc and parser_expressions.cc.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  Result<Body> parse_template();

 private:
  // Counts one level of recursion for as long as it lives.
  struct Nesting {
    explicit Nesting(int& level) : level_(level) { ++level_; }
    ~Nesting() { --level_; }
    int& level_;
  };
  static constexpr int kMaxNesting = 120;

  // Statements.
  Status parse_body(Body& body, std::initializer_list<std::string_view> ends);
  Status parse_statement(Body& body);
  Result<std::unique_ptr<Stmt>> parse_tag();
  Result<std::unique_ptr<Stmt>> parse_if();
  Result<std::unique_ptr<Stmt>> parse_for();
  Result<std::unique_ptr<Stmt>> parse_set();
  Result<std::unique_ptr<Stmt>> parse_macro();
  Result<std::unique_ptr<Stmt>> parse_call_block();
  Result<std::unique_ptr<Stmt>> parse_filter_block();
  Result<std::unique_ptr<Stmt>> parse_with();
  Result<std::unique_ptr<Stmt>> parse_generation();
  Result<std::unique_ptr<Stmt>> parse_do();
  Result<std::unique_ptr<Stmt>> parse_loop_control();
  Status parse_macro_body(MacroDefinition& macro, std::string_view end);
  Status parse_parameters(MacroDefinition& macro);
  Result<Target> parse_target(bool attributes);
  Result<Target> parse_one_target(bool attributes);
  Result<ExprPtr> parse_filter_chain(ExprPtr input);

  // Expressions, from the loosest binding to the tightest.
  Result<ExprPtr> parse_tuple_or_expression(bool parenthesised, bool conditional = true);
  Result<ExprPtr> parse_expression();  // a if b else c
  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_compare();
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_power();
  Result<ExprPtr> parse_unary(bool with_filters);
  Result<ExprPtr> parse_primary();
  Result<ExprPtr> parse_name();
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_postfix(ExprPtr expr);
  Result<ExprPtr> parse_filters_and_tests(ExprPtr expr);
  Result<ExprPtr> parse_dot(ExprPtr object);
  Result<ExprPtr> parse_subscript(ExprPtr object);
  Result<ExprPtr> parse_slice_part();
  Result<ExprPtr> parse_call(ExprPtr callee);
  Result<ExprPtr> parse_filter(ExprPtr input);
  Result<ExprPtr> parse_test(ExprPtr input);
  Status parse_arguments(std::vector<Argument>& arguments, int& depth);
  Status parse_argument(Argument& argument);
  Result<ExprPtr> make_binary(BinaryOp op, Position position, ExprPtr left, ExprPtr right);
  Result<ExprPtr> make_logic(bool is_and, Position position, ExprPtr left, ExprPtr right);
  Result<std::string> parse_dotted_name(std::string_view what);

  // Ends the making of a node whose depth was collected with adopt().
  static void adopt(int& depth, const ExprPtr& child) {
    if (child != nullptr && child->depth >= depth) depth = child->depth + 1;
  }
  Result<ExprPtr> seal(ExprPtr node);

  const Token& current() const { return tokens_[at_]; }
  const Token& look_ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  const Token& next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  Status expect_operator(std::string_view op);
  Status expect_name(std::string_view name);
  Result<std::string> expect_identifier(std::string_view what);
  Status expect(TokenKind kind, std::string_view what);
  Status fail(Position position, const std::string& message) const;
  Status unexpected(std::string_view wanted) const;
  Status check_nesting() const;

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;                              // enclosing for loops within the innermost macro
  std::vector<MacroDefinition*> open_macros_;  // enclosing macros and call blocks, outermost first
};

}  // namespace ferrum::jinja
