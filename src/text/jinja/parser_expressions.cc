#include <array>
#include <optional>
#include <utility>

#include "text/jinja/parser.h"

namespace ferrum::jinja {

Result<ExprPtr> Parser::seal(ExprPtr node) {
  if (node->depth > kMaxTreeDepth) return fail(node->position, "this expression is too long or too deeply nested");
  return ExprPtr(std::move(node));
}

Result<ExprPtr> Parser::make_binary(BinaryOp op, Position position, ExprPtr left, ExprPtr right) {
  auto node = std::make_unique<Binary>(position);
  node->op = op;
  adopt(node->depth, left);
  adopt(node->depth, right);
  node->left = std::move(left);
  node->right = std::move(right);
  return seal(std::move(node));
}

Result<ExprPtr> Parser::make_logic(bool is_and, Position position, ExprPtr left, ExprPtr right) {
  auto node = std::make_unique<Logic>(position);
  node->is_and = is_and;
  adopt(node->depth, left);
  adopt(node->depth, right);
  node->left = std::move(left);
  node->right = std::move(right);
  return seal(std::move(node));
}

// "a, b" is a tuple wherever an expression may stand alone; "()" only in parentheses.
Result<ExprPtr> Parser::parse_tuple_or_expression(bool parenthesised, bool conditional) {
  const auto at_end = [&] {
    return current().kind == TokenKind::kVariableEnd || current().kind == TokenKind::kBlockEnd ||
           current().is_operator(")");
  };
  auto tuple = std::make_unique<TupleExpr>(current().position);
  bool is_tuple = parenthesised && at_end();
  while (!at_end()) {
    FERRUM_ASSIGN_OR_RETURN(ExprPtr item, conditional ? parse_expression() : parse_or());
    adopt(tuple->depth, item);
    tuple->items.push_back(std::move(item));
    if (!skip_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return seal(std::move(tuple));
  if (tuple->items.empty()) return unexpected("an expression");
  return std::move(tuple->items[0]);
}

Result<ExprPtr> Parser::parse_expression() {
  const Nesting nesting(nesting_);
  FERRUM_RETURN_IF_ERROR(check_nesting());
  FERRUM_ASSIGN_OR_RETURN(ExprPtr expr, parse_or());
  while (current().is_name("if")) {
    auto node = std::make_unique<Conditional>(next().position);
    node->then = std::move(expr);
    FERRUM_ASSIGN_OR_RETURN(node->condition, parse_or());
    if (skip_name("else")) {
      FERRUM_ASSIGN_OR_RETURN(node->otherwise, parse_expression());
    }
    adopt(node->depth, node->then);
    adopt(node->depth, node->condition);
    adopt(node->depth, node->otherwise);
    FERRUM_ASSIGN_OR_RETURN(expr, seal(std::move(node)));
  }
  return expr;
}

Result<ExprPtr> Parser::parse_or() {
  FERRUM_ASSIGN_OR_RETURN(ExprPtr left, parse_and());
  while (current().is_name("or")) {
    const Position position = next().position;
    FERRUM_ASSIGN_OR_RETURN(ExprPtr right, parse_and());
    FERRUM_ASSIGN_OR_RETURN(left, make_logic(false, position, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::parse_and() {
  FERRUM_ASSIGN_OR_RETURN(ExprPtr left, parse_not());
  while (current().is_name("and")) {
    const Position position = next().position;
    FERRUM_ASSIGN_OR_RETURN(ExprPtr right, parse_not());
    FERRUM_ASSIGN_OR_RETURN(left, make_logic(true, position, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  const Nesting nesting(nesting_);
  FERRUM_RETURN_IF_ERROR(check_nesting());
  auto node = std::make_unique<Unary>(next().position);
  FERRUM_ASSIGN_OR_RETURN(node->operand, parse_not());
  adopt(node->depth, node->operand);
  return seal(std::move(node));
}

Result<ExprPtr> Parser::parse_compare() {
  static constexpr std::array<std::pair<std::string_view, CompareOp>, 6> kOperators = {{
      {"==", CompareOp::kEqual},
      {"!=", CompareOp::kNotEqual},
      {"<", CompareOp::kLess},
      {"<=", CompareOp::kLessEqual},
      {">", CompareOp::kGreater},
      {">=", CompareOp::kGreaterEqual},
  }};
  auto node = std::make_unique<Compare>(current().position);
  FERRUM_ASSIGN_OR_RETURN(node->first, parse_sum());
  adopt(node->depth, node->first);
  while (true) {
    std::optional<CompareOp> op;
    for (const auto& [text, candidate] : kOperators) {
      if (current().is_operator(text)) op = candidate;
    }
    if (op || current().is_name("in")) {
      if (!op) op = CompareOp::kIn;
      next();
    } else if (current().is_name("not") && look_ahead().is_name("in")) {
      op = CompareOp::kNotIn;
      next();
      next();
    } else {
      break;
    }
    FERRUM_ASSIGN_OR_RETURN(ExprPtr operand, parse_sum());
    adopt(node->depth, operand);
    node->rest.emplace_back(*op, std::move(operand));
  }
  if (node->rest.empty()) return std::move(node->first);
  return seal(std::move(node));
}

Result<ExprPtr> Parser::parse_sum() {
  FERRUM_ASSIGN_OR_RETURN(ExprPtr left, parse_concat());
  while (current().is_operator("+") || current().is_operator("-")) {
    const Token& token = next();
    const BinaryOp op = token.text == "+" ? BinaryOp::kAdd : BinaryOp::kSubtract;
    FERRUM_ASSIGN_OR_RETURN(ExprPtr right, parse_concat());
    FERRUM_ASSIGN_OR_RETURN(left, make_binary(op, token.position, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::parse_concat() {
  auto node = std::make_unique<Concat>(current().position);
  do {
    FERRUM_ASSIGN_OR_RETURN(ExprPtr item, parse_product());
    adopt(node->depth, item);
    node->items.push_back(std::move(item));
  } while (skip_operator("~"));
  if (node->items.size() == 1) return std::move(node->items[0]);
  return seal(std::move(node));
}

Result<ExprPtr> Parser::parse_product() {
  static constexpr std::array<std::pair<std::string_view, BinaryOp>, 4> kOperators = {{
      {"*", BinaryOp::kMultiply},
      {"/", BinaryOp::kDivide},
      {"//", BinaryOp::kFloorDivide},
      {"%", BinaryOp::kModulo},
  }};
  FERRUM_ASSIGN_OR_RETURN(ExprPtr left, parse_power());
  while (true) {
    std::optional<BinaryOp> op;
    for (const auto& [text, candidate] : kOperators) {
      if (current().is_operator(text)) op = candidate;
    }
    if (!op) return left;
    const Position position = next().position;
    FERRUM_ASSIGN_OR_RETURN(ExprPtr right, parse_power());
    FERRUM_ASSIGN_OR_RETURN(left, make_binary(*op, position, std::move(left), std::move(right)));
  }
}

// Unlike Python's, Jinja's ** binds to the left and looser than a sign.
Result<ExprPtr> Parser::parse_power() {
  FERRUM_ASSIGN_OR_RETURN(ExprPtr left, parse_unary(true));
  while (current().is_operator("**")) {
    const Position position = next().position;
    FERRUM_ASSIGN_OR_RETURN(ExprPtr right, parse_unary(true));
    FERRUM_ASSIGN_OR_RETURN(left, make_binary(BinaryOp::kPower, position, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::parse_unary(bool with_filters) {
  ExprPtr expr;
  if (current().is_operator("-") || current().is_operator("+")) {
    const Nesting nesting(nesting_);
    FERRUM_RETURN_IF_ERROR(check_nesting());
    const Token& token = next();
    auto node = std::make_unique<Unary>(token.position);
    node->op = token.text == "-" ? UnaryOp::kMinus : UnaryOp::kPlus;
    FERRUM_ASSIGN_OR_RETURN(node->operand, parse_unary(false));
    adopt(node->depth, node->operand);
    FERRUM_ASSIGN_OR_RETURN(expr, seal(std::move(node)));
  } else {
    FERRUM_ASSIGN_OR_RETURN(expr, parse_primary());
  }
  FERRUM_ASSIGN_OR_RETURN(expr, parse_postfix(std::move(expr)));
  if (!with_filters) return expr;
  return parse_filters_and_tests(std::move(expr));
}

Result<ExprPtr> Parser::parse_primary() {
  const Token& token = current();
  auto literal = std::make_unique<Literal>(token.position);
  switch (token.kind) {
    case TokenKind::kName: return parse_name();
    case TokenKind::kInteger: literal->value = next().integer; return ExprPtr(std::move(literal));
    case TokenKind::kFloat: literal->value = next().real; return ExprPtr(std::move(literal));
    case TokenKind::kString: {
      std::string text;
      while (current().kind == TokenKind::kString) text += next().text;
      literal->value = std::make_shared<const StringObject>(std::move(text), nullptr);
      return ExprPtr(std::move(literal));
    }
    default: break;
  }
  if (token.is_operator("[")) return parse_list();
  if (token.is_operator("{")) return parse_dict();
  if (!skip_operator("(")) return unexpected("an expression");
  FERRUM_ASSIGN_OR_RETURN(ExprPtr inner, parse_tuple_or_expression(true));
  FERRUM_RETURN_IF_ERROR(expect_operator(")"));
  return inner;
}

Result<ExprPtr> Parser::parse_name() {
  const Token& token = next();
  auto literal = std::make_unique<Literal>(token.position);
  const std::string& name = token.text;
  if (name == "true" || name == "True") return literal->value = true, ExprPtr(std::move(literal));
  if (name == "false" || name == "False") return literal->value = false, ExprPtr(std::move(literal));
  if (name == "none" || name == "None") return literal->value = None{}, ExprPtr(std::move(literal));
  for (MacroDefinition* macro : open_macros_) {
    macro->uses_varargs |= name == "varargs";
    macro->uses_kwargs |= name == "kwargs";
    macro->uses_caller |= name == "caller";
  }
  auto node = std::make_unique<Name>(token.position);
  node->name = name;
  return ExprPtr(std::move(node));
}

Result<ExprPtr> Parser::parse_list() {
  auto node = std::make_unique<ListExpr>(next().position);
  while (!current().is_operator("]")) {
    FERRUM_ASSIGN_OR_RETURN(ExprPtr item, parse_expression());
    adopt(node->depth, item);
    node->items.push_back(std::move(item));
    if (!skip_operator(",")) break;
  }
  FERRUM_RETURN_IF_ERROR(expect_operator("]"));
  return seal(std::move(node));
}

Result<ExprPtr> Parser::parse_dict() {
  auto node = std::make_unique<DictExpr>(next().position);
  while (!current().is_operator("}")) {
    FERRUM_ASSIGN_OR_RETURN(ExprPtr key, parse_expression());
    FERRUM_RETURN_IF_ERROR(expect_operator(":"));
    FERRUM_ASSIGN_OR_RETURN(ExprPtr value, parse_expression());
    adopt(node->depth, key);
    adopt(node->depth, value);
    node->entries.emplace_back(std::move(key), std::move(value));
    if (!skip_operator(",")) break;
  }
  FERRUM_RETURN_IF_ERROR(expect_operator("}"));
  return seal(std::move(node));
}

Result<ExprPtr> Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (current().is_operator(".")) {
      FERRUM_ASSIGN_OR_RETURN(expr, parse_dot(std::move(expr)));
    } else if (current().is_operator("[")) {
      FERRUM_ASSIGN_OR_RETURN(expr, parse_subscript(std::move(expr)));
    } else if (current().is_operator("(")) {
      FERRUM_ASSIGN_OR_RETURN(expr, parse_call(std::move(expr)));
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> Parser::parse_filters_and_tests(ExprPtr expr) {
  while (true) {
    if (skip_operator("|")) {
      FERRUM_ASSIGN_OR_RETURN(expr, parse_filter(std::move(expr)));
    } else if (skip_name("is")) {
      FERRUM_ASSIGN_OR_RETURN(expr, parse_test(std::move(expr)));
    } else if (current().is_operator("(")) {
      FERRUM_ASSIGN_OR_RETURN(expr, parse_call(std::move(expr)));
    } else {
      return expr;
    }
  }
}

// a.b, and a.0, which is a[0].
Result<ExprPtr> Parser::parse_dot(ExprPtr object) {
  const Position position = next().position;
  if (current().kind == TokenKind::kInteger) {
    auto key = std::make_unique<Literal>(current().position);
    key->value = next().integer;
    auto node = std::make_unique<Item>(position);
    adopt(node->depth, object);
    node->object = std::move(object);
    node->key = std::move(key);
    return seal(std::move(node));
  }
  auto node = std::make_unique<Attribute>(position);
  FERRUM_ASSIGN_OR_RETURN(node->name, expect_identifier("an attribute name or an index"));
  adopt(node->depth, object);
  node->object = std::move(object);
  return seal(std::move(node));
}

Result<ExprPtr> Parser::parse_slice_part() {
  if (current().is_operator(":") || current().is_operator("]") || current().is_operator(",")) return ExprPtr();
  return parse_expression();
}

Result<ExprPtr> Parser::parse_subscript(ExprPtr object) {
  auto node = std::make_unique<Item>(next().position);
  auto slice = std::make_unique<Slice>(current().position);
  FERRUM_ASSIGN_OR_RETURN(ExprPtr start, parse_slice_part());
  if (skip_operator(":")) {
    slice->start = std::move(start);
    FERRUM_ASSIGN_OR_RETURN(slice->stop, parse_slice_part());
    if (skip_operator(":")) {
      FERRUM_ASSIGN_OR_RETURN(slice->step, parse_slice_part());
    }
    adopt(slice->depth, slice->start);
    adopt(slice->depth, slice->stop);
    adopt(slice->depth, slice->step);
    FERRUM_ASSIGN_OR_RETURN(node->key, seal(std::move(slice)));
  } else if (start == nullptr) {
    return unexpected("an index");
  } else if (current().is_operator(",")) {
    auto tuple = std::make_unique<TupleExpr>(start->position);
    adopt(tuple->depth, start);
    tuple->items.push_back(std::move(start));
    while (skip_operator(",") && !current().is_operator("]")) {
      FERRUM_ASSIGN_OR_RETURN(ExprPtr item, parse_expression());
      adopt(tuple->depth, item);
      tuple->items.push_back(std::move(item));
    }
    FERRUM_ASSIGN_OR_RETURN(node->key, seal(std::move(tuple)));
  } else {
    node->key = std::move(start);
  }
  FERRUM_RETURN_IF_ERROR(expect_operator("]"));
  adopt(node->depth, object);
  adopt(node->depth, node->key);
  node->object = std::move(object);
  return seal(std::move(node));
}

Result<ExprPtr> Parser::parse_call(ExprPtr callee) {
  auto node = std::make_unique<Call>(current().position);
  FERRUM_RETURN_IF_ERROR(parse_arguments(node->arguments, node->depth));
  adopt(node->depth, callee);
  node->callee = std::move(callee);
  return seal(std::move(node));
}

Status Parser::parse_arguments(std::vector<Argument>& arguments, int& depth) {
  FERRUM_RETURN_IF_ERROR(expect_operator("("));
  while (!current().is_operator(")")) {
    const Position position = current().position;
    Argument argument;
    FERRUM_RETURN_IF_ERROR(parse_argument(argument));
    adopt(depth, argument.value);
    if (argument.kind == ArgumentKind::kPositional && !arguments.empty() &&
        arguments.back().kind != ArgumentKind::kPositional) {
      return fail(position, "a positional argument cannot follow a named or starred one");
    }
    arguments.push_back(std::move(argument));
    if (!skip_operator(",")) break;
  }
  return expect_operator(")");
}

Status Parser::parse_argument(Argument& argument) {
  if (skip_operator("*")) {
    argument.kind = ArgumentKind::kStar;
  } else if (skip_operator("**")) {
    argument.kind = ArgumentKind::kDoubleStar;
  } else if (current().kind == TokenKind::kName && look_ahead().is_operator("=")) {
    argument.kind = ArgumentKind::kNamed;
    argument.name = next().text;
    next();
  }
  FERRUM_ASSIGN_OR_RETURN(argument.value, parse_expression());
  return Status::ok();
}

Result<std::string> Parser::parse_dotted_name(std::string_view what) {
  FERRUM_ASSIGN_OR_RETURN(std::string name, expect_identifier(what));
  while (skip_operator(".")) {
    FERRUM_ASSIGN_OR_RETURN(const std::string part, expect_identifier(what));
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> Parser::parse_filter(ExprPtr input) {
  auto node = std::make_unique<Filter>(current().position);
  FERRUM_ASSIGN_OR_RETURN(node->name, parse_dotted_name("the name of a filter"));
  if (current().is_operator("(")) FERRUM_RETURN_IF_ERROR(parse_arguments(node->arguments, node->depth));
  adopt(node->depth, input);
  node->input = std::move(input);
  return seal(std::move(node));
}

Result<ExprPtr> Parser::parse_test(ExprPtr input) {
  auto node = std::make_unique<Test>(current().position);
  node->negated = skip_name("not");
  FERRUM_ASSIGN_OR_RETURN(node->name, parse_dotted_name("the name of a test"));
  const Token& token = current();
  const bool word =
      token.kind == TokenKind::kName && !token.is_name("else") && !token.is_name("or") && !token.is_name("and");
  if (token.is_operator("(")) {
    FERRUM_RETURN_IF_ERROR(parse_arguments(node->arguments, node->depth));
  } else if (word || token.kind == TokenKind::kString || token.kind == TokenKind::kInteger ||
             token.kind == TokenKind::kFloat || token.is_operator("[") || token.is_operator("{")) {
    // One argument may stand without parentheses: "x is divisibleby 3".
    if (token.is_name("is")) return fail(token.position, "tests cannot be chained with 'is'");
    const bool keyword = token.is_name("if") || token.is_name("in") || token.is_name("not");
    if (!keyword) {
      Argument argument;
      FERRUM_ASSIGN_OR_RETURN(argument.value, parse_primary());
      FERRUM_ASSIGN_OR_RETURN(argument.value, parse_postfix(std::move(argument.value)));
      adopt(node->depth, argument.value);
      node->arguments.push_back(std::move(argument));
    }
  }
  adopt(node->depth, input);
  node->input = std::move(input);
  return seal(std::move(node));
}

}  // namespace ferrum::jinja
