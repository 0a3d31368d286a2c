#include "text/jinja/parser.h"

#include <algorithm>
#include <utility>

namespace ferrum::jinja {
namespace {

constexpr size_t kMaxSource = size_t{4} << 20;

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd: return "the end of the template";
    case TokenKind::kVariableEnd: return "'}}'";
    case TokenKind::kBlockEnd: return "'%}'";
    case TokenKind::kString: return "a string";
    default: return "'" + token.text + "'";
  }
}

// Only the literals: "if" or "in" may be names too.
bool is_reserved(std::string_view name) {
  return name == "true" || name == "True" || name == "false" || name == "False" || name == "none" || name == "None";
}

}  // namespace

Result<Body> parse(std::string_view source) {
  if (source.size() > kMaxSource) return invalid_argument("the template is larger than 4 MiB");
  FERRUM_ASSIGN_OR_RETURN(std::vector<Token> tokens, tokenize(source));
  return Parser(std::move(tokens)).parse_template();
}

bool Parser::skip_operator(std::string_view op) {
  if (!current().is_operator(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  next();
  return true;
}

Status Parser::fail(Position position, const std::string& message) const {
  return invalid_argument(to_string(position) + ": " + message);
}

Status Parser::unexpected(std::string_view wanted) const {
  return fail(current().position, "expected " + std::string(wanted) + ", found " + describe(current()));
}

Status Parser::check_nesting() const {
  return nesting_ > kMaxNesting ? fail(current().position, "the template is nested too deeply") : Status::ok();
}

Status Parser::expect_operator(std::string_view op) {
  return skip_operator(op) ? Status::ok() : unexpected("'" + std::string(op) + "'");
}

Status Parser::expect_name(std::string_view name) {
  return skip_name(name) ? Status::ok() : unexpected("'" + std::string(name) + "'");
}

Status Parser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) return unexpected(what);
  next();
  return Status::ok();
}

Result<std::string> Parser::expect_identifier(std::string_view what) {
  if (current().kind != TokenKind::kName) return unexpected(what);
  return next().text;
}

Result<Body> Parser::parse_template() {
  Body body;
  FERRUM_RETURN_IF_ERROR(parse_body(body, {}));
  return body;
}

// Statements up to a tag that starts with one of `ends` (that name is then the current token), or to the end of the
// template where there are none.
Status Parser::parse_body(Body& body, std::initializer_list<std::string_view> ends) {
  const Nesting nesting(nesting_);
  FERRUM_RETURN_IF_ERROR(check_nesting());
  while (current().kind != TokenKind::kEnd) {
    if (current().kind == TokenKind::kBlockBegin && look_ahead().kind == TokenKind::kName &&
        std::find(ends.begin(), ends.end(), look_ahead().text) != ends.end()) {
      next();
      return Status::ok();
    }
    FERRUM_RETURN_IF_ERROR(parse_statement(body));
  }
  if (ends.size() == 0) return Status::ok();
  return unexpected("'{% " + std::string(*(ends.end() - 1)) + " %}'");
}

Status Parser::parse_statement(Body& body) {
  const Token& token = next();
  if (token.kind == TokenKind::kText) {
    auto node = std::make_unique<Text>(token.position);
    node->text = token.text;
    body.push_back(std::move(node));
    return Status::ok();
  }
  if (token.kind == TokenKind::kVariableBegin) {
    auto node = std::make_unique<Print>(token.position);
    FERRUM_ASSIGN_OR_RETURN(node->value, parse_tuple_or_expression(false));
    FERRUM_RETURN_IF_ERROR(expect(TokenKind::kVariableEnd, "'}}'"));
    body.push_back(std::move(node));
    return Status::ok();
  }
  FERRUM_ASSIGN_OR_RETURN(std::unique_ptr<Stmt> node, parse_tag());
  FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
  body.push_back(std::move(node));
  return Status::ok();
}

// One statement, behind its "{%" and up to (not with) the "%}" of its last tag.
Result<std::unique_ptr<Stmt>> Parser::parse_tag() {
  const Token& token = current();
  if (token.is_name("if")) return parse_if();
  if (token.is_name("for")) return parse_for();
  if (token.is_name("set")) return parse_set();
  if (token.is_name("macro")) return parse_macro();
  if (token.is_name("call")) return parse_call_block();
  if (token.is_name("filter")) return parse_filter_block();
  if (token.is_name("with")) return parse_with();
  if (token.is_name("generation")) return parse_generation();
  if (token.is_name("do")) return parse_do();
  if (token.is_name("break") || token.is_name("continue")) return parse_loop_control();
  for (const std::string_view name : {"include", "import", "from", "extends", "block"}) {
    if (token.is_name(name)) {
      return fail(token.position, "'" + std::string(name) + "' is not available: a chat template stands alone");
    }
  }
  if (token.kind != TokenKind::kName) return unexpected("the name of a statement");
  return fail(token.position, "unknown statement '" + token.text + "'");
}

