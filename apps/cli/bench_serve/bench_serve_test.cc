#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "apps/cli/bench_serve/answer_reader.h"
#include "apps/cli/bench_serve/plot.h"
#include "apps/cli/bench_serve/summary.h"

namespace ferrum {
namespace {

TEST(LoadStatistics, PercentilesAreNumpys) {
  // numpy.percentile([15, 20, 35, 40, 50], [0, 40, 50, 90, 99, 100])
  const std::vector<double> values = {50, 15, 40, 20, 35};
  const std::pair<double, double> wanted[] = {{0, 15}, {40, 29}, {50, 35}, {90, 46}, {99, 49.6}, {100, 50}};
  for (const auto& [p, value] : wanted) EXPECT_NEAR(percentile(values, p), value, 1e-12) << p;
  EXPECT_EQ(percentile({}, 50), 0);
  EXPECT_EQ(percentile({7}, 99), 7);
}

// Student's t for 4 degrees of freedom is 2.776 in every table (97.5 %).
TEST(LoadStatistics, IntervalsAreStudents) {
  const Estimate e = estimate_of({9, 10, 11, 13, 13});
  EXPECT_DOUBLE_EQ(e.mean, 11.2);
  EXPECT_NEAR(e.half_width, 2.776 * std::sqrt(3.2 / 5), 1e-9);  // the sample's variance is 3.2
  EXPECT_EQ(estimate_of({4}).half_width, 0);
  EXPECT_EQ(estimate_of({4, 4, 4}).half_width, 0);
}

TEST(LoadRandomNumbers, AreTheSameEverywhereAndOfTheRightDistributions) {
  // First outputs of splitmix64 for the state 1234567, as its reference implementation publishes them.
  LoadRandom reference(1234567);
  EXPECT_EQ(reference.next(), 6457827717110365317u);
  EXPECT_EQ(reference.next(), 3203168211198807973u);
  LoadRandom random(5);
  double sum = 0;
  std::set<int> seen;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    sum += random.exponential(4);
    seen.insert(random.between(3, 7));
  }
  EXPECT_NEAR(sum / kDraws, 0.25, 5 * 0.25 / std::sqrt(kDraws));  // five standard errors
  EXPECT_EQ(seen, (std::set<int>{3, 4, 5, 6, 7}));
}

bool same(const std::vector<LoadSession>& a, const std::vector<LoadSession>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const LoadSession& x, const LoadSession& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const LoadTurn& s, const LoadTurn& t) {
      return s.tokens == t.tokens && s.text == t.text && s.output_tokens == t.output_tokens;
    });
  });
}

TEST(Workload, IsAFunctionOfSeedAndRun) {
  WorkloadOptions options;
  options.length_spread = 0.5;
  EXPECT_TRUE(same(make_sessions(options, 20, 3), make_sessions(options, 20, 3)));
  EXPECT_FALSE(same(make_sessions(options, 20, 3), make_sessions(options, 20, 4)));
  WorkloadOptions other = options;
  other.seed = 2;
  EXPECT_FALSE(same(make_sessions(options, 20, 3), make_sessions(other, 20, 3)));
}

TEST(Workload, LengthsAndIdsAreAsAskedFor) {
  WorkloadOptions options;
  options.input_tokens = 40;
  options.output_tokens = 10;
  for (double spread : {0.0, 0.5}) {
    options.length_spread = spread;
    std::set<size_t> lengths;
    for (const LoadSession& session : make_sessions(options, 300, 1)) {
      ASSERT_EQ(session.size(), 1u);
      lengths.insert(session[0].tokens.size());
      EXPECT_TRUE(std::all_of(session[0].tokens.begin(), session[0].tokens.end(),
                              [](int id) { return id >= 100 && id <= 999; }));
      EXPECT_GE(session[0].output_tokens, spread > 0 ? 5 : 10);
      EXPECT_LE(session[0].output_tokens, spread > 0 ? 15 : 10);
    }
    EXPECT_EQ(*lengths.begin(), spread > 0 ? 20u : 40u);
    EXPECT_EQ(*lengths.rbegin(), spread > 0 ? 60u : 40u);
  }
}

