#include "engine/bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/bench_report.h"
#include "engine/single_model.h"
#include "models/spec_reader.h"
#include "runner/single_sequence.h"

namespace ferrum {
namespace {

const std::string kLlama = std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/llama3.gguf";  // context 256, F32

EngineOptions options_for_test() {
  EngineOptions options;
  options.threads = 1;
  options.max_batched_tokens = 16;
  return options;
}

TEST(BenchSteps, PromptsCoverEachPositionOnceWithinTheBudgetAndWantLogitsAtTheirEnds) {
  for (int parallel : {1, 3}) {
    for (int count : {1, 15, 16, 17, 40}) {
      std::set<std::pair<int, int>> seen;
      int logits = 0;
      for (const BenchStep& step : prompt_steps(5, count, parallel, 16)) {
        int tokens = 0;
        for (const BenchPiece& piece : step) {
          tokens += piece.count;
          for (int i = 0; i < piece.count; ++i) {
            EXPECT_TRUE(seen.emplace(piece.sequence, piece.begin + i).second);
          }
          logits += piece.wants_logits ? 1 : 0;
          EXPECT_EQ(piece.wants_logits, piece.begin + piece.count == 5 + count);
        }
        EXPECT_LE(tokens, 16);
      }
      EXPECT_EQ(seen.size(), static_cast<size_t>(count * parallel));
      EXPECT_EQ(seen.begin()->second, 5);
      EXPECT_EQ(logits, parallel);
    }
  }
}

TEST(BenchSteps, ATestReadsItsPromptAndThenGeneratesAllSequencesTogether) {
  const std::vector<BenchStep> steps = timed_steps({.prompt = 16, .generate = 3, .depth = 7, .parallel = 2}, 16);
  ASSERT_EQ(steps.size(), 5u);  // 2 x 16 tokens in steps of 16, then 3
  for (int i = 0; i < 3; ++i) {
    const BenchStep& step = steps[static_cast<size_t>(2 + i)];
    ASSERT_EQ(step.size(), 2u);
    for (const BenchPiece& piece : step) {
      EXPECT_EQ(piece.begin, 7 + 16 + i);
      EXPECT_EQ(piece.count, 1);
      EXPECT_TRUE(piece.wants_logits);
    }
  }
  EXPECT_EQ((BenchTest{.prompt = 16, .generate = 3, .depth = 7}.name()), "pp16+tg3 @ d7");
}

// The forward pass must see real contexts: a wrong slot or block table would make a benchmark of something else.
TEST(BenchSteps, EachOfSeveralSequencesGetsTheLogitsThatItGetsAlone) {
  const auto model = open_single_model(kLlama, options_for_test(), {.context = 45, .sequences = 3}, {});
  ASSERT_TRUE(model.is_ok()) << model.status().message();
  Runner& runner = *model->runner;
  const BenchLayout layout{16, runner.options().num_blocks / 3, 96};
  std::map<int, std::vector<TokenId>> tokens;
  std::map<int, std::vector<float>> last;
  for (const BenchStep& step : timed_steps({.prompt = 37, .generate = 8, .parallel = 3}, 16)) {
    const Batch batch = bench_batch(step, layout);
    const auto output = runner.run(batch);
    ASSERT_TRUE(output.is_ok());
    for (size_t i = 0; i < step.size(); ++i) {
      const Row& row = batch.rows[i];
      auto& known = tokens[step[i].sequence];
      known.insert(known.end(), batch.tokens.begin() + row.q_begin, batch.tokens.begin() + row.q_begin + row.q_len);
      if (row.logit_count == 0) continue;
      const float* logits = output->logits.row<float>(row.logit_begin);
      last[step[i].sequence].assign(logits, logits + output->logits.cols());
    }
  }
  ASSERT_EQ(tokens.size(), 3u);
  EXPECT_NE(tokens[0], tokens[1]);
  for (const auto& [sequence, known] : tokens) {
    ASSERT_EQ(known.size(), 45u);
    std::vector<float> alone;
    ASSERT_TRUE(SingleSequence(runner)
                    .append(known, 44,
                            [&](int, std::span<const float> row) {
                              alone.assign(row.begin(), row.end());
                              return Status::ok();
                            })
                    .is_ok());
    EXPECT_EQ(last[sequence], alone) << sequence;
  }
}

// Hidden size 32, feed-forward 64, 2 layers, 2 heads of 16, 1 KV head, vocabulary 96, all F32: figures by hand.
TEST(Roofline, CountsWeightsOnceKvByLengthAndOperationsByToken) {
  const auto file = Gguf::open(kLlama).value();
  const ModelSpec spec = read_model_spec(*file).value();
  constexpr double kBody = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64), kHead = 96 * 32, kKv = 128;
  constexpr double kAttention = 2 * 2 * 16 * 4;  // layers, heads, head size, two multiply-adds
  const Roofline roofline(*file, spec, kKv);
  const MachineRates bytes_count{1, {}};
  const MachineRates operations_count{0, {.int8 = 1e-9, .f32 = 1}};