Result<std::unique_ptr<Stmt>> Parser::parse_if() {
  auto node = std::make_unique<If>(current().position);
  while (skip_name("if") || skip_name("elif")) {
    auto& [condition, body] = node->branches.emplace_back();
    FERRUM_ASSIGN_OR_RETURN(condition, parse_tuple_or_expression(false, false));
    if (current().is_name("if")) return unexpected("'%}'");
    FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
    FERRUM_RETURN_IF_ERROR(parse_body(body, {"elif", "else", "endif"}));
  }
  if (skip_name("else")) {
    FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
    FERRUM_RETURN_IF_ERROR(parse_body(node->otherwise, {"endif"}));
  }
  FERRUM_RETURN_IF_ERROR(expect_name("endif"));
  return std::unique_ptr<Stmt>(std::move(node));
}

Result<std::unique_ptr<Stmt>> Parser::parse_for() {
  auto node = std::make_unique<For>(next().position);
  FERRUM_ASSIGN_OR_RETURN(node->target, parse_target(false));
  FERRUM_RETURN_IF_ERROR(expect_name("in"));
  // Without "a if b else c", so that the loop's own "if" is left over.
  FERRUM_ASSIGN_OR_RETURN(node->iterable, parse_tuple_or_expression(false, false));
  if (skip_name("if")) {
    FERRUM_ASSIGN_OR_RETURN(node->condition, parse_expression());
  }
  node->recursive = skip_name("recursive");
  FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
  ++loops_;
  FERRUM_RETURN_IF_ERROR(parse_body(node->body, {"else", "endfor"}));
  --loops_;
  if (skip_name("else")) {
    FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
    FERRUM_RETURN_IF_ERROR(parse_body(node->otherwise, {"endfor"}));
  }
  FERRUM_RETURN_IF_ERROR(expect_name("endfor"));
  return std::unique_ptr<Stmt>(std::move(node));
}

Result<Target> Parser::parse_one_target(bool attributes) {
  const Nesting nesting(nesting_);
  FERRUM_RETURN_IF_ERROR(check_nesting());
  Target target;
  target.position = current().position;
  if (skip_operator("(")) {
    FERRUM_ASSIGN_OR_RETURN(target, parse_target(attributes));
    FERRUM_RETURN_IF_ERROR(expect_operator(")"));
    return target;
  }
  FERRUM_ASSIGN_OR_RETURN(target.name, expect_identifier("a name to assign to"));
  if (is_reserved(target.name)) return fail(target.position, "cannot assign to '" + target.name + "'");
  if (attributes && skip_operator(".")) {
    target.kind = Target::Kind::kAttribute;
    FERRUM_ASSIGN_OR_RETURN(target.attribute, expect_identifier("an attribute name"));
  }
  return target;
}

Result<Target> Parser::parse_target(bool attributes) {
  FERRUM_ASSIGN_OR_RETURN(Target first, parse_one_target(attributes));
  if (!current().is_operator(",")) return first;
  Target tuple;
  tuple.kind = Target::Kind::kTuple;
  tuple.position = first.position;
  tuple.items.push_back(std::move(first));
  while (skip_operator(",")) {
    if (current().kind != TokenKind::kName && !current().is_operator("(")) break;
    if (current().is_name("in")) break;
    FERRUM_ASSIGN_OR_RETURN(Target item, parse_one_target(attributes));
    tuple.items.push_back(std::move(item));
  }
  return tuple;
}

Result<std::unique_ptr<Stmt>> Parser::parse_set() {
  const Position position = next().position;
  FERRUM_ASSIGN_OR_RETURN(Target target, parse_target(true));
  if (skip_operator("=")) {
    auto node = std::make_unique<Set>(position);
    node->target = std::move(target);
    FERRUM_ASSIGN_OR_RETURN(node->value, parse_tuple_or_expression(false));
    return std::unique_ptr<Stmt>(std::move(node));
  }
  auto node = std::make_unique<SetBlock>(position);
  node->target = std::move(target);
  if (skip_operator("|")) {
    FERRUM_ASSIGN_OR_RETURN(node->filter, parse_filter_chain(nullptr));
  }
  FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'=' or '%}'"));
  FERRUM_RETURN_IF_ERROR(parse_body(node->body, {"endset"}));
  FERRUM_RETURN_IF_ERROR(expect_name("endset"));
  return std::unique_ptr<Stmt>(std::move(node));
}

Result<ExprPtr> Parser::parse_filter_chain(ExprPtr input) {
  do {
    FERRUM_ASSIGN_OR_RETURN(input, parse_filter(std::move(input)));
  } while (skip_operator("|"));
  return input;
}

