// Execution of statements; see interpreter.h.
#include "text/jinja/filters.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/print.h"

namespace ferrum::jinja {

Result<Interpreter::Flow> Interpreter::exec(const Body& body) {
  for (const auto& stmt : body) {
    FERRUM_ASSIGN_OR_RETURN(const Flow flow, exec(*stmt));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::exec(const Stmt& stmt) {
  const Level level(depth_);
  if (Status status = enter(); !status.is_ok()) return locate(std::move(status), stmt.position);
  Result<Flow> result = exec_unlocated(stmt);
  if (!result.is_ok()) return locate(std::move(result).status(), stmt.position);
  return result;
}

Result<Interpreter::Flow> Interpreter::exec_unlocated(const Stmt& stmt) {
  switch (stmt.kind) {
    case StmtKind::kText: FERRUM_RETURN_IF_ERROR(emit_text(static_cast<const Text&>(stmt).text)); return Flow::kNext;
    case StmtKind::kPrint: return exec_print(static_cast<const Print&>(stmt));
    case StmtKind::kIf: return exec_if(static_cast<const If&>(stmt));
    case StmtKind::kFor: return exec_for(static_cast<const For&>(stmt));
    case StmtKind::kSet: return exec_set(static_cast<const Set&>(stmt));
    case StmtKind::kSetBlock: return exec_set_block(static_cast<const SetBlock&>(stmt));
    case StmtKind::kMacro: return exec_macro(static_cast<const MacroStmt&>(stmt));
    case StmtKind::kCallBlock: return exec_call_block(static_cast<const CallBlock&>(stmt));
    case StmtKind::kFilterBlock: return exec_filter_block(static_cast<const FilterBlock&>(stmt));
    case StmtKind::kWith: return exec_with(static_cast<const With&>(stmt));
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
  }
  return Flow::kNext;
}

Status Interpreter::emit_text(std::string_view text) {
  out_->append(text);
  FERRUM_RETURN_IF_ERROR(runtime_.charge(text.size() / 64));
  if (out_->text().size() > runtime_.options().limits.output) {
    return invalid_argument("the rendered text is longer than " + std::to_string(runtime_.options().limits.output) +
                            " bytes");
  }
  return out_->status();
}

Status Interpreter::emit(const Value& value) {
  if (value.is_string()) return emit_text(value.text());
  FERRUM_RETURN_IF_ERROR(append_text(runtime_, *out_, value));
  return emit_text("");
}

Result<Interpreter::Flow> Interpreter::exec_print(const Print& stmt) {
  FERRUM_ASSIGN_OR_RETURN(const Value value, eval(*stmt.value));
  if (!stmt.silent) FERRUM_RETURN_IF_ERROR(emit(value));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::exec_if(const If& stmt) {
  for (const auto& [condition, body] : stmt.branches) {
    FERRUM_ASSIGN_OR_RETURN(const Value value, eval(*condition));
    if (value.truthy()) return exec(body);
  }
  return exec(stmt.otherwise);
}

Result<Interpreter::Flow> Interpreter::exec_for(const For& stmt) {
  FERRUM_ASSIGN_OR_RETURN(const Value iterable, eval(*stmt.iterable));
  Flow flow = Flow::kNext;
  FERRUM_RETURN_IF_ERROR(run_loop(stmt, iterable, scope_, 0, flow));
  return flow;
}

// What the loop visits: the items, less those its "if" refuses.
Result<std::vector<Value>> Interpreter::loop_items(const For& stmt, const Value& iterable) {
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, runtime_.items(iterable));
  if (stmt.condition == nullptr) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    const ScopeGuard inner(*this, scope_);
    FERRUM_RETURN_IF_ERROR(assign(stmt.target, item));
    FERRUM_ASSIGN_OR_RETURN(const Value wanted, eval(*stmt.condition));
    if (wanted.truthy()) kept.push_back(std::move(item));
  }
  return kept;
}

// `flow` is what the else branch asks of the loop around this one; the body's own is used up here.
Status Interpreter::run_loop(const For& stmt, const Value& iterable, Scope* scope, int64_t level, Flow& flow) {
  const ScopeGuard around(*this, scope);
  FERRUM_ASSIGN_OR_RETURN(std::vector<Value> items, loop_items(stmt, iterable));
  const size_t bytes = items.size() * sizeof(Value);
  FERRUM_ASSIGN_OR_RETURN(Loop * loop, runtime_.make<Loop>(std::move(items)));
  FERRUM_RETURN_IF_ERROR(runtime_.allocate(bytes));
  loop->level = level;
  loop->statement = &stmt;
  loop->scope = scope_;
  loop->recursive = stmt.recursive;
  bool completed = false;
  Status status = run_iterations(stmt, *loop, completed);
  // The object may be kept by the template, its items need not be.
  loop->statement = nullptr;
  loop->items = std::vector<Value>();
  runtime_.budget().used -= bytes;
  FERRUM_RETURN_IF_ERROR(status);
  if (completed) return Status::ok();
  FERRUM_ASSIGN_OR_RETURN(flow, exec(stmt.otherwise));
  return Status::ok();
}

// `completed` is set when a pass came to its end. As in Jinja2, where break or continue cut short every pass, the else
// branch runs.
Status Interpreter::run_iterations(const For& stmt, Loop& loop, bool& completed) {
  for (loop.index = 0; loop.index < loop.items.size(); ++loop.index) {
    FERRUM_RETURN_IF_ERROR(runtime_.charge(1));
    const ScopeGuard inner(*this, loop.scope);
    FERRUM_RETURN_IF_ERROR(set_name("loop", Value(&loop)));
    FERRUM_RETURN_IF_ERROR(assign(stmt.target, loop.items[loop.index]));
    FERRUM_ASSIGN_OR_RETURN(const Flow flow, exec(stmt.body));
    if (flow == Flow::kBreak) break;
    completed |= flow == Flow::kNext;
  }
  return Status::ok();
}

Status Interpreter::assign(const Target& target, const Value& value) {
  if (target.kind == Target::Kind::kName) return set_name(target.name, value);
  if (target.kind == Target::Kind::kAttribute) {
    const Value* object = scope_->find(target.name);
    if (object == nullptr || !object->is_object(ObjectKind::kNamespace)) {
      return invalid_argument("only a namespace's attributes can be set, and '" + target.name + "' is none");
    }
    return runtime_.set_entry(*static_cast<Dict*>(object->object()), target.attribute, value);
  }
  FERRUM_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime_.items(value));
  if (items.size() != target.items.size()) {
    return invalid_argument("cannot unpack " + std::to_string(items.size()) + " values into " +
                            std::to_string(target.items.size()) + " names");
  }
  for (size_t i = 0; i < items.size(); ++i) FERRUM_RETURN_IF_ERROR(assign(target.items[i], items[i]));
  return Status::ok();
}

Result<Interpreter::Flow> Interpreter::exec_set(const Set& stmt) {
  FERRUM_ASSIGN_OR_RETURN(const Value value, eval(*stmt.value));
  FERRUM_RETURN_IF_ERROR(assign(stmt.target, value));
  return Flow::kNext;
}

// The text of a body instead of its output.
Result<Value> Interpreter::capture(const Body& body, Flow& flow) {
  TextBuilder text(runtime_);
  TextBuilder* outer = std::exchange(out_, &text);
  Result<Flow> result = exec(body);
  out_ = outer;
  if (!result.is_ok()) return std::move(result).status();
  flow = *result;
  return text.finish(runtime_);
}

Result<Interpreter::Flow> Interpreter::exec_set_block(const SetBlock& stmt) {
  Flow flow = Flow::kNext;
  Value text;
  {
    const ScopeGuard inner(*this, scope_);
    FERRUM_ASSIGN_OR_RETURN(text, capture(stmt.body, flow));
  }
  if (flow != Flow::kNext) return flow;
  if (stmt.filter != nullptr) {
    FERRUM_ASSIGN_OR_RETURN(text, eval_filter_on(static_cast<const Filter&>(*stmt.filter), text));
  }
  FERRUM_RETURN_IF_ERROR(assign(stmt.target, text));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::exec_filter_block(const FilterBlock& stmt) {
  Flow flow = Flow::kNext;
  const ScopeGuard inner(*this, scope_);
  FERRUM_ASSIGN_OR_RETURN(const Value text, capture(stmt.body, flow));
  if (flow != Flow::kNext) return flow;
  FERRUM_ASSIGN_OR_RETURN(const Value filtered, eval_filter_on(static_cast<const Filter&>(*stmt.filter), text));
  FERRUM_RETURN_IF_ERROR(emit(filtered));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::exec_macro(const MacroStmt& stmt) {
  FERRUM_ASSIGN_OR_RETURN(Macro * macro, runtime_.make<Macro>(stmt.macro, scope_));
  keep_scope(scope_);
  FERRUM_RETURN_IF_ERROR(set_name(stmt.macro.name, Value(macro)));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::exec_call_block(const CallBlock& stmt) {
  FERRUM_ASSIGN_OR_RETURN(Macro * macro, runtime_.make<Macro>(stmt.caller, scope_));
  keep_scope(scope_);
  const Value caller(macro);
  FERRUM_ASSIGN_OR_RETURN(const Value text, eval_call(static_cast<const Call&>(*stmt.call), &caller));
  FERRUM_RETURN_IF_ERROR(emit(text));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::exec_with(const With& stmt) {
  std::vector<Value> values;  // all of them see the names outside
  for (const auto& assignment : stmt.assignments) {
    FERRUM_ASSIGN_OR_RETURN(Value value, eval(*assignment.second));
    values.push_back(std::move(value));
  }
  const ScopeGuard inner(*this, scope_);
  for (size_t i = 0; i < values.size(); ++i) {
    FERRUM_RETURN_IF_ERROR(assign(stmt.assignments[i].first, values[i]));
  }
  return exec(stmt.body);
}

}  // namespace ferrum::jinja