  const BenchStep decode = {{0, 9, 1, true}, {1, 9, 1, true}};
  EXPECT_DOUBLE_EQ(roofline.of_step(decode, bytes_count).seconds(), 4 * (kBody + kHead) + 2 * 10 * kKv);
  EXPECT_DOUBLE_EQ(roofline.of_step(decode, operations_count).seconds(), 2 * (2 * (kBody + kHead) + 10 * kAttention));

  const BenchStep chunk = {{0, 0, 4, false}};  // sees 1 + 2 + 3 + 4 positions, and no head
  EXPECT_DOUBLE_EQ(roofline.of_step(chunk, bytes_count).seconds(), 4 * kBody + 4 * kKv);
  EXPECT_DOUBLE_EQ(roofline.of_step(chunk, operations_count).seconds(), 4 * 2 * kBody + 10 * kAttention);

  ModelSpec windowed = spec;
  windowed.sliding_window = 3;
  const Roofline narrow(*file, windowed, kKv);
  EXPECT_DOUBLE_EQ(narrow.of_step({{0, 9, 1, false}}, bytes_count).seconds(), 4 * kBody + 3 * kKv);
  EXPECT_DOUBLE_EQ(narrow.of_step({{0, 8, 2, false}}, bytes_count).seconds(), 4 * kBody + 4 * kKv);
  EXPECT_DOUBLE_EQ(narrow.of_step({{0, 9, 1, false}}, operations_count).seconds(), 2 * kBody + 3 * kAttention);
}

// A token reads and computes its 3 of 8 experts; two read those of both, which overlap by chance.
TEST(Roofline, CountsTheExpertsThatTokensChoose) {
  const auto file = Gguf::open(std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/qwen3moe.gguf").value();
  const Roofline roofline(*file, read_model_spec(*file).value(), 0);
  constexpr double kExpert = 3 * 16 * 32, kLayers = 2;
  EXPECT_DOUBLE_EQ(roofline.experts().bytes, 4 * kLayers * 8 * kExpert);
  EXPECT_DOUBLE_EQ(roofline.experts().f32, kLayers * 3 * kExpert);
  EXPECT_DOUBLE_EQ(roofline.body().f32, kLayers * (2 * 64 * 32 + 2 * 32 * 32 + 8 * 32));
  const auto seconds = [&](int tokens) {
    return roofline.of_step({{0, 0, tokens, false}}, {1, {}}).seconds() - roofline.body().bytes;
  };
  EXPECT_NEAR(seconds(1), 4 * kLayers * 3 * kExpert, 1e-6);
  EXPECT_NEAR(seconds(2), 4 * kLayers * 8 * kExpert * (1 - 25.0 / 64), 1e-6);
}

TEST(Roofline, TheLongerOfMemoryAndArithmeticBounds) {
  const auto file = Gguf::open(kLlama).value();
  const Roofline roofline(*file, read_model_spec(*file).value(), 128);
  const BenchStep step = {{0, 0, 1, true}};
  for (const MachineRates& rates : {MachineRates{1, {.f32 = 1e9}}, MachineRates{1e9, {.f32 = 1}}}) {
    const Roofline::Bound bound = roofline.of_step(step, rates);
    EXPECT_EQ(bound.seconds(), std::max(bound.memory_seconds, bound.compute_seconds));
    EXPECT_EQ(bound.memory_seconds > bound.compute_seconds, rates.bandwidth == 1);
  }
}

TEST(Bench, SummariesAreThoseOfTheTextbook) {
  const BenchRates rates = summarise({2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_DOUBLE_EQ(rates.mean, 5);
  EXPECT_DOUBLE_EQ(rates.deviation * rates.deviation, 32.0 / 7);
  EXPECT_DOUBLE_EQ(rates.median, 4.5);
  EXPECT_DOUBLE_EQ(summarise({3}).deviation, 0);
  EXPECT_DOUBLE_EQ(summarise({9, 1, 2}).median, 2);
}

TEST(Bench, GivesARowPerCombinationWithEveryRepetition) {
  BenchPlan plan;
  plan.prompts = {20, 0};
  plan.generates = {3};
  plan.pairs = {{5, 2}};
  plan.depths = {0, 10};
  plan.parallel = {1, 4};
  plan.step_tokens = {8, 16};
  plan.repetitions = 2;
  std::vector<BenchRow> rows;
  const Status status = run_bench(
      kLlama, options_for_test(), plan, [&](const BenchRow& row) { rows.push_back(row); }, [](const std::string&) {});
  ASSERT_TRUE(status.is_ok()) << status.message();
  ASSERT_EQ(rows.size(), 2u * 2 * 2 * 3);
  for (const BenchRow& row : rows) {
    EXPECT_EQ(row.seconds.size(), 2u);
    EXPECT_EQ(row.threads, 1);
    EXPECT_GT(row.limit_rate(), 0);
    EXPECT_GE(row.limit_seconds, std::max(row.limit.memory_seconds, row.limit.compute_seconds));
  }
  EXPECT_EQ(rows[0].step_tokens, 8);
  EXPECT_EQ(rows[12].step_tokens, 16);
  EXPECT_EQ(rows[11].test.tokens(), 4 * 7);
}

TEST(Bench, RefusesWhatCannotBeMeasuredAndSaysWhy) {
  const auto message_of = [](const BenchPlan& plan) {
    const Status status = run_bench(
        kLlama, options_for_test(), plan, [](const BenchRow&) { ADD_FAILURE(); }, [](const std::string&) {});
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  EXPECT_NE(message_of({.prompts = {0}, .generates = {0}}).find("zero tokens"), std::string::npos);
  EXPECT_NE(message_of({.generates = {1}, .parallel = {17}}).find("17 sequences"), std::string::npos);
  EXPECT_NE(message_of({.prompts = {200}, .depths = {100}}).find("256"), std::string::npos);
}

BenchRow row_for_report() {
  BenchRow row;
  row.model = "odd|name, \"quoted\"\n";
  row.threads = 2;
  row.test = {.prompt = 100};
  row.seconds = {1.0, 2.0};  // 100 and 50 tokens per second
  row.limit_seconds = row.limit.compute_seconds = 0.5;
  return row;
}

TEST(BenchReport, JsonHoldsTheFiguresInBothForms) {
  for (BenchFormat format : {BenchFormat::kJson, BenchFormat::kJsonLines}) {
    BenchReport report(format, "build");
    std::string text = report.row(row_for_report());
    if (format == BenchFormat::kJsonLines) {
      EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
      text = "[" + text + "]";
    } else {
      text += report.row(row_for_report()) + report.end();
    }
    const nlohmann::json rows = nlohmann::json::parse(text);
    EXPECT_EQ(rows.size(), format == BenchFormat::kJson ? 2u : 1u);
    EXPECT_EQ(rows[0]["model"], row_for_report().model);
    EXPECT_EQ(rows[0]["median_ts"], 75.0);
    EXPECT_EQ(rows[0]["limit_ts"], 200.0);
    EXPECT_EQ(rows[0]["fraction_of_limit"], 0.375);
    EXPECT_EQ(rows[0]["limited_by"], "compute");
  }
  EXPECT_EQ(nlohmann::json::parse(BenchReport(BenchFormat::kJson, "").end()), nlohmann::json::array());
}

TEST(BenchReport, TablesKeepTheirColumnsWhateverTheModelIsCalled) {
  BenchReport markdown(BenchFormat::kMarkdown, "");
  const std::string table = markdown.row(row_for_report());
  const auto bars = [](const std::string& line) {
    size_t count = 0;
    for (size_t i = 0; i < line.size(); ++i) count += line[i] == '|' && (i == 0 || line[i - 1] != '\\') ? 1 : 0;
    return count;
  };
  std::vector<std::string> lines;
  for (size_t at = 0, end = 0; (end = table.find('\n', at)) != std::string::npos; at = end + 1) {
    lines.push_back(table.substr(at, end - at));
  }
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(bars(lines[0]), bars(lines[2]));
  EXPECT_EQ(bars(lines[0]), bars(lines[1]));
  EXPECT_NE(table.find("75.00 ± 35.36"), std::string::npos) << table;

  BenchReport csv(BenchFormat::kCsv, "");
  const std::string text = csv.row(row_for_report());
  EXPECT_NE(text.find("\"odd|name, \"\"quoted\"\"\n\""), std::string::npos) << text;
  EXPECT_EQ(csv.row(row_for_report()).find("n_prompt"), std::string::npos) << "the names stand once";
}

}  // namespace
}  // namespace ferrum
