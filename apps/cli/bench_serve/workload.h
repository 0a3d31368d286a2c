// What is asked of a server: sessions of one or more turns, a function of options and seed alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ferrum {

// splitmix64 (Steele, Lea, Flood 2014): the same numbers with every compiler, which the standard's distributions are
// not.
class LoadRandom {
 public:
  explicit LoadRandom(uint64_t seed) : state_(seed) {}
  uint64_t next();
  int between(int low, int high);  // inclusive
  double exponential(double rate);

 private:
  uint64_t state_;
};

enum class PromptForm {
  kTokens,  // ids to /v1/completions: lengths are exact
  kText,    // words to /v1/completions: about one token each
  kChat,    // messages to /v1/chat/completions
};

struct LoadTurn {
  std::vector<int> tokens;  // form kTokens
  std::string text;         // the others: the prompt, or the user's message
  int output_tokens = 0;
};
// Turns are asked one after another; in form kChat with the conversation so far, answers included.
using LoadSession = std::vector<LoadTurn>;

struct WorkloadOptions {
  PromptForm form = PromptForm::kTokens;
  int input_tokens = 256, output_tokens = 128;
  double length_spread = 0;       // 0 <= s < 1: lengths are uniform within +- s
  int prefix_tokens = 0;          // the same at the beginning of every session's first prompt ...
  int prefixes = 1;               // ... or one of so many
  int turns = 1;                  // more than one: kChat
  int low_token = 100;            // ids are drawn from low_token to high_token
  int high_token = 999;           // every vocabulary has these, and they are not control tokens in known ones
  std::vector<LoadTurn> dialogs;  // not empty: sessions are drawn from these instead
  uint64_t seed = 1;
};

// The sessions of one run; another `run` gives others with the same shared prefixes. Options are in range (asserted).
std::vector<LoadSession> make_sessions(const WorkloadOptions& options, int count, uint64_t run);

// Question and first answer of every dialog of a file in ShareGPT's form: [{"conversations": [{"from": "human",
// "value": ...}, {"from": "gpt", ...}, ...]}, ...]. Answers of the length that the file's have, four bytes counting as
// a token; like vLLM's benchmark, dialogs with fewer than 4 tokens on a side, prompts over 1024 or more than 2048
// together are left out. kCorrupt with the place when it is not such a file, or none is left.
Result<std::vector<LoadTurn>> parse_sharegpt(std::string_view json);

}  // namespace ferrum