Status Parser::parse_parameters(MacroDefinition& macro) {
  FERRUM_RETURN_IF_ERROR(expect_operator("("));
  while (!current().is_operator(")")) {
    MacroDefinition::Parameter parameter;
    const Position position = current().position;
    FERRUM_ASSIGN_OR_RETURN(parameter.name, expect_identifier("the name of a parameter"));
    if (is_reserved(parameter.name)) return fail(position, "a parameter cannot be called '" + parameter.name + "'");
    if (skip_operator("=")) {
      FERRUM_ASSIGN_OR_RETURN(parameter.default_value, parse_expression());
    } else if (!macro.parameters.empty() && macro.parameters.back().default_value != nullptr) {
      return fail(position, "a parameter without default cannot follow one with a default");
    }
    macro.parameters.push_back(std::move(parameter));
    if (!skip_operator(",")) break;
  }
  return expect_operator(")");
}

Status Parser::parse_macro_body(MacroDefinition& macro, std::string_view end) {
  FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
  const int outer_loops = std::exchange(loops_, 0);
  open_macros_.push_back(&macro);
  FERRUM_RETURN_IF_ERROR(parse_body(macro.body, {end}));
  open_macros_.pop_back();
  loops_ = outer_loops;
  return expect_name(end);
}

Result<std::unique_ptr<Stmt>> Parser::parse_macro() {
  auto node = std::make_unique<MacroStmt>(next().position);
  FERRUM_ASSIGN_OR_RETURN(node->macro.name, expect_identifier("the name of the macro"));
  FERRUM_RETURN_IF_ERROR(parse_parameters(node->macro));
  FERRUM_RETURN_IF_ERROR(parse_macro_body(node->macro, "endmacro"));
  return std::unique_ptr<Stmt>(std::move(node));
}

Result<std::unique_ptr<Stmt>> Parser::parse_call_block() {
  auto node = std::make_unique<CallBlock>(next().position);
  node->caller.name = "caller";
  if (current().is_operator("(")) FERRUM_RETURN_IF_ERROR(parse_parameters(node->caller));
  FERRUM_ASSIGN_OR_RETURN(node->call, parse_expression());
  if (node->call->kind != ExprKind::kCall) return fail(node->position, "a call block needs the call of a macro");
  FERRUM_RETURN_IF_ERROR(parse_macro_body(node->caller, "endcall"));
  return std::unique_ptr<Stmt>(std::move(node));
}

Result<std::unique_ptr<Stmt>> Parser::parse_filter_block() {
  auto node = std::make_unique<FilterBlock>(next().position);
  FERRUM_ASSIGN_OR_RETURN(node->filter, parse_filter_chain(nullptr));
  FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
  FERRUM_RETURN_IF_ERROR(parse_body(node->body, {"endfilter"}));
  FERRUM_RETURN_IF_ERROR(expect_name("endfilter"));
  return std::unique_ptr<Stmt>(std::move(node));
}

Result<std::unique_ptr<Stmt>> Parser::parse_with() {
  auto node = std::make_unique<With>(next().position);
  while (current().kind != TokenKind::kBlockEnd) {
    auto& [target, value] = node->assignments.emplace_back();
    FERRUM_ASSIGN_OR_RETURN(target, parse_one_target(false));
    FERRUM_RETURN_IF_ERROR(expect_operator("="));
    FERRUM_ASSIGN_OR_RETURN(value, parse_expression());
    if (!skip_operator(",")) break;
  }
  FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
  FERRUM_RETURN_IF_ERROR(parse_body(node->body, {"endwith"}));
  FERRUM_RETURN_IF_ERROR(expect_name("endwith"));
  return std::unique_ptr<Stmt>(std::move(node));
}

// Marks the text of the assistant for training; for rendering it is a scope.
Result<std::unique_ptr<Stmt>> Parser::parse_generation() {
  auto node = std::make_unique<With>(next().position);
  FERRUM_RETURN_IF_ERROR(expect(TokenKind::kBlockEnd, "'%}'"));
  FERRUM_RETURN_IF_ERROR(parse_body(node->body, {"endgeneration"}));
  FERRUM_RETURN_IF_ERROR(expect_name("endgeneration"));
  return std::unique_ptr<Stmt>(std::move(node));
}

Result<std::unique_ptr<Stmt>> Parser::parse_do() {
  auto node = std::make_unique<Print>(next().position);
  node->silent = true;
  FERRUM_ASSIGN_OR_RETURN(node->value, parse_tuple_or_expression(false));
  return std::unique_ptr<Stmt>(std::move(node));
}

Result<std::unique_ptr<Stmt>> Parser::parse_loop_control() {
  const Token& token = next();
  if (loops_ == 0) return fail(token.position, "'" + token.text + "' outside of a loop");
  std::unique_ptr<Stmt> node;
  if (token.text == "break") {
    node = std::make_unique<Break>(token.position);
  } else {
    node = std::make_unique<Continue>(token.position);
  }
  return std::unique_ptr<Stmt>(std::move(node));
}

}  // namespace ferrum::jinja