TEST(Workload, PrefixesAreSharedBetweenSessionsAndRunsAndNothingElseIs) {
  WorkloadOptions options;
  options.input_tokens = 16;
  options.prefix_tokens = 50;
  options.prefixes = 3;
  std::set<std::vector<int>> prefixes, tails;
  for (uint64_t run : {1, 2}) {
    for (const LoadSession& session : make_sessions(options, 60, run)) {
      const std::vector<int>& tokens = session[0].tokens;
      ASSERT_EQ(tokens.size(), 66u);
      prefixes.emplace(tokens.begin(), tokens.begin() + 50);
      tails.emplace(tokens.begin() + 50, tokens.end());
    }
  }
  EXPECT_EQ(prefixes.size(), 3u);
  EXPECT_EQ(tails.size(), 120u);
}

TEST(Workload, TurnsAreTextsAndOnlyTheFirstHasThePrefix) {
  WorkloadOptions options;
  options.form = PromptForm::kChat;
  options.turns = 3;
  options.input_tokens = 5;
  options.prefix_tokens = 7;
  const auto words = [](const std::string& text) { return std::count(text.begin(), text.end(), ' ') + 1; };
  for (const LoadSession& session : make_sessions(options, 5, 0)) {
    ASSERT_EQ(session.size(), 3u);
    EXPECT_EQ(words(session[0].text), 12);
    EXPECT_EQ(words(session[1].text), 5);
    EXPECT_TRUE(session[2].tokens.empty());
  }
}

TEST(ShareGpt, TakesFirstExchangesOfUsableLength) {
  const std::string answer(400, 'a');
  const auto dialog = [](const std::string& from, const std::string& question, const std::string& value) {
    return "{\"conversations\":[{\"from\":\"" + from + "\",\"value\":\"" + question +
           "\"},{\"from\":\"gpt\",\"value\":\"" + value + "\"}]}";
  };
  const std::string question = "What is the meaning of it all?";
  const auto dialogs = parse_sharegpt("[" + dialog("human", question, answer) + "," + dialog("gpt", question, answer) +
                                      "," + dialog("user", "Hi", answer) + "," +
                                      dialog("human", std::string(5000, 'q'), answer) + ",{\"conversations\":[]}]");
  ASSERT_TRUE(dialogs.is_ok()) << dialogs.status().message();
  ASSERT_EQ(dialogs->size(), 1u);
  EXPECT_EQ((*dialogs)[0].text, question);
  EXPECT_EQ((*dialogs)[0].output_tokens, 100);
}

TEST(ShareGpt, RefusesOtherFilesAndSaysWhatIsWrong) {
  const std::pair<const char*, const char*> wrong[] = {
      {"{", "not JSON"}, {"{}", "array"}, {"[{}]", "dialog 0"}, {"[[]]", "dialog 0"}, {"[]", "none of the 0"}};
  for (const auto& [text, part] : wrong) {
    const auto dialogs = parse_sharegpt(text);
    ASSERT_FALSE(dialogs.is_ok()) << text;
    EXPECT_EQ(dialogs.status().code(), StatusCode::kCorrupt);
    EXPECT_NE(dialogs.status().message().find(part), std::string::npos) << dialogs.status().message();
  }
}

TEST(SseParser, GivesTheSameEventsHoweverTheBytesAreCut) {
  const std::string stream =
      ": a comment\n\ndata: one\n\nevent: x\r\nid: 4\r\ndata:two\r\ndata:  lines\r\n\r\ndata\r\rdata: [DONE]\n\ndata: "
      "lost";
  const std::vector<std::string> wanted = {"one", "two\n lines", "", "[DONE]"};
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    SseParser parser;
    std::vector<std::string> events;
    for (size_t at = 0; at < stream.size(); at += piece) {
      ASSERT_TRUE(parser
                      .feed(std::string_view(stream).substr(at, piece),
                            [&](std::string_view data) {
                              events.emplace_back(data);
                              return Status::ok();
                            })
                      .is_ok());
    }
    EXPECT_EQ(events, wanted) << piece;
  }
}

