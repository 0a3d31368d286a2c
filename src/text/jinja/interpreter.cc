// The frame of a render: scopes, limits, positions of errors. Statements, expressions and calls are in files of their
// own.
#include "text/jinja/interpreter.h"

#include "text/jinja/globals.h"

namespace ferrum::jinja {
namespace {

constexpr size_t kNameBytes = sizeof(std::pair<std::string_view, Value>);

}  // namespace

Interpreter::ScopeGuard::ScopeGuard(Interpreter& interpreter, Scope* parent)
    : interpreter_(interpreter), outer_(interpreter.scope_) {
  interpreter_.scope_ = interpreter_.acquire_scope(parent);
}

Interpreter::ScopeGuard::~ScopeGuard() {
  interpreter_.release_scope(interpreter_.scope_);
  interpreter_.scope_ = outer_;
}

Scope* Interpreter::acquire_scope(Scope* parent) {
  if (free_scopes_.empty()) {
    scopes_.push_back(std::make_unique<Scope>());
    runtime_.budget().used += sizeof(Scope);  // checked with the next allocation; depth bounds how many are open
    free_scopes_.push_back(scopes_.back().get());
  }
  Scope* scope = free_scopes_.back();
  free_scopes_.pop_back();
  scope->parent = parent;
  return scope;
}

void Interpreter::release_scope(Scope* scope) {
  if (scope->captured) return;
  runtime_.budget().used -= scope->names.size() * kNameBytes;
  scope->names.clear();
  free_scopes_.push_back(scope);
}

// A macro was defined in this scope: it and all around it stay as they are.
void Interpreter::keep_scope(Scope* scope) {
  for (; scope != nullptr && !scope->captured; scope = scope->parent) scope->captured = true;
}

Status Interpreter::set_name(std::string_view name, Value value) {
  const size_t before = scope_->names.size();
  scope_->set(name, std::move(value));
  return scope_->names.size() > before ? runtime_.allocate(kNameBytes) : Status::ok();
}

Status Interpreter::enter() {
  if (depth_ > runtime_.options().limits.depth) return invalid_argument("the template nests or recurses too deeply");
  return runtime_.charge(1);
}

Status Interpreter::locate(Status status, Position position) {
  if (located_ || runtime_.raised()) return status;
  located_ = true;
  return status.with_context(to_string(position));
}

Result<std::string> Interpreter::run(const Body& body, const Dict& context) {
  Scope globals;
  FERRUM_RETURN_IF_ERROR(add_globals(runtime_, globals));
  Scope root;
  root.parent = &globals;
  for (const auto& [name, value] : context.entries()) {
    if (name.is_string()) root.names.emplace_back(name.text(), value);
  }
  scope_ = &root;
  TextBuilder out(runtime_);
  out_ = &out;
  FERRUM_ASSIGN_OR_RETURN(const Flow flow, exec(body));
  (void)flow;  // break and continue end within a loop, which the parser checks
  FERRUM_RETURN_IF_ERROR(out.status());
  return out.text();
}

}  // namespace ferrum::jinja
