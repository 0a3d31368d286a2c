// The effective-config document and the decision trace keep to the JSON Schemas under docs/schema. The checker below
// knows the keywords that those schemas use and fails on any other.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>

#include "config/resolver.h"

namespace ferrum {
namespace {

using Json = nlohmann::json;

Json load_schema(const std::string& name) {
  std::ifstream in(std::string(FERRUM_SOURCE_DIR) + "/docs/schema/" + name);
  return Json::parse(in);
}

bool has_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  return value.type_name() == type;
}

// Every breach as "path: what".
void check(const Json& schema, const Json& value, const std::string& path, std::vector<std::string>& breaches) {
  const auto breach = [&](const std::string& what) { breaches.push_back(path + ": " + what); };
  for (const auto& [keyword, rule] : schema.items()) {
    if (keyword == "type") {
      bool fits = false;
      for (const Json& type : rule.is_array() ? rule : Json::array({rule})) fits = fits || has_type(value, type);
      if (!fits) breach("has type " + std::string(value.type_name()));
    } else if (keyword == "const") {
      if (value != rule) breach("is not " + rule.dump());
    } else if (keyword == "enum") {
      if (std::find(rule.begin(), rule.end(), value) == rule.end()) breach(value.dump() + " is not among the choices");
    } else if (keyword == "minimum") {
      if (value.is_number() && value < rule) breach("is too small");
    } else if (keyword == "minLength") {
      if (value.is_string() && value.get<std::string>().size() < rule.get<size_t>()) breach("is too short");
    } else if (keyword == "minItems") {
      if (value.is_array() && value.size() < rule.get<size_t>()) breach("has too few items");
    } else if (keyword == "pattern") {
      if (value.is_string() && !std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>()))) {
        breach(value.dump() + " does not match " + rule.dump());
      }
    } else if (keyword == "items") {
      for (size_t i = 0; value.is_array() && i < value.size(); ++i)
        check(rule, value[i], path + "/" + std::to_string(i), breaches);
    } else if (keyword == "properties") {
      for (const auto& [name, inner] : rule.items()) {
        if (value.is_object() && value.contains(name)) check(inner, value[name], path + "/" + name, breaches);
      }
    } else if (keyword == "required") {
      for (const Json& name : rule) {
        if (value.is_object() && !value.contains(name.get<std::string>())) breach("lacks " + name.dump());
      }
    } else if (keyword == "additionalProperties") {
      const Json members = value.is_object() ? value : Json::object();
      for (const auto& [name, ignored] : members.items()) {
        if (!schema["properties"].contains(name)) breach("has an unknown member " + name);
      }
    } else if (keyword != "$schema" && keyword != "title" && keyword != "description") {
      breach("the test does not know the keyword " + keyword);
    }
  }
}

std::vector<std::string> breaches_of(const Json& schema, const Json& value) {
  std::vector<std::string> breaches;
  check(schema, value, "", breaches);
  return breaches;
}

ResolverInput preset_input() {
  ResolverInput in;
  in.model = ModelCapabilities::qwen3_30b_a3b_gptq_int4();
  in.hardware = HardwareCapabilities::rtx4090_cuda(CompiledKernelFeatures::m3_fast_path_without_fa2());
  in.workload = WorkloadProfile::m3_qwen3_30b_a3b_int4();
  EXPECT_TRUE(in.settings.set("FERRUM_PAGED_MAX_SEQS", "16", Source::kCommandLine).is_ok());
  EXPECT_TRUE(in.settings.set("FERRUM_FA_LAYOUT_VARLEN", "1", Source::kScriptCase).is_ok());
  EXPECT_TRUE(in.settings.set("FERRUM_API_KEY", "hunter2", Source::kEnvironment).is_ok());
  return in;
}

ResolverInput host_input() {
  ResolverInput in;
  in.model.weight_types = {"Q4_K"};
  in.model.max_context_len = 4096;
  in.hardware = HardwareCapabilities::host_cpu("cpu");
  in.host = CpuHost{{"baseline", "avx2"}, 4, int64_t{8} << 30};
  in.workload = WorkloadProfile::cpu_serving(*in.host);
  return in;
}

TEST(Schema, DocumentAndTraceKeepToTheirs) {
  const Json document_schema = load_schema("effective_config.schema.json");
  const Json decision_schema = load_schema("decision.schema.json");
  for (const ResolverInput& in : {preset_input(), host_input(), ResolverInput{}}) {
    const RunConfig config = resolve(in).value();
    const Json document = Json::parse(effective_config_document(in, config).dump());
    EXPECT_EQ(breaches_of(document_schema, document), std::vector<std::string>{});
    std::istringstream lines(decision_trace_jsonl(config));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_EQ(breaches_of(decision_schema, Json::parse(line)), std::vector<std::string>{}) << line;
    }
  }
}

TEST(Schema, TheCheckerFindsBreaches) {
  const Json schema = load_schema("effective_config.schema.json");
  const ResolverInput in = preset_input();
  const Json good = Json::parse(effective_config_document(in, resolve(in).value()).dump());
  const auto broken = [&](const std::function<void(Json&)>& change) {
    Json document = good;
    change(document);
    return breaches_of(schema, document).size();
  };
  EXPECT_EQ(broken([](Json& d) { d.erase("env_hash"); }), 1u);
  EXPECT_EQ(broken([](Json& d) { d["extra"] = 1; }), 1u);
  EXPECT_EQ(broken([](Json& d) { d["entries"][0]["source"] = "thin air"; }), 1u);
  EXPECT_EQ(broken([](Json& d) { d["env_hash"] = "md5:0"; }), 1u);
  EXPECT_EQ(broken([](Json& d) { d["decisions"][0]["candidates"] = Json::array(); }), 1u);
  EXPECT_EQ(broken([](Json& d) { d["workload_profile"]["target_concurrency"] = "32"; }), 1u);
}

TEST(Schema, ASecretIsNeitherShownNorHashed) {
  ResolverInput in = preset_input();
  const std::string document = effective_config_document(in, resolve(in).value()).dump();
  EXPECT_EQ(document.find("hunter2"), std::string::npos);
  EXPECT_NE(document.find("FERRUM_API_KEY"), std::string::npos);
  const std::string hash = settings_hash(in.settings);
  ASSERT_TRUE(in.settings.set("FERRUM_API_KEY", "another", Source::kEnvironment).is_ok());
  EXPECT_EQ(settings_hash(in.settings), hash);
  EXPECT_EQ(in.settings.describe("FERRUM_API_KEY"), "FERRUM_API_KEY=(hidden) (env)");
  EXPECT_EQ(in.settings.get_list("FERRUM_API_KEY"), std::vector<std::string>{"another"});
}

}  // namespace
}  // namespace ferrum
