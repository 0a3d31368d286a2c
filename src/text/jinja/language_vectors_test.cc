// The language as a whole, against what others compute.
#include <gtest/gtest.h>

#include "text/jinja/json.h"
#include "text/jinja/testing.h"

namespace ferrum::jinja {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kShared[] = "../shared/testdata/templates/";

// tests/data/template/language.json, which tools/make_template_vectors.py made with Jinja2 set up as in transformers.
TEST(LanguageVectors, EqualJinja2) {
  const Json data = read_json(repository_path("tests/data/template/language.json"));
  ASSERT_GT(data["vectors"].size(), 900u);
  for (const Json& vector : data["vectors"]) {
    const std::string source = vector["template"];
    const std::string got = render(source, data["context"]);
    if (vector.contains("error")) {
      EXPECT_TRUE(got.starts_with("error: ")) << source << "\ngave " << got << "\nJinja2: " << vector["why"];
    } else {
      EXPECT_EQ(got, vector["output"].get<std::string>()) << source;
    }
  }
}

// The functions that vectors of the JavaScript port pass in their contexts, which only a host can supply.
Result<Value> host_function(Runtime& runtime, const std::string& code) {
  const auto make = [&](Function::Body body) -> Result<Value> {
    FERRUM_ASSIGN_OR_RETURN(Function * function, runtime.make<Function>("host", std::move(body)));
    return Value(function);
  };
  const auto join = [](std::string separator) {
    return [separator](Runtime& r, CallArgs args) -> Result<Value> {
      std::string text;
      for (size_t i = 0; i < args.positional.size(); ++i) {
        text += (i > 0 ? separator : "") + std::string(args.positional[i].text());
      }
      return r.string(std::move(text));
    };
  };
  if (code == "(x, y) => x + y") {
    return make([](Runtime&, CallArgs args) -> Result<Value> {
      return Value(args.positional[0].integer() + args.positional[1].integer());
    });
  }
  if (code == "(...args) => args.length") {
    return make(
        [](Runtime&, CallArgs args) -> Result<Value> { return Value(static_cast<int64_t>(args.positional.size())); });
  }
  if (code == "(...args) => args.join(\"\")") return make(join(""));
  if (code == "(...args) => args.join(\"_\")") return make(join("_"));
  if (code == "() => {}") return make([](Runtime&, CallArgs) -> Result<Value> { return Value(None{}); });
  return invalid_argument("the test does not know the function " + code);
}

Result<Value> with_functions(Runtime& runtime, const Json& json) {
  if (!json.is_object()) return from_json(runtime, json);
  if (json.contains("$js_function")) return host_function(runtime, json["$js_function"]);
  FERRUM_ASSIGN_OR_RETURN(Dict * dict, runtime.dict());
  for (const auto& [key, element] : json.items()) {
    FERRUM_ASSIGN_OR_RETURN(Value value, with_functions(runtime, element));
    FERRUM_RETURN_IF_ERROR(runtime.set_entry(*dict, key, std::move(value)));
  }
  return Value(dict);
}

Result<std::string> render_vector(const Json& vector, Dialect dialect) {
  FERRUM_ASSIGN_OR_RETURN(const Template compiled, Template::compile(vector["template"].get<std::string>()));
  const auto build = [&](Runtime& runtime, Dict& names) -> Status {
    for (const auto& [key, element] : vector["context"].items()) {
      FERRUM_ASSIGN_OR_RETURN(Value value, with_functions(runtime, element));
      FERRUM_RETURN_IF_ERROR(runtime.set_entry(names, key, std::move(value)));
    }
    return Status::ok();
  };
  return compiled.render(Template::ContextBuilder(build), fixed_options(dialect));
}

// huggingface.js' own tests. Four of them (NUMBERS, FUNCTIONS, OBJ_METHODS, IS_OPERATOR_4) pass functions of the host.
TEST(LanguageVectors, EqualHuggingFaceJs) {
  const std::string path = repository_path(std::string(kShared) + "hfjs-jinja-language-vectors.json");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  size_t passed = 0, need_host = 0;
  for (const Json& vector : read_json(path)) {
    const auto text = render_vector(vector, Dialect::kHuggingFaceJs);
    need_host += vector.value("context_has_js_function", false) ? 1 : 0;
    ASSERT_TRUE(text.is_ok()) << vector["name"] << ": " << text.status().message();
    EXPECT_EQ(*text, vector["expected"].get<std::string>()) << vector["name"];
    passed += *text == vector["expected"].get<std::string>() ? 1 : 0;
  }
  EXPECT_EQ(passed, 161u);
  EXPECT_EQ(need_host, 4u);
}

// Real templates. One of them prints its list of tools as it is, which is JSON in JavaScript and repr() in Python.
TEST(LanguageVectors, RealTemplatesRenderAsExpected) {
  const std::string path = repository_path(std::string(kShared) + "hfjs-chat-template-vectors.json");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  size_t javascript = 0, python = 0;
  for (const Json& vector : read_json(path)) {
    const std::string source = vector["chat_template"], target = vector["target"], name = vector["name"];
    const std::string text = render(source, vector["data"], fixed_options(Dialect::kHuggingFaceJs));
    EXPECT_EQ(text, target) << name;
    javascript += text == target ? 1 : 0;
    const std::string in_python = render(source, vector["data"]);
    if (name == "MadeAgents/Hammer2.1") {
      EXPECT_NE(in_python.find("[{'type': 'function', 'function': {'name': 'get_current_temperature'"),
                std::string::npos);
    } else {
      EXPECT_EQ(in_python, target) << name;
    }
    python += in_python == target ? 1 : 0;
  }
  EXPECT_EQ(javascript, 53u);
  EXPECT_EQ(python, 52u);
}

}  // namespace
}  // namespace ferrum::jinja
