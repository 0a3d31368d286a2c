// Puts sessions on a server and keeps what came of every request.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/cli/bench_serve/http_call.h"
#include "apps/cli/bench_serve/workload.h"

namespace ferrum {

struct LoadTarget {
  ServerAddress server;
  std::string model;  // "" = the field is left out
  PromptForm form = PromptForm::kTokens;
  std::chrono::milliseconds stall_timeout{120'000}, total_timeout{600'000};
};

struct LoadRecord {
  std::string error = "";    // "" = answered
  bool wrong_count = false;  // answered, with another number of tokens than was asked for, or none named
  int prompt_tokens = 0, completion_tokens = 0;
  double ttft = 0, e2e = 0;       // seconds from the beginning of the connection to the first text, and to the end
  double tpot = 0;                // (last text - first text) / (tokens - 1); 0 of a single token
  std::vector<double> gaps = {};  // seconds from text to text
};

// How requests arrive: a fixed number of sessions at once, or at random times whatever the server does.
struct LoadShape {
  int concurrency = 0;  // closed loop
  double rate = 0;      // open loop: sessions per second, a Poisson process
};

struct LoadResult {
  std::vector<LoadRecord> records;  // in order of completion
  double seconds = 0;               // from the first request to the end of the last
};

// Open sockets at most: arrivals beyond become records with an error, so that an overload is seen and not waited out.
inline constexpr int kMaxInFlight = 4096;

// The JSON of a turn. `history`: messages before it, as {role, content} pairs; of form kChat.
std::string request_body(const LoadTarget& target, const LoadTurn& turn,
                         const std::vector<std::pair<std::string, std::string>>& history);

// Returns when every session has ended. A session whose turn fails is not continued. seed: of the arrival times.
LoadResult run_load(const LoadTarget& target, const std::vector<LoadSession>& sessions, const LoadShape& shape,
                    uint64_t seed, const std::function<void(size_t done)>& on_progress);

}  // namespace ferrum
