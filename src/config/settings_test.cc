// Settings are parsed once and strictly, unknown keys are errors with a suggestion, and the command line wins over the
// environment whatever the order in which they are read.
#include "config/settings.h"

#include <gtest/gtest.h>

#include <set>

#include "config/parse.h"

namespace ferrum {
namespace {

TEST(Parse, BoolsHaveEightSpellingsAndNoOthers) {
  for (const char* yes : {"1", "true", "YES", " on ", "\tTrue\n"}) EXPECT_TRUE(*parse_bool(yes)) << yes;
  for (const char* no : {"0", "false", "No", " OFF"}) EXPECT_FALSE(*parse_bool(no)) << no;
  for (const char* bad : {"", "2", "y", "truee", "-1", "0x1", "on off"}) EXPECT_FALSE(parse_bool(bad).is_ok()) << bad;
}

TEST(Parse, IntegersAreWholeDecimalAndInRange) {
  EXPECT_EQ(*parse_int(" 42 ", 0, 100), 42);
  EXPECT_EQ(*parse_int("-7", -10, 0), -7);
  EXPECT_EQ(*parse_int("9223372036854775807", 0, INT64_MAX), INT64_MAX);
  for (const char* bad : {"", " ", "4x", "4.0", "1e3", "0x10", "101", "-1", "99999999999999999999", "+5", "4 2"}) {
    EXPECT_FALSE(parse_int(bad, 0, 100).is_ok()) << bad;
  }
}

TEST(Parse, FloatsAreFiniteAndInRange) {
  EXPECT_DOUBLE_EQ(*parse_float("0.25", 0, 1), 0.25);
  EXPECT_DOUBLE_EQ(*parse_float("5e-1", 0, 1), 0.5);
  for (const char* bad : {"", "nan", "inf", "1e999", "0,5", "1.5", "-0.1", "half"}) {
    EXPECT_FALSE(parse_float(bad, 0, 1).is_ok()) << bad;
  }
}

TEST(Parse, EditDistance) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("same", "same"), 0);
}

TEST(Settings, EveryKeyIsWellDeclared) {
  std::set<std::string_view> names, flags;
  for (const KeySpec& key : all_keys()) {
    EXPECT_TRUE(key.name.starts_with("FERRUM_")) << key.name;
    EXPECT_TRUE(key.flag.starts_with("--")) << key.name;
    EXPECT_TRUE(names.insert(key.name).second) << "declared twice: " << key.name;
    EXPECT_TRUE(flags.insert(key.flag).second) << "declared twice: " << key.flag;
    EXPECT_FALSE(key.help.empty()) << key.name;
    EXPECT_EQ(key.type == KeyType::kChoice, !key.choices.empty()) << key.name;
    if (key.type == KeyType::kInt || key.type == KeyType::kFloat) {
      EXPECT_LT(key.low, key.high) << key.name;
    }
    for (std::string_view choice : key.choices) EXPECT_EQ(choice, to_lower(choice)) << key.name;
  }
}

TEST(Settings, UnknownKeyIsAnErrorWithASuggestion) {
  const Result<Settings> settings = Settings::from_environment({{"FERRUM_THREDS", "4"}});
  ASSERT_FALSE(settings.is_ok());
  EXPECT_EQ(settings.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(settings.status().message().find("FERRUM_THREDS"), std::string::npos);
  EXPECT_NE(settings.status().message().find("did you mean FERRUM_THREADS?"), std::string::npos);

  const Result<Settings> far = Settings::from_environment({{"FERRUM_SOMETHING_ELSE_ALTOGETHER", "4"}});
  ASSERT_FALSE(far.is_ok());
  EXPECT_EQ(far.status().message().find("did you mean"), std::string::npos);
}

TEST(Settings, BadValueNamesKeyValueAndSource) {
  const Result<Settings> settings = Settings::from_environment({{"FERRUM_THREADS", "many"}});
  ASSERT_FALSE(settings.is_ok());
  for (const char* part : {"environment", "FERRUM_THREADS", "many"}) {
    EXPECT_NE(settings.status().message().find(part), std::string::npos) << settings.status().message();
  }
  Settings empty;
  const Status status = empty.set("FERRUM_CPU_ISA", "sse9", Source::kCommandLine);
  ASSERT_FALSE(status.is_ok());
  for (const char* part : {"--isa", "sse9", "avx2"}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  }
}

TEST(Settings, CommandLineWinsOverEnvironmentInEitherOrder) {
  Result<Settings> settings = Settings::from_environment({{"FERRUM_THREADS", "2"}, {"PATH", "/bin"}});
  ASSERT_TRUE(settings.is_ok());
  EXPECT_EQ(settings->get_int("FERRUM_THREADS"), 2);
  EXPECT_EQ(settings->source("FERRUM_THREADS"), Source::kEnvironment);
  ASSERT_TRUE(settings->set("FERRUM_THREADS", "3", Source::kCommandLine).is_ok());
  ASSERT_TRUE(settings->set("FERRUM_THREADS", "4", Source::kEnvironment).is_ok());
  EXPECT_EQ(settings->get_int("FERRUM_THREADS"), 3);
  EXPECT_EQ(settings->source("FERRUM_THREADS"), Source::kCommandLine);
}

TEST(Settings, AbsentAndEmptyLeaveTheDefault) {
  const Result<Settings> settings = Settings::from_environment({{"FERRUM_THREADS", "  "}});
  ASSERT_TRUE(settings.is_ok());
  EXPECT_EQ(settings->get_int("FERRUM_THREADS"), std::nullopt);
  EXPECT_EQ(settings->get_text("FERRUM_BACKEND"), std::nullopt);
  EXPECT_EQ(settings->get_float("FERRUM_KV_MEMORY_FRACTION"), std::nullopt);
  EXPECT_EQ(settings->source("FERRUM_BACKEND"), Source::kDefault);
}

TEST(Settings, ChoicesIgnoreCaseAndHaveOneForm) {
  Settings settings;
  ASSERT_TRUE(settings.set("FERRUM_KV_DTYPE", " F16 ", Source::kEnvironment).is_ok());
  EXPECT_EQ(settings.get_text("FERRUM_KV_DTYPE"), "fp16");
}

TEST(Settings, ListsAreWordsBetweenCommas) {
  Settings settings;
  EXPECT_TRUE(settings.get_list("FERRUM_CORS_ORIGIN").empty());
  ASSERT_TRUE(settings.set("FERRUM_CORS_ORIGIN", " a, b,,c ,", Source::kEnvironment).is_ok());
  EXPECT_EQ(settings.get_list("FERRUM_CORS_ORIGIN"), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Settings, AFlagGivenWithoutValueIsAnError) {
  Settings settings;
  EXPECT_FALSE(settings.set("FERRUM_THREADS", "", Source::kCommandLine).is_ok());
}

}  // namespace
}  // namespace ferrum
