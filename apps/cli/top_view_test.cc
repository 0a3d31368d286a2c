#include "apps/cli/top_view.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace ferrum {
namespace {

using Json = nlohmann::json;

Json stats() {
  Json seconds = Json::array();
  for (int i = 0; i < 10; ++i) {
    seconds.push_back({{"steps", 10},
                       {"rows", 20},
                       {"prompt_tokens", 0},
                       {"generated", 10 * i},
                       {"max_waiting", 0},
                       {"max_kv_blocks_used", 50}});
  }
  const Json phases = {{"plan", 1}, {"draft", 0}, {"build", 1}, {"forward", 16}, {"sample", 1}, {"deliver", 1}};
  const Json request = {{"id", 3},
                        {"state", "decode"},
                        {"prompt_tokens", 7},
                        {"generated", 9},
                        {"first_token_seconds", 0.25},
                        {"token_ms", nullptr},
                        {"seconds", 1.5},
                        {"preemptions", 0}};
  return {{"engine",
           {{"description", "demo"},
            {"running", 2},
            {"max_seqs", 4},
            {"waiting", 1},
            {"max_waiting", 8},
            {"kv_blocks_used", 50},
            {"kv_blocks_total", 100}}},
          {"totals", {{"requests_finished", 5}, {"generated_tokens", 450}, {"steps", 100}, {"preemptions", 0}}},
          {"seconds", seconds},
          {"steps", Json::array({{{"phases_ms", phases}}})},
          {"requests", Json::array({request, request, request})}};
}

TEST(TopView, ShowsRatesGraphsAndRequests) {
  const Result<std::string> shown = render_top(stats(), 100, 40);
  ASSERT_TRUE(shown.is_ok()) << shown.status().message();
  // 0, 10, ... 90 of 90 in eighths, rounded up; the mean of the last five is 70.
  for (const char* part : {" ▁▂▃▄▅▆▇██", "  70\n", "2 of 4 running", "50 of 100", "forward 80 %", "250 ms", "decode"}) {
    EXPECT_NE(shown->find(part), std::string::npos) << part << "\n" << *shown;
  }
}

TEST(TopView, FitsTheTerminal) {
  const auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  EXPECT_EQ(lines(*render_top(stats(), 100, 40)), 14);  // 11 and the three requests
  EXPECT_EQ(lines(*render_top(stats(), 100, 13)), 13);
  EXPECT_EQ(lines(*render_top(stats(), 100, 12)), 12);
}

TEST(TopView, WhatAServerSendsCannotSteerTheTerminalOrCrash) {
  Json hostile = stats();
  hostile["engine"]["description"] = "\x1b[2Jevil\n";
  EXPECT_EQ(render_top(hostile, 100, 40)->find('\x1b'), std::string::npos);
  for (const Json& odd : {Json(), Json::array(), Json{{"engine", 5}}, Json::parse("x", nullptr, false)}) {
    EXPECT_EQ(render_top(odd, 100, 40).status().code(), StatusCode::kCorrupt);
  }
  for (const char* name : {"seconds", "steps", "requests", "totals"}) {
    Json wrong = stats();
    wrong[name] = "text";
    EXPECT_FALSE(render_top(wrong, 100, 40).is_ok()) << name;
  }
}

}  // namespace
}  // namespace ferrum
