// Frequencies of rotary embedding. The goldens in tests/data/models prove linear, Llama-3 (as a tensor) and YaRN end to
// end against Hugging Face; here are the rules' corners, and vLLM's tables where the shared test data is present.
#include "models/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

namespace ferrum {
namespace {

RopeParams params(RopeScaling scaling, int dim = 16) {
  RopeParams p;
  p.dim = dim;
  p.scaling = scaling;
  p.factor = 4;
  p.original_context = 32;
  return p;
}

std::vector<float> frequencies(const RopeParams& p, std::span<const float> divisors = {}) {
  auto rope = make_rope(p, divisors);
  EXPECT_TRUE(rope.is_ok()) << rope.status().message();
  return rope->inv_freq;
}

TEST(Rope, WithoutScalingThePowersOfTheBase) {
  RopeParams p = params(RopeScaling::kNone, 4);
  EXPECT_EQ(frequencies(p), (std::vector<float>{1.0f, 0.01f}));
  p.base = 100;
  EXPECT_EQ(frequencies(p), (std::vector<float>{1.0f, 0.1f}));
}

TEST(Rope, LinearDividesEveryFrequency) {
  EXPECT_EQ(frequencies(params(RopeScaling::kLinear, 4)), (std::vector<float>{0.25f, 0.0025f}));
}

TEST(Rope, DivisorsApplyBeforeTheScaling) {
  const std::vector<float> divisors = {2.0f, 8.0f};
  EXPECT_EQ(frequencies(params(RopeScaling::kNone, 4), divisors), (std::vector<float>{0.5f, 0.00125f}));
  EXPECT_EQ(frequencies(params(RopeScaling::kLinear, 4), divisors), (std::vector<float>{0.125f, 0.0003125f}));
}

// Rotations of pair i over 32 positions: 32 / (2 pi) * 10000^(-i/8) = 5.09, 1.61, 0.51, ...: kept, ramped, divided.
TEST(Rope, Llama3HasThreeBands) {
  const std::vector<float> plain = frequencies(params(RopeScaling::kNone));
  const std::vector<float> scaled = frequencies(params(RopeScaling::kLlama3));
  EXPECT_EQ(scaled[0], plain[0]);
  const double rotations = 32 * static_cast<double>(plain[1]) / (2 * std::numbers::pi);
  const double keep = (rotations - 1) / (4 - 1);
  EXPECT_NEAR(scaled[1], plain[1] * (keep + (1 - keep) / 4), 1e-7);
  for (size_t i = 2; i < plain.size(); ++i) EXPECT_FLOAT_EQ(scaled[i], plain[i] / 4);
}

TEST(Rope, YarnMagnitudeFollowsTheFactor) {
  RopeParams p = params(RopeScaling::kYarn);
  EXPECT_FLOAT_EQ(make_rope(p, {})->magnitude, static_cast<float>(0.1 * std::log(4.0) + 1));
  p.attention_factor = 1.1;
  EXPECT_FLOAT_EQ(make_rope(p, {})->magnitude, static_cast<float>(1.1 * (0.1 * std::log(4.0) + 1)));
  p.factor = 1;
  EXPECT_FLOAT_EQ(make_rope(p, {})->magnitude, 1.1f);
  EXPECT_EQ(make_rope(params(RopeScaling::kLlama3), {})->magnitude, 1.0f);
}

TEST(Rope, RefusesWhatMakesNoSense) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto refused = [](RopeScaling scaling, auto change, const std::string& word) {
    RopeParams p = params(scaling);
    change(p);
    const auto rope = make_rope(p, {});
    ASSERT_FALSE(rope.is_ok()) << word;
    EXPECT_EQ(rope.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(rope.status().message().find(word), std::string::npos) << rope.status().message();
  };
  for (int dim : {0, -2, 3})
    refused(
        RopeScaling::kNone, [=](RopeParams& p) { p.dim = dim; }, "dimension count");
  for (double bad : {0.0, -1.0, nan, infinity}) {
    refused(
        RopeScaling::kNone, [=](RopeParams& p) { p.base = bad; }, "base");
    refused(
        RopeScaling::kLinear, [=](RopeParams& p) { p.factor = bad; }, "scaling factor");
    refused(
        RopeScaling::kLlama3, [=](RopeParams& p) { p.low_freq_factor = bad; }, "low frequency");
    refused(
        RopeScaling::kLlama3, [=](RopeParams& p) { p.high_freq_factor = bad; }, "high frequency");
    refused(
        RopeScaling::kYarn, [=](RopeParams& p) { p.beta_fast = bad; }, "beta fast");
    refused(
        RopeScaling::kYarn, [=](RopeParams& p) { p.beta_slow = bad; }, "beta slow");
    refused(
        RopeScaling::kYarn, [=](RopeParams& p) { p.attention_factor = bad; }, "attention factor");
  }
  refused(
      RopeScaling::kLlama3, [](RopeParams& p) { p.original_context = 0; }, "original context");
  refused(
      RopeScaling::kYarn, [](RopeParams& p) { p.original_context = -5; }, "original context");
  refused(
      RopeScaling::kYarn, [](RopeParams& p) { p.base = 1; }, "base of 1");
  refused(
      RopeScaling::kLlama3, [](RopeParams& p) { p.high_freq_factor = 0.5; }, "smaller than the low");
  refused(
      RopeScaling::kNone, [](RopeParams& p) { p.base = 1e-300; }, "infinite angle");
  refused(
      RopeScaling::kNone, [](RopeParams& p) { p.base = 1e-36; }, "infinite angle");
}

TEST(Rope, RefusesBadDivisors) {
  for (float bad : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> divisors = {1.0f, bad};
    EXPECT_FALSE(make_rope(params(RopeScaling::kNone, 4), divisors).is_ok());
  }
  const std::vector<float> too_few = {1.0f};
  EXPECT_FALSE(make_rope(params(RopeScaling::kNone, 4), too_few).is_ok());
}

// The [positions, dim] table of a float32 .npy file: cos of each pair, then sin.
std::vector<float> read_table(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  EXPECT_GT(bytes.size(), 10u) << path;
  const size_t header = 10 + static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  std::vector<float> values((bytes.size() - header) / sizeof(float));
  std::memcpy(values.data(), bytes.data() + header, values.size() * sizeof(float));
  return values;
}

TEST(Rope, TablesMatchVllm) {
  const std::string folder = std::string(FERRUM_SOURCE_DIR) + "/../shared/testdata/goldens/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "needs " << folder << ", which is absent";
  RopeParams equal = params(RopeScaling::kLlama3);
  equal.low_freq_factor = equal.high_freq_factor = 2;
  const std::pair<std::string, RopeParams> cases[] = {
      {"long_rope_llama3_neox_f32_bands", params(RopeScaling::kLlama3)},
      {"long_rope_llama3_neox_f32_equal_factors", equal},
      {"long_rope_yarn_neox_f32_truncate", params(RopeScaling::kYarn, 8)},
  };
  for (const auto& [name, p] : cases) {
    const std::vector<float> table = read_table(folder + name + "/cos_sin_cache.npy");
    const auto rope = make_rope(p, {});
    ASSERT_TRUE(rope.is_ok());
    const auto dim = static_cast<size_t>(p.dim);
    ASSERT_EQ(table.size(), 128 * dim) << name;
    for (size_t position = 0; position < 128; ++position) {
      for (size_t pair = 0; pair < dim / 2; ++pair) {
        const float angle = static_cast<float>(position) * rope->inv_freq[pair];
        const float* row = table.data() + position * dim;
        EXPECT_NEAR(std::cos(angle) * rope->magnitude, row[pair], 2e-5) << name << " " << position << " " << pair;
        EXPECT_NEAR(std::sin(angle) * rope->magnitude, row[dim / 2 + pair], 2e-5) << name;
      }
    }
  }
}

}  // namespace
}  // namespace ferrum
