#include "text/jinja/template.h"

#include <nlohmann/json.hpp>

#include "text/jinja/interpreter.h"
#include "text/jinja/json.h"
#include "text/jinja/parser.h"

namespace ferrum::jinja {

Result<Template> Template::compile(std::string_view source) {
  FERRUM_ASSIGN_OR_RETURN(Body body, parse(source));
  Template made;
  made.body_ = std::make_shared<const Body>(std::move(body));
  return made;
}

Result<std::string> Template::render(const ContextBuilder& build, const RenderOptions& options) const {
  Runtime runtime(options);
  FERRUM_ASSIGN_OR_RETURN(Dict * context, runtime.dict());
  FERRUM_RETURN_IF_ERROR(build(runtime, *context));
  return Interpreter(runtime).run(*body_, *context);
}

Result<std::string> Template::render(const nlohmann::ordered_json& context, const RenderOptions& options) const {
  if (!context.is_object()) return invalid_argument("the context of a template must be a JSON object");
  const auto build = [&context](Runtime& runtime, Dict& names) -> Status {
    for (const auto& [name, json] : context.items()) {
      auto value = from_json(runtime, json);
      if (!value.is_ok()) return value.status().with_context(name);
      FERRUM_RETURN_IF_ERROR(runtime.set_entry(names, name, *std::move(value)));
    }
    return Status::ok();
  };
  return render(ContextBuilder(build), options);
}

}  // namespace ferrum::jinja
