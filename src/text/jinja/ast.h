// The syntax tree of a template. Trees are at most kMaxTreeDepth deep, so that walking or freeing one is safe.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/value.h"

namespace ferrum::jinja {

inline constexpr int kMaxTreeDepth = 300;

enum class ExprKind {
  kLiteral,
  kName,
  kList,
  kTuple,
  kDict,
  kUnary,
  kBinary,
  kConcat,
  kLogic,
  kCompare,
  kConditional,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
};

struct Expr {
  Expr(ExprKind expr_kind, Position where) : kind(expr_kind), position(where) {}
  virtual ~Expr() = default;
  const ExprKind kind;
  const Position position;
  int depth = 1;
};
using ExprPtr = std::unique_ptr<Expr>;

template <ExprKind K>
struct ExprOf : Expr {
  explicit ExprOf(Position where) : Expr(K, where) {}
};

struct Literal : ExprOf<ExprKind::kLiteral> {
  using ExprOf::ExprOf;
  Value value;
};
struct Name : ExprOf<ExprKind::kName> {
  using ExprOf::ExprOf;
  std::string name;
};
struct ListExpr : ExprOf<ExprKind::kList> {
  using ExprOf::ExprOf;
  std::vector<ExprPtr> items;
};
struct TupleExpr : ExprOf<ExprKind::kTuple> {
  using ExprOf::ExprOf;
  std::vector<ExprPtr> items;
};
struct DictExpr : ExprOf<ExprKind::kDict> {
  using ExprOf::ExprOf;
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};

enum class UnaryOp { kNot, kMinus, kPlus };
struct Unary : ExprOf<ExprKind::kUnary> {
  using ExprOf::ExprOf;
  UnaryOp op = UnaryOp::kNot;
  ExprPtr operand;
};

enum class BinaryOp { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
struct Binary : ExprOf<ExprKind::kBinary> {
  using ExprOf::ExprOf;
  BinaryOp op = BinaryOp::kAdd;
  ExprPtr left, right;
};
struct Concat : ExprOf<ExprKind::kConcat> {
  using ExprOf::ExprOf;
  std::vector<ExprPtr> items;
};
struct Logic : ExprOf<ExprKind::kLogic> {
  using ExprOf::ExprOf;
  bool is_and = false;
  ExprPtr left, right;
};

enum class CompareOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
struct Compare : ExprOf<ExprKind::kCompare> {  // first op[0] operand[0] op[1] operand[1] ..., all of which must hold
  using ExprOf::ExprOf;
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};
struct Conditional : ExprOf<ExprKind::kConditional> {
  using ExprOf::ExprOf;
  ExprPtr condition, then;
  ExprPtr otherwise;  // null: undefined
};
struct Attribute : ExprOf<ExprKind::kAttribute> {
  using ExprOf::ExprOf;
  ExprPtr object;
  std::string name;
};
struct Item : ExprOf<ExprKind::kItem> {
  using ExprOf::ExprOf;
  ExprPtr object, key;
};
struct Slice : ExprOf<ExprKind::kSlice> {  // only as the key of an Item; each part may be null
  using ExprOf::ExprOf;
  ExprPtr start, stop, step;
};

enum class ArgumentKind { kPositional, kNamed, kStar, kDoubleStar };
struct Argument {
  ArgumentKind kind = ArgumentKind::kPositional;
  std::string name;
  ExprPtr value;
};
struct Call : ExprOf<ExprKind::kCall> {
  using ExprOf::ExprOf;
  ExprPtr callee;
  std::vector<Argument> arguments;
};
struct Filter : ExprOf<ExprKind::kFilter> {
  using ExprOf::ExprOf;
  ExprPtr input;  // null: the body of a filter or set block
  std::string name;
  std::vector<Argument> arguments;
};
struct Test : ExprOf<ExprKind::kTest> {
  using ExprOf::ExprOf;
  ExprPtr input;
  std::string name;
  bool negated = false;
  std::vector<Argument> arguments;
};

// What an assignment writes to: a name, an attribute of a namespace, or a tuple of such.
struct Target {
  enum class Kind { kName, kAttribute, kTuple };
  Kind kind = Kind::kName;
  Position position;
  std::string name;
  std::string attribute;
  std::vector<Target> items;
};

enum class StmtKind {
  kText,
  kPrint,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kBreak,
  kContinue
};

struct Stmt {
  Stmt(StmtKind stmt_kind, Position where) : kind(stmt_kind), position(where) {}
  virtual ~Stmt() = default;
  const StmtKind kind;
  const Position position;
};
using Body = std::vector<std::unique_ptr<Stmt>>;

template <StmtKind K>
struct StmtOf : Stmt {
  explicit StmtOf(Position where) : Stmt(K, where) {}
};

struct Text : StmtOf<StmtKind::kText> {
  using StmtOf::StmtOf;
  std::string text;
};
struct Print : StmtOf<StmtKind::kPrint> {  // also "do", with `silent`
  using StmtOf::StmtOf;
  ExprPtr value;
  bool silent = false;
};
struct If : StmtOf<StmtKind::kIf> {
  using StmtOf::StmtOf;
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};
struct For : StmtOf<StmtKind::kFor> {
  using StmtOf::StmtOf;
  Target target;
  ExprPtr iterable;
  ExprPtr condition;  // may be null
  bool recursive = false;
  Body body, otherwise;
};
struct Set : StmtOf<StmtKind::kSet> {
  using StmtOf::StmtOf;
  Target target;
  ExprPtr value;
};
struct SetBlock : StmtOf<StmtKind::kSetBlock> {
  using StmtOf::StmtOf;
  Target target;
  ExprPtr filter;  // a chain of Filters whose innermost input is the body; may be null
  Body body;
};

// What can be called with arguments: a macro, or the body of a call block, which is its caller().
struct MacroDefinition {
  std::string name;
  struct Parameter {
    std::string name;
    ExprPtr default_value;  // may be null
  };
  std::vector<Parameter> parameters;
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
  Body body;
};
struct MacroStmt : StmtOf<StmtKind::kMacro> {
  using StmtOf::StmtOf;
  MacroDefinition macro;
};
struct CallBlock : StmtOf<StmtKind::kCallBlock> {
  using StmtOf::StmtOf;
  MacroDefinition caller;
  ExprPtr call;  // a Call
};
struct FilterBlock : StmtOf<StmtKind::kFilterBlock> {
  using StmtOf::StmtOf;
  ExprPtr filter;
  Body body;
};
struct With : StmtOf<StmtKind::kWith> {  // also "generation", which has no assignments
  using StmtOf::StmtOf;
  std::vector<std::pair<Target, ExprPtr>> assignments;
  Body body;
};
struct Break : StmtOf<StmtKind::kBreak> {
  using StmtOf::StmtOf;
};
struct Continue : StmtOf<StmtKind::kContinue> {
  using StmtOf::StmtOf;
};

}  // namespace ferrum::jinja
