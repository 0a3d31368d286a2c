// What routers chose is counted, and one that yields no numbers is named and spoils its own token only.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "backend/registry.h"
#include "models/edited_model_test_util.h"
#include "models/registry.h"
#include "runner/runner.h"
#include "runner/single_sequence.h"

namespace ferrum {
namespace {

std::unique_ptr<Runner> runner_of(const EditedModel& model, const std::string& backend_name) {
  auto backend = make_backend({.name = backend_name, .isa = "auto", .threads = 1, .limits = {.max_tokens = 32}});
  auto loaded = load_model(model.open(), **backend, {});
  EXPECT_TRUE(loaded.is_ok()) << loaded.status().message();
  RunnerOptions options;
  options.max_tokens = options.max_logits = 32;
  options.num_blocks = 4;
  return Runner::create(std::move(*backend), std::move(*loaded), options).value();
}

std::vector<float> logits_of(Runner& runner, const std::vector<TokenId>& tokens) {
  SingleSequence sequence(runner);
  std::vector<float> logits;
  const Status status = sequence.append(tokens, 0, [&](int, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
    return Status::ok();
  });
  EXPECT_TRUE(status.is_ok()) << status.message();
  return logits;
}

int64_t total(const ExpertLoad& load) { return std::accumulate(load.tokens.begin(), load.tokens.end(), int64_t{0}); }

TEST(ExpertLoad, CountsEveryChoiceOfEveryLayer) {
  for (const char* backend : {"reference", "cpu"}) {
    const auto runner = runner_of(EditedModel("qwen3moe"), backend);
    EXPECT_EQ(total(runner->expert_load().at(0)), 0);
    logits_of(*runner, {1, 2, 3, 4, 5, 6, 7});
    logits_of(*runner, {8, 9});
    const std::vector<ExpertLoad> load = runner->expert_load();
    ASSERT_EQ(load.size(), 2u);
    for (const ExpertLoad& layer : load) {
      EXPECT_EQ(layer.tokens.size(), 8u);
      EXPECT_EQ(total(layer), 9 * 3);
      EXPECT_EQ(layer.without_numbers, 0);
    }
    EXPECT_EQ(runner->router_fault(), "");
  }
}

TEST(ExpertLoad, DenseModelsHaveNone) {
  const auto runner = runner_of(EditedModel("qwen3"), "cpu");
  logits_of(*runner, {1, 2, 3});
  EXPECT_TRUE(runner->expert_load().empty());
  EXPECT_EQ(runner->router_fault(), "");
}

// The embedding of one token is NaN: its router yields NaN. Positions before it are not touched.
TEST(RouterFault, IsNamedAndStaysWithItsToken) {
  for (const char* backend : {"reference", "cpu"}) {
    EditedModel model("qwen2moe");
    const ConstView table = model.tensor("token_embd.weight");
    std::vector<float> values(table.as<float>(), table.as<float>() + table.elements());
    values[static_cast<size_t>(5 * table.dim(1))] = NAN;
    model.set_tensor("token_embd.weight", values, {table.dim(0), table.dim(1)});
    const auto runner = runner_of(model, backend), whole = runner_of(EditedModel("qwen2moe"), backend);
    const std::vector<float> got = logits_of(*runner, {1, 2, 5}), wanted = logits_of(*whole, {1, 2, 3});
    const size_t vocab = got.size() / 3;
    EXPECT_TRUE(std::equal(got.begin(), got.begin() + static_cast<std::ptrdiff_t>(2 * vocab), wanted.begin()));
    for (size_t i = 2 * vocab; i < got.size(); ++i) EXPECT_TRUE(std::isnan(got[i]));
    EXPECT_EQ(runner->router_fault(), "the router of layer 0 ('blk.0.ffn_gate_inp.weight') gave NaN or infinity");
    EXPECT_EQ(runner->expert_load().at(0).without_numbers, 1);
    logits_of(*runner, {1, 2});
    EXPECT_EQ(runner->router_fault(), "") << "the fault of another step";
  }
}

}  // namespace
}  // namespace ferrum
