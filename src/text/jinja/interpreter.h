// Walks the tree of a template and writes its text. One object per render.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/jinja/objects.h"
#include "text/jinja/runtime.h"

namespace ferrum::jinja {

class Interpreter {
 public:
  explicit Interpreter(Runtime& runtime) : runtime_(runtime) {}

  // The rendered text. Names of the context hide the global functions.
  Result<std::string> run(const Body& body, const Dict& context);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // One level of nesting, while it lives.
  struct Level {
    explicit Level(int& depth) : depth_(depth) { ++depth_; }
    ~Level() { --depth_; }
    int& depth_;
  };
  // A scope inside the current one, which comes back when this goes.
  class ScopeGuard {
   public:
    ScopeGuard(Interpreter& interpreter, Scope* parent);
    ~ScopeGuard();

   private:
    Interpreter& interpreter_;
    Scope* const outer_;
  };

  // statements.cc
  Result<Flow> exec(const Body& body);
  Result<Flow> exec(const Stmt& stmt);
  Result<Flow> exec_unlocated(const Stmt& stmt);
  Result<Flow> exec_print(const Print& stmt);
  Result<Flow> exec_if(const If& stmt);
  Result<Flow> exec_for(const For& stmt);
  Status run_loop(const For& stmt, const Value& iterable, Scope* scope, int64_t level, Flow& flow);
  Status run_iterations(const For& stmt, Loop& loop, bool& completed);
  Result<std::vector<Value>> loop_items(const For& stmt, const Value& iterable);
  Result<Flow> exec_set(const Set& stmt);
  Result<Flow> exec_set_block(const SetBlock& stmt);
  Result<Flow> exec_macro(const MacroStmt& stmt);
  Result<Flow> exec_call_block(const CallBlock& stmt);
  Result<Flow> exec_filter_block(const FilterBlock& stmt);
  Result<Flow> exec_with(const With& stmt);
  Result<Value> capture(const Body& body, Flow& flow);
  Status assign(const Target& target, const Value& value);
  Status set_name(std::string_view name, Value value);
  Status emit(const Value& value);
  Status emit_text(std::string_view text);

  // expressions.cc
  Result<Value> eval(const Expr& expr);
  Result<Value> eval_unlocated(const Expr& expr);
  Result<Value> eval_name(const Name& expr);
  Result<Value> eval_list(const std::vector<ExprPtr>& items, ObjectKind kind);
  Result<Value> eval_dict(const DictExpr& expr);
  Result<Value> eval_unary(const Unary& expr);
  Result<Value> eval_binary(const Binary& expr);
  Result<Value> eval_concat(const Concat& expr);
  Result<Value> eval_logic(const Logic& expr);
  Result<Value> eval_compare(const Compare& expr);
  Result<Value> eval_conditional(const Conditional& expr);
  Result<Value> eval_attribute(const Attribute& expr);
  Result<Value> eval_item(const Item& expr);
  Result<Value> eval_slice(const Value& object, const Slice& slice);
  Result<Value> eval_filter(const Filter& expr);
  // A chain of filters whose innermost has no input of its own.
  Result<Value> eval_filter_on(const Filter& expr, const Value& input);
  Result<Value> eval_test(const Test& expr);
  Result<Value> eval_call(const Call& expr, const Value* caller = nullptr);
  Result<CallArgs> eval_arguments(const std::vector<Argument>& arguments);

  // calls.cc
  Result<Value> call(const Value& callee, CallArgs args);
  Result<Value> call_macro(const Macro& macro, CallArgs args);
  Status bind_parameters(const Macro& macro, CallArgs& args);
  Status bind_extra(const Macro& macro, CallArgs& args);
  Result<Value> call_loop(const Loop& loop, CallArgs& args);
  Result<Value> call_loop_method(Loop& loop, std::string_view name, CallArgs& args, bool& known);

  Status enter();  // charges a step and checks the depth
  Status locate(Status status, Position position);
  Scope* acquire_scope(Scope* parent);
  void release_scope(Scope* scope);
  static void keep_scope(Scope* scope);

  Runtime& runtime_;
  Scope* scope_ = nullptr;
  TextBuilder* out_ = nullptr;
  int depth_ = 0;
  bool located_ = false;  // the failure that is on its way up already names its position
  std::vector<std::unique_ptr<Scope>> scopes_;
  std::vector<Scope*> free_scopes_;
};

}  // namespace ferrum::jinja
