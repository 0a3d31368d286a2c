#include "apps/cli/prompt_cache.h"

#include "base/log.h"

namespace ferrum {

Status PromptCache::restore(Engine& engine) const {
  if (file.empty() && !read_only) return Status::ok();
  if (file.empty()) return invalid_argument("--prompt-cache-ro needs --prompt-cache FILE");
  const EngineOptions& options = engine.options();
  if (!options.prefix_cache) return invalid_argument("--prompt-cache needs the prefix cache, which is switched off");
  const Result<int> tokens = engine.restore_kv(file, "");
  if (tokens.is_ok()) {
    spdlog::info("prompt cache: {} tokens restored from {}", *tokens, file);
    return Status::ok();
  }
  if (tokens.status().code() == StatusCode::kNotFound && !read_only) return Status::ok();
  return Status(tokens.status().code(), tokens.status().message() + " (or name another --prompt-cache)");
}

Status PromptCache::save(Engine& engine, std::span<const TokenId> text) const {
  if (file.empty() || read_only || text.empty()) return Status::ok();
  const Result<int> tokens = engine.save_kv(text, "", file);
  if (tokens.is_ok()) {
    spdlog::info("prompt cache: {} of {} tokens saved to {}", *tokens, text.size(), file);
    return Status::ok();
  }
  if (tokens.status().code() != StatusCode::kNotFound) return tokens.status().with_context("--prompt-cache");
  spdlog::warn("--prompt-cache: nothing is saved: {}", tokens.status().message());
  return Status::ok();
}

}  // namespace ferrum
