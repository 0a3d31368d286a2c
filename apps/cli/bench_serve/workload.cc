#include "apps/cli/bench_serve/workload.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace ferrum {
namespace {

// Everyday words: one token each in most vocabularies.
constexpr std::array<std::string_view, 32> kWords = {
    "time",   "year",    "people", "way",     "day",      "man",     "thing",   "woman", "life",  "child", "world",
    "school", "state",   "family", "student", "group",    "country", "problem", "hand",  "part",  "place", "case",
    "week",   "company", "system", "program", "question", "work",    "number",  "night", "point", "home"};

int spread_length(int length, double spread, LoadRandom& random) {
  const int reach = static_cast<int>(length * spread);
  return std::max(1, random.between(length - reach, length + reach));
}

// Appends `count` random tokens, as ids or as words.
void append_random(int count, const WorkloadOptions& options, LoadRandom& random, LoadTurn& turn) {
  for (int i = 0; i < count; ++i) {
    if (options.form == PromptForm::kTokens) {
      turn.tokens.push_back(random.between(options.low_token, options.high_token));
    } else {
      if (!turn.text.empty()) turn.text += ' ';
      turn.text += kWords[static_cast<size_t>(random.between(0, static_cast<int>(kWords.size()) - 1))];
    }
  }
}

LoadSession random_session(const WorkloadOptions& options, LoadRandom& random) {
  LoadSession session;
  for (int i = 0; i < options.turns; ++i) {
    LoadTurn& turn = session.emplace_back();
    if (i == 0 && options.prefix_tokens > 0) {
      // Depends on the seed and its number only, so that every run meets the same ones.
      const int which = random.between(0, options.prefixes - 1);
      LoadRandom prefix(options.seed * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(which));
      append_random(options.prefix_tokens, options, prefix, turn);
    }
    append_random(spread_length(options.input_tokens, options.length_spread, random), options, random, turn);
    turn.output_tokens = spread_length(options.output_tokens, options.length_spread, random);
  }
  return session;
}

int estimated_tokens(const std::string& text) { return static_cast<int>(std::min<size_t>(text.size() / 4, 1 << 20)); }

bool is_from(const nlohmann::json& message, std::string_view a, std::string_view b) {
  if (!message.is_object() || !message.contains("from") || !message["from"].is_string()) return false;
  const std::string from = message["from"];
  return (from == a || from == b) && message.contains("value") && message["value"].is_string();
}

}  // namespace

uint64_t LoadRandom::next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

int LoadRandom::between(int low, int high) {
  // Ranges are tiny beside 2^64: the bias of the remainder is below 2^-32.
  return low + static_cast<int>(next() % static_cast<uint64_t>(high - low + 1));
}

double LoadRandom::exponential(double rate) {
  const double uniform = static_cast<double>(next() >> 11) * 0x1p-53;  // [0, 1)
  return -std::log1p(-uniform) / rate;
}

std::vector<LoadSession> make_sessions(const WorkloadOptions& options, int count, uint64_t run) {
  FERRUM_CHECK(options.turns == 1 || options.form == PromptForm::kChat, "several turns are a chat");
  FERRUM_CHECK(options.low_token <= options.high_token && options.prefixes >= 1, "an empty range");
  LoadRandom random(options.seed ^ (run + 1) * 0xd1342543de82ef95u);
  std::vector<LoadSession> sessions;
  for (int i = 0; i < count; ++i) {
    if (options.dialogs.empty()) {
      sessions.push_back(random_session(options, random));
    } else {
      const int which = random.between(0, static_cast<int>(options.dialogs.size()) - 1);
      sessions.push_back({options.dialogs[static_cast<size_t>(which)]});
    }
  }
  return sessions;
}

Result<std::vector<LoadTurn>> parse_sharegpt(std::string_view text) {
  const nlohmann::json file = nlohmann::json::parse(text, nullptr, false);
  if (file.is_discarded()) return corrupt("the file is not JSON");
  if (!file.is_array()) return corrupt("a file in ShareGPT's form is an array of dialogs");
  std::vector<LoadTurn> dialogs;
  for (size_t i = 0; i < file.size(); ++i) {
    const nlohmann::json& dialog = file[i];
    if (!dialog.is_object() || !dialog.contains("conversations") || !dialog["conversations"].is_array()) {
      return corrupt("dialog " + std::to_string(i) + " has no array \"conversations\"");
    }
    const nlohmann::json& messages = dialog["conversations"];
    if (messages.size() < 2 || !is_from(messages[0], "human", "user") || !is_from(messages[1], "gpt", "assistant")) {
      continue;
    }
    LoadTurn turn;
    turn.text = messages[0]["value"];
    turn.output_tokens = estimated_tokens(messages[1]["value"]);
    const int input = estimated_tokens(turn.text);
    if (input < 4 || turn.output_tokens < 4 || input > 1024 || input + turn.output_tokens > 2048) continue;
    dialogs.push_back(std::move(turn));
  }
  if (dialogs.empty()) return corrupt("none of the " + std::to_string(file.size()) + " dialogs is of a usable length");
  return dialogs;
}

}  // namespace ferrum