TEST(SseParser, BoundsWhatAnEndlessEventCanTake) {
  SseParser parser;
  const std::string piece(1 << 20, 'x');
  Status status;
  int pieces = 0;
  while (status.is_ok() && pieces++ < 100) status = parser.feed(piece, [](std::string_view) { return Status::ok(); });
  EXPECT_EQ(pieces, 5);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
}

AnswerReader::Time at(int milliseconds) { return AnswerReader::Time(std::chrono::milliseconds(milliseconds)); }

TEST(AnswerReader, ReadsBothKindsOfAnswers) {
  AnswerReader chat;
  EXPECT_TRUE(chat.head("text/event-stream; charset=utf-8").is_ok());
  const char* events[] = {R"({"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null})",
                          R"({"choices":[{"delta":{"reasoning_content":"hm "}}]})",
                          R"({"choices":[{"delta":{"content":"yes"},"finish_reason":null}]})",
                          R"({"choices":[{"delta":{},"finish_reason":"length"}]})",
                          R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}})"};
  int time = 0;
  for (const char* event : events) ASSERT_TRUE(chat.body(std::string("data: ") + event + "\n\n", at(++time)).is_ok());
  EXPECT_FALSE(chat.end().is_ok()) << "[DONE] is still missing";
  ASSERT_TRUE(chat.body("data: [DONE]\n\n", at(9)).is_ok());
  EXPECT_TRUE(chat.end().is_ok());
  EXPECT_EQ(chat.text(), "hm yes");
  EXPECT_EQ(chat.text_times(), (std::vector<AnswerReader::Time>{at(2), at(3)}));  // the role is no text
  EXPECT_EQ(chat.prompt_tokens(), 7);
  EXPECT_EQ(chat.completion_tokens(), 2);

  AnswerReader text;
  ASSERT_TRUE(text.body("data: {\"choices\":[{\"text\":\"a\"}]}\n\n", at(1)).is_ok());
  EXPECT_EQ(text.text(), "a");
  EXPECT_FALSE(text.completion_tokens().has_value());
}

TEST(AnswerReader, RefusesWhatIsNoStreamOfAnswers) {
  EXPECT_NE(AnswerReader().head("application/json").message().find("application/json"), std::string::npos);
  const std::pair<const char*, const char*> wrong[] = {
      {"{\"choices\"", "not a JSON object"},
      {"3", "not a JSON object"},
      {R"({"error":{"message":"out of memory"}})", "out of memory"},
      {R"({"error":"gone"})", "gone"},
  };
  for (const auto& [event, part] : wrong) {
    const Status status = AnswerReader().body(std::string("data: ") + event + "\n\n", at(0));
    EXPECT_NE(status.message().find(part), std::string::npos) << event << ": " << status.message();
  }
  for (const char* odd : {R"({"choices":3})", R"({"choices":[3,{"text":4},{"delta":[]}]})", R"({"usage":[]})",
                          R"({"usage":{"completion_tokens":"many"}})", "{}"}) {
    AnswerReader reader;
    EXPECT_TRUE(reader.body(std::string("data: ") + odd + "\n\n", at(0)).is_ok()) << odd;
    EXPECT_TRUE(reader.text().empty() && !reader.completion_tokens());
  }
}

LoadRecord answered(int tokens, double ttft, double e2e) {
  LoadRecord record;
  record.prompt_tokens = 10;
  record.completion_tokens = tokens;
  record.ttft = ttft;
  record.e2e = e2e;
  record.tpot = (e2e - ttft) / (tokens - 1);
  record.gaps.assign(static_cast<size_t>(tokens - 1), record.tpot);
  return record;
}

