// Perplexity against independent figures: chunking and scoring against Hugging Face on the tiny models of
// tests/data/models (tools/make_model_goldens.py), the whole path against llama.cpp's llama-perplexity on stories260K.
#include "engine/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/single_model.h"

namespace ferrum {
namespace {

const std::string kGoldens = std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/";
const std::string kShared = std::string(FERRUM_SOURCE_DIR) + "/../shared/testdata/";
const std::string kStories = kShared + "models/stories260K/stories260K.gguf";

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

EngineOptions f32_reference() {
  EngineOptions options;
  options.backend = "reference";
  options.kv_dtype = DType::kF32;
  return options;
}

TEST(Perplexity, ChunksAndScoresMatchHuggingFace) {
  const nlohmann::json manifest = nlohmann::json::parse(read_file(kGoldens + "manifest.json"));
  for (const auto& [name, model] : manifest["models"].items()) {
    const nlohmann::json& want = model["perplexity"];
    const int context = want["context"];
    const std::string bytes = read_file(kGoldens + name + ".tokens.i32");
    std::vector<TokenId> tokens(bytes.size() / sizeof(TokenId));
    std::memcpy(tokens.data(), bytes.data(), bytes.size());
    const auto opened = open_single_model(kGoldens + name + ".gguf", f32_reference(), {.context = context}, {});
    ASSERT_TRUE(opened.is_ok()) << opened.status().message();

    std::vector<int64_t> seen;
    const auto got = perplexity_of_tokens(*opened->runner, tokens, context, model["config"]["bos_token_id"],
                                          [&](const Perplexity& so_far, int chunks) {
                                            EXPECT_EQ(chunks, 2);
                                            seen.push_back(so_far.tokens);
                                          });
    ASSERT_TRUE(got.is_ok()) << got.status().message();
    EXPECT_EQ(seen, (std::vector<int64_t>{7, 14}));  // positions 8..14 of each chunk; the rest of 8 tokens is left out
    EXPECT_EQ(got->tokens, want["tokens"].get<int64_t>());
    EXPECT_NEAR(got->mean_nll, want["mean_nll"].get<double>(), 1e-4) << name;
    EXPECT_DOUBLE_EQ(got->perplexity, std::exp(got->mean_nll));
    EXPECT_NEAR(got->uncertainty / want["uncertainty"].get<double>(), 1, 1e-3) << name;
  }
}

TEST(Perplexity, RefusesWhatItCannotScore) {
  const auto opened = open_single_model(kGoldens + "llama3.gguf", f32_reference(), {.context = 16}, {});
  ASSERT_TRUE(opened.is_ok()) << opened.status().message();
  const std::vector<TokenId> tokens(31, 5);
  const auto too_few = perplexity_of_tokens(*opened->runner, tokens, 16, {}, {});
  ASSERT_FALSE(too_few.is_ok());
  EXPECT_EQ(too_few.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(too_few.status().message().find("31 tokens"), std::string::npos) << too_few.status().message();
  for (int context : {-1, 0, 3}) EXPECT_FALSE(perplexity_of_tokens(*opened->runner, tokens, context, {}, {}).is_ok());

  for (int64_t context : {int64_t{0}, int64_t{-1}, int64_t{257}, int64_t{1} << 40}) {
    const auto beyond = open_single_model(kGoldens + "llama3.gguf", f32_reference(), {.context = context}, {});
    ASSERT_FALSE(beyond.is_ok());
    EXPECT_EQ(beyond.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(beyond.status().message().find("256"), std::string::npos) << "the limit is named";
  }
}

struct Figure {
  int context;
  double perplexity;
};

class StoriesPerplexity : public ::testing::TestWithParam<Figure> {};

// llama-perplexity's figures of the shared test data's INDEX; the issue allows 0.5 %.
TEST_P(StoriesPerplexity, MatchesLlamaCpp) {
  if (!std::filesystem::exists(kStories)) GTEST_SKIP() << "needs " << kShared << ", which is absent";
  EngineOptions options;
  options.threads = 2;
  const std::string text = read_file(kShared + "text/tinystories_sample.txt");
  const auto got = compute_perplexity(kStories, options, text, GetParam().context, {}, {});
  ASSERT_TRUE(got.is_ok()) << got.status().message();
  RecordProperty("perplexity", std::to_string(got->perplexity) + " +- " + std::to_string(got->uncertainty));
  EXPECT_NEAR(got->perplexity / GetParam().perplexity, 1, 0.005);
}

// How much worse 8-bit KV may make a text: the issue allows 0.5 %.
void expect_int8_kv_costs_little(const std::string& model, const std::string& text, int context) {
  double perplexity[2];
  for (const bool int8 : {false, true}) {
    EngineOptions options;
    options.threads = 2;
    options.kv_dtype = int8 ? DType::kI8 : DType::kF16;
    const auto got = compute_perplexity(model, options, text, context, {}, {});
    ASSERT_TRUE(got.is_ok()) << got.status().message();
    perplexity[int8 ? 1 : 0] = got->perplexity;
  }
  ::testing::Test::RecordProperty("int8_over_f16", std::to_string(perplexity[1] / perplexity[0]));
  EXPECT_NEAR(perplexity[1] / perplexity[0], 1, 0.005) << perplexity[1] << " and " << perplexity[0];
  EXPECT_NE(perplexity[1], perplexity[0]) << "the KV type has no effect";
}

TEST(Int8KvPerplexity, OfStoriesIsThatOfF16) {
  if (!std::filesystem::exists(kStories)) GTEST_SKIP() << "needs " << kShared << ", which is absent";
  expect_int8_kv_costs_little(kStories, read_file(kShared + "text/tinystories_sample.txt"), 512);
}

// Stories that the demo model told at temperature 1: the kind of text that it knows. Of others its figures are noise.
constexpr const char* kDemoStories =
    "Once upon a time, on a farm, there lived a friendly girl. Her name was Mary. It was a warm morning. One day a new "
    "neighbour came. It was a dolphin named Tom. Tom did not know anybody and felt alone. Mary brought some cheese and "
    "said, \"Welcome!\" \"Would you like to play?\" asked Mary. \"Yes!\" said Tom. They played with the boat until the "
    "sun "
    "went down. And they lived happily ever after. The moral: It is good to share.\n"
    "Once upon a time, in a dark forest, there lived a proud horse. Her name was Tom. Tom was afraid of loud sounds. "
    "One "
    "evening he heard a strange sound. \"Who is there?\" asked Tom. It was only a horse named Lily, who could not find "
    "the "
    "way home. Tom was still afraid, but he wanted to help. He took his scarf and showed Lily the way. \"You are very "
    "brave,\" said Lily. After that Tom was not afraid of loud sounds any more. Tom smiled all the way home.\n"
    "There once was an old dog named Hans who lived on a farm. Hans wanted to whistle more than anything. \"You are "
    "too "
    "small,\" said the others. But a bee named Nora said, \"Try it every day.\" So Hans tried every morning and every "
    "evening. The first day he failed. The second day he failed too. On the third day he could whistle! Everyone "
    "clapped, "
    "and Nora was very proud. Hans never forgot that day.\n";

TEST(Int8KvPerplexity, OfTheDemoModelIsThatOfF16) {
  expect_int8_kv_costs_little(std::string(FERRUM_SOURCE_DIR) + "/models/ferrum-demo.gguf", kDemoStories, 128);
}

INSTANTIATE_TEST_SUITE_P(Contexts, StoriesPerplexity,
                         ::testing::Values(Figure{128, 6.8453}, Figure{256, 6.8979}, Figure{512, 8.4383}),
                         [](const auto& instance) { return std::to_string(instance.param.context); });

}  // namespace
}  // namespace ferrum
