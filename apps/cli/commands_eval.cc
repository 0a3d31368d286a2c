// ferrum perplexity and logits: figures for comparing with other engines.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/cli/cli.h"
#include "apps/common/configured.h"
#include "apps/common/model_path.h"
#include "config/parse.h"
#include "engine/logits_file.h"
#include "engine/perplexity.h"

namespace ferrum {
namespace {

struct PerplexityFlags {
  std::string model, file;
  int context = 512;
  bool json = false;
};

int perplexity_command(const PerplexityFlags& flags, const Settings& settings) {
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  const Result<std::string> text = read_input(flags.file, 1UL << 30);
  if (!text.is_ok()) return report(text.status());
  const bool shown = isatty(STDERR_FILENO) != 0;
  const PerplexityProgress progress = [shown](const Perplexity& so_far, int chunks) {
    if (shown) std::fprintf(stderr, "\r\033[K[%d/%d] %.4f", so_far.chunks, chunks, so_far.perplexity);
  };
  const Result<EngineOptions> options = resolved_options(*path, settings);
  if (!options.is_ok()) return report(options.status());
  const Result<Perplexity> result = compute_perplexity(*path, *options, *text, flags.context, progress, loading_bar());
  if (shown) std::fputs("\r\033[K", stderr);
  if (!result.is_ok()) return report(result.status());
  if (flags.json) {
    const nlohmann::ordered_json line = {{"perplexity", result->perplexity}, {"uncertainty", result->uncertainty},
                                         {"mean_nll", result->mean_nll},     {"chunks", result->chunks},
                                         {"tokens", result->tokens},         {"context", flags.context}};
    write_out(line.dump() + "\n");
    return kExitOk;
  }
  char line[160];
  std::snprintf(line, sizeof(line), "perplexity %.4f +/- %.5f (%d chunks of %d tokens)\n", result->perplexity,
                result->uncertainty, result->chunks, flags.context);
  write_out(line);
  return kExitOk;
}

struct LogitsFlags {
  std::string model, tokens, out;
};

// "1,2,3", "[1, 2, 3]" or "1 2 3".
Result<std::vector<TokenId>> parse_ids(std::string text) {
  std::vector<TokenId> ids;
  for (char& c : text) {
    if (c == ',' || c == '[' || c == ']' || c == '\n' || c == '\t') c = ' ';
  }
  for (size_t at = text.find_first_not_of(' '); at != std::string::npos;) {
    const size_t end = text.find(' ', at);
    const Result<int64_t> id = parse_int(std::string_view(text).substr(at, end - at), 0, INT32_MAX);
    if (!id.is_ok()) return id.status().with_context("--tokens");
    ids.push_back(static_cast<TokenId>(*id));
    at = end == std::string::npos ? end : text.find_first_not_of(' ', end);
  }
  if (ids.empty()) return invalid_argument("--tokens names no token; give ids as in 1,2,3");
  return ids;
}

int logits_command(const LogitsFlags& flags, const Settings& settings) {
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  const Result<std::vector<TokenId>> ids = parse_ids(flags.tokens);
  if (!ids.is_ok()) return report(ids.status());
  const Result<EngineOptions> options = resolved_options(*path, settings);
  if (!options.is_ok()) return report(options.status());
  const Status status = write_logits_npy(*path, *options, *ids, flags.out);
  return status.is_ok() ? kExitOk : report(status);
}

}  // namespace

void add_perplexity_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* command =
      app.add_subcommand("perplexity", "Perplexity of a text, as llama.cpp's tool of that name computes it");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  command->add_option("-f,--file", flags->file, "The text; - is standard input")->required();
  command->add_option("-c,--chunk", flags->context, "Tokens per chunk")->capture_default_str();
  command->add_flag("--json", flags->json, "JSON instead of a line of text");
  add_setting_flags(*command, invocation, {KeyScope::kEngine});
  command->callback([flags, &invocation] {
    invocation.run = [flags](const Settings& settings) { return perplexity_command(*flags, settings); };
  });
}

void add_logits_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<LogitsFlags>();
  CLI::App* command = app.add_subcommand("logits", "Write the logits of every position of a sequence as a NumPy file");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  command->add_option("--tokens", flags->tokens, "Token ids: 1,2,3")->required();
  command->add_option("--out", flags->out, "The file to write, float32 [tokens, vocabulary]")->required();
  add_setting_flags(*command, invocation, {KeyScope::kEngine});
  command->callback([flags, &invocation] {
    invocation.run = [flags](const Settings& settings) { return logits_command(*flags, settings); };
  });
}

}  // namespace ferrum