TEST(LevelSummary, RatesCountAnsweredRequestsAndFailuresCountThemselves) {
  LoadResult first, second;
  first.records = {answered(5, 0.1, 0.5), answered(5, 0.3, 0.7), {.error = "HTTP 500: no"}};
  first.seconds = 2;
  second.records = {answered(5, 0.2, 0.6)};
  second.records.back().wrong_count = true;
  second.seconds = 0.5;
  const LevelSummary level = summarise_level({.concurrency = 4}, {first, second});
  EXPECT_EQ(load_label(level.shape), "4");
  EXPECT_EQ(level.requests, 4u);
  EXPECT_EQ(level.failed, 1u);
  EXPECT_EQ(level.wrong_counts, 1u);
  EXPECT_DOUBLE_EQ(level.error_rate(), 0.25);
  EXPECT_DOUBLE_EQ(level.output_rate.mean, (10 / 2.0 + 5 / 0.5) / 2);
  EXPECT_DOUBLE_EQ(level.total_rate.mean, (30 / 2.0 + 15 / 0.5) / 2);
  EXPECT_DOUBLE_EQ(level.request_rate.mean, (2 / 2.0 + 1 / 0.5) / 2);
  EXPECT_DOUBLE_EQ(level.ttft.all.p50, 0.2);
  EXPECT_DOUBLE_EQ(level.e2e.all.mean, 0.6);
  EXPECT_NEAR(level.itl.all.p99, 0.1, 1e-12);
  const std::string failures = failures_text({level});
  EXPECT_NE(failures.find("1 x HTTP 500: no"), std::string::npos);
  EXPECT_NE(failures.find("another number of tokens"), std::string::npos);
}

TEST(LevelSummary, OfNothingButFailuresHasNoFigures) {
  LoadResult result;
  result.records = {{.error = "gone"}};
  result.seconds = 1;
  const LevelSummary level = summarise_level({.rate = 2.5}, {result});
  EXPECT_EQ(load_label(level.shape), "2.5/s");
  EXPECT_EQ(level.error_rate(), 1);
  EXPECT_EQ(level.ttft.all.p99, 0);
  EXPECT_NE(levels_table({level}).find("1 of 1"), std::string::npos);
}

TEST(Plot, DrawsEverySeriesAndReadsItsOwnDocuments) {
  LoadResult result;
  result.records = {answered(5, 0.1, 0.5), answered(5, 0.2, 0.9)};
  result.seconds = 1;
  nlohmann::ordered_json document = {{"label", "a <b> & \"c\""}, {"levels", nlohmann::ordered_json::array()}};
  for (int concurrency : {1, 4}) {
    document["levels"].push_back(level_json(summarise_level({.concurrency = concurrency}, {result, result})));
  }
  const auto series = plot_series(document);
  ASSERT_TRUE(series.is_ok()) << series.status().message();
  ASSERT_EQ(series->points.size(), 2u);
  EXPECT_DOUBLE_EQ(series->points[1].rate, 10);
  EXPECT_DOUBLE_EQ(series->points[1].ttft_p50, 0.15);
  const std::string svg = draw_plot({*series, *series}, "title");
  const auto count = [&](std::string_view part) {
    size_t found = 0;
    for (size_t i = svg.find(part); i != std::string::npos; i = svg.find(part, i + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("<polyline"), 2u * (1 + 3 * 2));
  EXPECT_EQ(count("a &lt;b&gt; &amp; &quot;c&quot;"), 2u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(draw_plot({{"nothing answered", {PlotPoint{.load = "1"}}}}, "").find("nan"), std::string::npos);

  document["levels"][0].erase("itl_seconds");
  EXPECT_EQ(plot_series(document).status().code(), StatusCode::kCorrupt);
  EXPECT_FALSE(plot_series(nlohmann::ordered_json::array()).is_ok());
}

}  // namespace
}  // namespace ferrum
