// One request to the engine, seen from a terminal: the text as it comes, until it ends or the user interrupts it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace ferrum {

struct Answer {
  std::string text;
  std::vector<TokenId> tokens;  // without the one that ended it
  FinishReason reason = FinishReason::kNone;
  bool interrupted = false;
  Usage usage;
};

// Called with each new piece on the caller's thread; false (nobody reads any more) ends the answer.
using TextSink = std::function<bool(std::string_view piece)>;

// Submits and waits. `interrupted` is looked at about twenty times a second; when it becomes true the answer ends with
// what there is. Fails as Engine::submit, or with the engine's error.
Result<Answer> get_answer(Engine& engine, Request request, const TextSink& sink,
                          const std::function<bool()>& interrupted);

// "12 prompt tokens in 0.1 s (120 tok/s), 30 tokens in 1.0 s (30 tok/s)"
std::string timing_line(const Usage& usage);

}  // namespace ferrum
