// memory_check MODEL [NAME=NUMBER ...]: the memory plan against this process. Loads the model with the engine, makes
// every part of the plan be used (all weights, the whole KV cache, a full step, scored prompts, sampling), and compares
// the peak of resident memory with what was planned before loading. One line of JSON; exit code 1 beyond `tolerance`
// percent. Names: max_seqs, context, max_batched_tokens, kv_f32, threads, tolerance.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "base/log.h"
#include "engine/engine.h"
#include "engine/memory_plan.h"

namespace ferrum {
namespace {

// Tokens to decode: enough that the first sequence still runs when the last prompt has been read, and that each leaves
// the others the block that admission keeps back.
int answer_tokens(const EngineOptions& o) { return 8 + 2 * (o.max_seqs * o.max_model_len / o.max_batched_tokens); }

std::vector<TokenId> prompt_of(int length, int salt, int64_t vocab) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < length; ++i) {
    tokens.push_back(static_cast<TokenId>((static_cast<int64_t>(i) * 7919 + salt * 104729) % (vocab - 16)));
  }
  return tokens;
}

Request request_of(std::vector<TokenId> prompt, int answer) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 1;
  request.sampling.top_p = 0.95f;
  request.sampling.seed = 1;
  request.stop.max_tokens = answer;
  request.stop.ignore_eos = true;
  return request;
}

Status use_everything(Engine& engine) {
  const EngineOptions& o = engine.options();
  const int64_t vocab = engine.model().vocab_size;
  const int answer = answer_tokens(o), prompt = o.max_model_len - answer;
  Status failed;
  const EventSink sink = [&failed](const Event& event) {
    if (event.finished && event.reason == FinishReason::kError) failed = event.error;
  };
  const auto finish = [&]() -> Status {
    while (true) {
      FERRUM_ASSIGN_OR_RETURN(const bool more, engine.step());
      if (!more) return failed;
    }
  };
  // A step with as many rows of logits as there can be.
  Request scored = request_of(prompt_of(std::min(prompt, planned_logit_rows(o) + 8), 0, vocab), 4);
  scored.prompt_logprobs = true;
  scored.sampling.logprobs = 0;
  FERRUM_RETURN_IF_ERROR(engine.submit(std::move(scored), sink).status());
  FERRUM_RETURN_IF_ERROR(finish());
  // Every block of the KV cache.
  for (int i = 0; i < o.max_seqs; ++i) {
    FERRUM_RETURN_IF_ERROR(engine.submit(request_of(prompt_of(prompt, i, vocab), answer), sink).status());
  }
  return finish();
}

int run(const std::string& path, const std::map<std::string, double>& named) {
  const auto number = [&](const char* name, double fallback) {
    return named.contains(name) ? named.at(name) : fallback;
  };
  EngineOptions options;
  options.max_seqs = static_cast<int>(number("max_seqs", 2));
  options.max_model_len = static_cast<int>(number("context", 0));
  options.max_batched_tokens = static_cast<int>(number("max_batched_tokens", 512));
  options.threads = static_cast<int>(number("threads", 2));
  options.kv_dtype = number("kv_f32", 0) != 0 ? DType::kF32 : DType::kF16;
  const double tolerance = number("tolerance", 3);

  const auto engine = Engine::load(path, options);
  if (engine.is_ok() && number("verbose", 0) != 0) {
    const ProcessMemory loaded = process_memory();
    std::fprintf(stderr, "loaded: anonymous %lld, file %lld\n", static_cast<long long>(loaded.anonymous),
                 static_cast<long long>(loaded.file));
  }
  const Status status = engine.is_ok() ? use_everything(**engine) : engine.status();
  if (!status.is_ok()) {
    std::fprintf(stderr, "memory_check: %s\n", status.message().c_str());
    return 1;
  }
  const ProcessMemory measured = process_memory();
  const MemoryPlan& plan = *(*engine)->memory_plan();
  const auto planned = static_cast<double>(plan.host_total());
  const double error = 100 * (planned / static_cast<double>(measured.peak) - 1);
  std::printf(
      "{\"model\": \"%s\", \"max_seqs\": %d, \"context\": %d, \"kv_dtype\": \"%s\", \"planned\": %lld, "
      "\"peak\": %lld, \"error_percent\": %.2f, \"planned_file\": %lld, \"rss_file\": %lld, "
      "\"planned_anonymous\": %lld, \"rss_anonymous\": %lld}\n",
      path.substr(path.find_last_of('/') + 1).c_str(), plan.options.max_seqs, plan.options.max_model_len,
      std::string(to_string(plan.options.kv_dtype)).c_str(), static_cast<long long>(plan.host_total()),
      static_cast<long long>(measured.peak), error, static_cast<long long>(plan.total(MemoryKind::kFile)),
      static_cast<long long>(measured.file), static_cast<long long>(plan.total(MemoryKind::kAnonymous)),
      static_cast<long long>(measured.anonymous));
  if (number("verbose", 0) != 0) std::fputs(render_table(plan).c_str(), stderr);
  return std::abs(error) <= tolerance ? 0 : 1;
}

}  // namespace
}  // namespace ferrum

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: memory_check MODEL [NAME=NUMBER ...]\n"), 2;
  std::map<std::string, double> named;
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t at = word.find('=');
    named[word.substr(0, at)] = at == std::string::npos ? 1 : std::atof(word.c_str() + at + 1);
  }
  return ferrum::run(argv[1], named);
}
