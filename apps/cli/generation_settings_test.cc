// The knobs of generation: flags and /set share one table, values are checked, mistakes change nothing.
#include "apps/cli/generation_settings.h"

#include <gtest/gtest.h>

#include <set>

namespace ferrum {
namespace {

TEST(GenerationSettings, EveryKnobSetsWhatItShows) {
  std::set<std::string_view> names;
  for (const GenerationKnob& knob : generation_knobs()) {
    EXPECT_TRUE(names.insert(knob.name).second) << knob.name;
    EXPECT_FALSE(knob.help.empty());
    GenerationSettings settings;
    const std::string before = knob.get(settings);
    const std::string value = knob.name == "ignore-eos" ? "on" : "0.5";
    const bool whole = !set_knob(settings, knob.name, value).is_ok();
    if (whole) {
      EXPECT_TRUE(set_knob(settings, knob.name, "7").is_ok()) << knob.name;
    }
    EXPECT_NE(knob.get(settings), before) << knob.name << " was set and shows no change";
  }
}

TEST(GenerationSettings, ValuesArriveInTheEnginesTerms) {
  GenerationSettings settings;
  ASSERT_TRUE(set_knob(settings, "temp", "0").is_ok());
  ASSERT_TRUE(set_knob(settings, "top-k", "9").is_ok());
  ASSERT_TRUE(set_knob(settings, "seed", "-1").is_ok());
  ASSERT_TRUE(set_knob(settings, "max-tokens", "5").is_ok());
  ASSERT_TRUE(set_knob(settings, "stop", "END").is_ok());
  ASSERT_TRUE(set_knob(settings, "stop", "two words").is_ok());
  EXPECT_TRUE(settings.sampling.greedy());
  EXPECT_EQ(settings.sampling.top_k, 9);
  EXPECT_EQ(settings.sampling.seed, UINT64_MAX);
  EXPECT_EQ(settings.stop.max_tokens, 5);
  EXPECT_EQ(settings.stop.stop, (std::vector<std::string>{"END", "two words"}));
  ASSERT_TRUE(set_knob(settings, "stop", "").is_ok());
  EXPECT_TRUE(settings.stop.stop.empty());
  ASSERT_TRUE(set_knob(settings, "seed", "random").is_ok());
  EXPECT_EQ(settings.sampling.seed, std::nullopt);
}

TEST(GenerationSettings, MistakesAreNamedAndChangeNothing) {
  GenerationSettings settings;
  const struct {
    const char* name;
    const char* value;
  } kBad[] = {
      {"temp", "-1"},         {"temp", "hot"},         {"temp", "nan"}, {"top-p", "1.5"},
      {"top-k", "-3"},        {"top-k", "2.5"},        {"seed", "x"},   {"max-tokens", "-2"},
      {"max-tokens", "1e99"}, {"ignore-eos", "maybe"}, {"min-p", ""},   {"repeat-penalty", "0"},
  };
  for (const auto& bad : kBad) {
    const Status status = set_knob(settings, bad.name, bad.value);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << bad.name << " " << bad.value;
    EXPECT_TRUE(status.message().starts_with(bad.name)) << status.message();
  }
  for (const GenerationKnob& knob : generation_knobs()) {
    EXPECT_EQ(knob.get(settings), knob.get(GenerationSettings())) << knob.name;
  }
  EXPECT_NE(set_knob(settings, "tmep", "1").message().find("did you mean temp?"), std::string::npos);
}

}  // namespace
}  // namespace ferrum
