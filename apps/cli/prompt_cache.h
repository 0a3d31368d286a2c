// `ferrum run --prompt-cache FILE`: the KV of a conversation from one run to the next.
#pragma once

#include <span>
#include <string>

#include "engine/engine.h"

namespace ferrum {

struct PromptCache {
  std::string file;        // "" = none
  bool read_only = false;  // keep the file as it is

  // Before the first request: a file that is there is restored, or refused if it does not fit. One that is not there
  // is not missed, unless it is only to be read.
  Status restore(Engine& engine) const;
  // After the last one: the file becomes the KV of this text, as far as the engine still has it.
  Status save(Engine& engine, std::span<const TokenId> text) const;
};

}  // namespace ferrum
