// A compiled Jinja template. Immutable; render() may be called from any thread.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/jinja/ast.h"
#include "text/jinja/globals.h"
#include "text/jinja/runtime.h"

namespace ferrum::jinja {

class Template {
 public:
  // Errors are kInvalidArgument with line and column.
  static Result<Template> compile(std::string_view source);

  // The context is a JSON object. All failures are kInvalidArgument: those of the template with line and column, those
  // of raise_exception() with kRaisedPrefix.
  Result<std::string> render(const nlohmann::ordered_json& context, const RenderOptions& options = {}) const;

  // For hosts that pass more than JSON (functions): fills the context itself.
  using ContextBuilder = std::function<Status(Runtime&, Dict& context)>;
  Result<std::string> render(const ContextBuilder& build, const RenderOptions& options = {}) const;

 private:
  std::shared_ptr<const Body> body_;
};

}  // namespace ferrum::jinja
