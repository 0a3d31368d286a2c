// The interactive chat of `ferrum run`: conversation, commands, interruption.
#pragma once

#include <atomic>
#include <string>

#include "apps/cli/answer.h"
#include "apps/cli/generation_settings.h"
#include "engine/engine.h"

namespace ferrum {

// A conversation with a model; knows no terminal.
class Conversation {
 public:
  // raw: each message is the whole prompt, without template and history.
  Conversation(Engine& engine, GenerationSettings settings, std::string system, bool raw)
      : engine_(engine), settings_(std::move(settings)), system_(std::move(system)), raw_(raw) {}

  // The answer to a message. On failure the message is forgotten; an interrupted answer is kept as far as it came.
  Result<Answer> ask(const std::string& message, const TextSink& sink, const std::function<bool()>& interrupted);

  void clear() { messages_.clear(); }
  void set_system(std::string system) { system_ = std::move(system); }
  const std::string& system() const { return system_; }
  GenerationSettings& settings() { return settings_; }
  size_t messages() const { return messages_.size(); }
  // The last prompt and its answer, as the model saw them.
  const std::vector<TokenId>& tokens() const { return tokens_; }
  const Usage& last_usage() const { return last_; }
  const Usage& total_usage() const { return total_; }

 private:
  Result<std::vector<TokenId>> make_prompt(const std::string& message) const;

  Engine& engine_;
  GenerationSettings settings_;
  std::string system_;
  const bool raw_;
  std::vector<std::pair<std::string, std::string>> messages_;  // role, content; without the system's
  std::vector<TokenId> tokens_;
  Usage last_, total_;
};

// Runs until /bye or Ctrl-D. Returns the exit code.
int chat_interactively(Engine& engine, Conversation& conversation, bool verbose);

}  // namespace ferrum
