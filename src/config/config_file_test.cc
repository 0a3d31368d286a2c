// ferrum.toml is read strictly: every mistake has a line and a column, and nothing is ignored.
#include "config/config_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ferrum {
namespace {

Status apply(std::string_view text) {
  Settings settings;
  return apply_toml(text, "ferrum.toml", settings);
}

void expect_error(std::string_view text, const std::vector<std::string>& parts) {
  const Status status = apply(text);
  ASSERT_FALSE(status.is_ok()) << text;
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  for (const std::string& part : parts) EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
}

TEST(ConfigFile, SetsEveryType) {
  Settings s;
  const Status status = apply_toml(R"(
[cpu]
isa = "AVX2"
threads = 3

[memory]
kv_fraction = 0.25
prefix_cache = false
kv_dtype = "f16"

[server]
host = "::1"

cors_origins = ["https://a.example", "http://b"]

[moe]
block_size = 16
)",
                                   "ferrum.toml", s);
  ASSERT_TRUE(status.is_ok()) << status.message();
  EXPECT_EQ(s.get_text("FERRUM_CPU_ISA"), "avx2");
  EXPECT_EQ(s.get_int("FERRUM_THREADS"), 3);
  EXPECT_EQ(s.get_float("FERRUM_KV_MEMORY_FRACTION"), 0.25);
  EXPECT_EQ(s.get_bool("FERRUM_PREFIX_CACHE"), false);
  EXPECT_EQ(s.get_text("FERRUM_KV_DTYPE"), "fp16");
  EXPECT_EQ(s.get_text("FERRUM_HOST"), "::1");
  EXPECT_EQ(s.get_list("FERRUM_CORS_ORIGIN"), (std::vector<std::string>{"https://a.example", "http://b"}));
  EXPECT_EQ(s.get_text("FERRUM_MOE_BLOCK_SIZE"), "16");
  EXPECT_EQ(s.source("FERRUM_THREADS"), Source::kConfigFile);
  EXPECT_TRUE(apply("").is_ok());
  EXPECT_TRUE(apply("# nothing\n[memory]\n").is_ok());
}

TEST(ConfigFile, MalformedTextHasLineAndColumn) {
  expect_error("[cpu]\nthreads = \n", {"ferrum.toml:2:", "malformed TOML"});
  expect_error("[cpu\nthreads = 2\n", {"ferrum.toml:1:", "malformed TOML"});
  expect_error("[cpu]\nthreads = 1\nthreads = 2\n", {"ferrum.toml:3:"});
  expect_error("[cpu]\nisa = \"avx2\xff\"\n", {"ferrum.toml:2:"});
  expect_error(std::string("\0\0\0", 3), {"ferrum.toml:1:1"});
  std::string deep = "a = ";
  for (int i = 0; i < 10'000; ++i) deep += '[';
  expect_error(deep, {"ferrum.toml:1:"});
}

TEST(ConfigFile, UnknownKeysAreErrorsWithASuggestion) {
  expect_error("[cpu]\nthread = 2\n", {"ferrum.toml:2:1", "cpu.thread", "did you mean cpu.threads?"});
  expect_error("threads = 2\n", {"ferrum.toml:1:1", "'threads'"});
  expect_error("[memry]\ncontext = 2\n", {"ferrum.toml:1:2", "memry"});
  expect_error("[cpu.threads]\nmany = true\n", {"cpu.threads", "found a table"});
}

TEST(ConfigFile, WrongTypesAndRangesAreErrors) {
  expect_error("[cpu]\nthreads = \"2\"\n",
               {"ferrum.toml:2:11", "cpu.threads", "expected an integer", "found a string"});
  expect_error("[cpu]\nthreads = 2.0\n", {"found a floating-point number"});
  expect_error("[cpu]\nthreads = [2]\n", {"found an array"});
  expect_error("[cpu]\nthreads = 1979-05-27\n", {"found a date or time"});
  expect_error("[memory]\npaged_kv = 1\n", {"ferrum.toml:2:12", "expected true or false", "found an integer"});
  expect_error("[cpu]\nthreads = 4096\n", {"ferrum.toml:2:11", "cpu.threads", "0 to 1024", "4096"});
  expect_error("[server]\nallowed_hosts = [1]\n", {"server.allowed_hosts", "expected an array of strings"});
  expect_error("[memory]\nkv_fraction = nan\n", {"memory.kv_fraction", "nan"});
  expect_error("[cpu]\nisa = \"sse9\"\n", {"cpu.isa", "sse9", "avx2"});
}

TEST(ConfigFile, EnvironmentAndCommandLineWinInAnyOrder) {
  for (int order = 0; order < 2; ++order) {
    Settings s;
    const auto file = [&] { ASSERT_TRUE(apply_toml("[cpu]\nthreads = 1\n", "f", s).is_ok()); };
    if (order == 0) file();
    ASSERT_TRUE(s.set("FERRUM_THREADS", "2", Source::kEnvironment).is_ok());
    if (order == 1) file();
    EXPECT_EQ(s.get_int("FERRUM_THREADS"), 2);
    ASSERT_TRUE(s.set("FERRUM_THREADS", "3", Source::kCommandLine).is_ok());
    EXPECT_EQ(s.get_int("FERRUM_THREADS"), 3);
  }
}

TEST(ConfigFile, IsFoundWhereItWasAskedForOrNot) {
  EXPECT_EQ(find_config_file("/nonexistent/ferrum.toml").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(find_config_file("/tmp").status().code(), StatusCode::kNotFound);
  const std::string path = std::filesystem::temp_directory_path() / ("ferrum-" + std::to_string(getpid()) + ".toml");
  std::ofstream(path) << "[cpu]\nthreads = 5\n";
  EXPECT_EQ(*find_config_file(path), path);
  Settings s;
  ASSERT_TRUE(apply_config_file(path, s).is_ok());
  EXPECT_EQ(s.get_int("FERRUM_THREADS"), 5);
  std::filesystem::remove(path);
  EXPECT_FALSE(apply_config_file(path, s).is_ok());
}

}  // namespace
}  // namespace ferrum
