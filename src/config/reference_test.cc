// Everything that is generated from the table of settings is complete, and the committed files are what it says now.
#include "config/reference.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ferrum {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Reference, CommittedFilesAreWhatTheTableSays) {
  const std::string docs = std::string(FERRUM_SOURCE_DIR) + "/docs/";
  EXPECT_TRUE(read_file(docs + "configuration.md") == configuration_markdown())
      << "run build/src/config/write_reference docs";
  EXPECT_TRUE(read_file(docs + "schema/ferrum.toml.schema.json") == toml_schema().dump(2) + "\n")
      << "run build/src/config/write_reference docs";
}

TEST(Reference, EveryKeyIsInEveryProduct) {
  const std::string markdown = configuration_markdown();
  const auto schema = toml_schema();
  for (const KeySpec& key : all_keys()) {
    EXPECT_NE(markdown.find(std::string("| `").append(key.name).append("`")), std::string::npos) << key.name;
    for (std::string_view alias : key.aliases) EXPECT_NE(markdown.find(alias), std::string::npos) << alias;
    const size_t dot = key.toml.find('.');
    ASSERT_NE(dot, std::string_view::npos) << key.name;
    const std::string table(key.toml.substr(0, dot)), name(key.toml.substr(dot + 1));
    EXPECT_TRUE(schema["properties"][table]["properties"].contains(name)) << key.toml;
    const std::string help = help_line(key);
    EXPECT_NE(help.find(key.name), std::string::npos);
    EXPECT_EQ(help.find('\n'), std::string::npos);
    if (!key.fallback.empty()) {
      EXPECT_NE(help.find("default " + std::string(key.fallback)), std::string::npos) << help;
    }
  }
}

TEST(Reference, TheTomlSchemaSaysTypesAndRanges) {
  const auto tables = toml_schema()["properties"];
  EXPECT_EQ(tables["cpu"]["properties"]["threads"]["type"], "integer");
  EXPECT_EQ(tables["cpu"]["properties"]["threads"]["maximum"], 1024);
  EXPECT_EQ(tables["memory"]["properties"]["kv_fraction"]["minimum"], 0.001);
  EXPECT_EQ(tables["memory"]["properties"]["paged_kv"]["type"], "boolean");
  EXPECT_EQ(tables["memory"]["additionalProperties"], false);
  EXPECT_EQ(tables["moe"]["properties"]["block_size"]["enum"][0], 8);
}

std::vector<CompletionCommand> sample_commands() {
  CompletionCommand run{"run", "Chat: it's [fast]", {{"--json", "Lines of JSON", {}, false}}, {}};
  for (const KeySpec& key : all_keys()) run.flags.push_back(completion_flag(key));
  return {run, {"completion", "This", {}, {"bash", "zsh", "fish"}}};
}

TEST(Completion, KnowsEveryCommandFlagAndChoice) {
  for (Shell shell : {Shell::kBash, Shell::kZsh, Shell::kFish}) {
    const std::string script = completion_script(shell, sample_commands());
    for (const KeySpec& key : all_keys()) {
      const std::string flag(shell == Shell::kFish ? key.flag.substr(2) : key.flag);
      EXPECT_NE(script.find(flag), std::string::npos) << flag;
    }
    EXPECT_NE(script.find("auto baseline neon avx2 avx512"), std::string::npos);
    EXPECT_NE(script.find("bash zsh fish"), std::string::npos);
  }
}

// The real shell completes with it: `ferrum r`, `ferrum run --isa a`, `ferrum run --thr`.
TEST(Completion, BashCompletesWithIt) {
  const auto path = std::filesystem::temp_directory_path() / ("ferrum-completion-" + std::to_string(getpid()));
  std::ofstream(path) << completion_script(Shell::kBash, sample_commands()) << R"(
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _ferrum; echo "${COMPREPLY[*]}"; }
try ferrum r
try ferrum run --isa a
try ferrum run --thr
try ferrum completion z
)";
  FILE* pipe = popen(("bash " + path.string() + " 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char text[4096] = {};
  const size_t count = fread(text, 1, sizeof(text) - 1, pipe);
  pclose(pipe);
  std::filesystem::remove(path);
  EXPECT_EQ(std::string(text, count), "run\nauto avx2 avx512\n--threads\nzsh\n");
}

}  // namespace
}  // namespace ferrum
