// ferrum bench: how fast a model runs here, beside what the machine allows.
#include <algorithm>
#include <array>

#include "apps/cli/cli.h"
#include "apps/common/model_path.h"
#include "config/parse.h"
#include "engine/bench.h"
#include "engine/bench_report.h"

namespace ferrum {
namespace {

constexpr int64_t kMostTokens = 1 << 24, kMostParallel = 4096, kMostThreads = 1024, kMostStep = 65'536;

struct BenchFlags {
  std::string model, format = "md";
  std::string prompts = "512", generates = "128", pairs, depths = "0", parallel = "1", threads, steps;
  int repetitions = 5;
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// "512" or "128,512"
Result<std::vector<int>> parse_counts(const std::string& flag, const std::string& text, int64_t low, int64_t high) {
  std::vector<int> counts;
  for (std::string_view part : split(text, ',')) {
    const Result<int64_t> count = parse_int(part, low, high);
    if (!count.is_ok()) return count.status().with_context(flag);
    counts.push_back(static_cast<int>(*count));
  }
  return counts;
}

// "512,128" or "512,128;256,64"
Result<std::vector<std::pair<int, int>>> parse_pairs(const std::string& text) {
  std::vector<std::pair<int, int>> pairs;
  for (std::string_view part : split(text, ';')) {
    FERRUM_ASSIGN_OR_RETURN(const std::vector<int> two, parse_counts("--pg", std::string(part), 0, kMostTokens));
    if (two.size() != 2) return invalid_argument("--pg: a prompt and a generation, as in 512,128");
    pairs.emplace_back(two[0], two[1]);
  }
  return pairs;
}

Result<BenchPlan> parse_plan(const BenchFlags& flags) {
  BenchPlan plan;
  plan.repetitions = flags.repetitions;
  FERRUM_ASSIGN_OR_RETURN(plan.prompts, parse_counts("--n-prompt", flags.prompts, 0, kMostTokens));
  FERRUM_ASSIGN_OR_RETURN(plan.generates, parse_counts("--n-gen", flags.generates, 0, kMostTokens));
  FERRUM_ASSIGN_OR_RETURN(plan.depths, parse_counts("--n-depth", flags.depths, 0, kMostTokens));
  FERRUM_ASSIGN_OR_RETURN(plan.parallel, parse_counts("--parallel", flags.parallel, 1, kMostParallel));
  if (!flags.pairs.empty()) {
    FERRUM_ASSIGN_OR_RETURN(plan.pairs, parse_pairs(flags.pairs));
  }
  if (!flags.threads.empty()) {
    FERRUM_ASSIGN_OR_RETURN(plan.threads, parse_counts("-t", flags.threads, 1, kMostThreads));
  }
  if (!flags.steps.empty()) {
    FERRUM_ASSIGN_OR_RETURN(plan.step_tokens, parse_counts("-b", flags.steps, 1, kMostStep));
  }
  return plan;
}

// Settings of the engine that shape nothing here would be accepted in vain.
Status check_settings(const SettingFlags& given) {
  constexpr std::array<std::string_view, 14> kUsed = {"FERRUM_BACKEND",
                                                      "FERRUM_CPU_ISA",
                                                      "FERRUM_THREADS",
                                                      "FERRUM_DTYPE",
                                                      "FERRUM_PARITY_GATE",
                                                      "FERRUM_MMAP_ONLY",
                                                      "FERRUM_LOG_LEVEL",
                                                      "FERRUM_KV_DTYPE",
                                                      "FERRUM_BLOCK_SIZE",
                                                      "FERRUM_MAX_MODEL_LEN",
                                                      "FERRUM_MAX_BATCHED_TOKENS",
                                                      "FERRUM_EXPERT_CACHE",
                                                      "FERRUM_MOE_BATCHED",
                                                      "FERRUM_MOE_BATCH_THRESHOLD"};
  for (const auto& [name, text] : given) {
    if (std::find(kUsed.begin(), kUsed.end(), name) != kUsed.end()) continue;
    for (const KeySpec& key : all_keys()) {
      if (key.name != name) continue;
      return invalid_argument(std::string(key.flag) +
                              " has no effect in a benchmark: it runs neither scheduler nor sampling, and its KV cache "
                              "is made for the tests (-p, -n, -d, --parallel)");
    }
  }
  return Status::ok();
}

int bench_command(const BenchFlags& flags, const SettingFlags& given, const Settings& settings) {
  const std::optional<BenchFormat> format = bench_format_from_name(flags.format);
  if (!format) return report(invalid_argument("-o is md, csv, json or jsonl, not " + flags.format));
  if (flags.repetitions < 1 || flags.repetitions > 1000) {
    return report(invalid_argument("-r is " + std::to_string(flags.repetitions) + "; it is 1 to 1000"));
  }
  if (const Status status = check_settings(given); !status.is_ok()) return report(status);
  const Result<BenchPlan> plan = parse_plan(flags);
  if (!plan.is_ok()) return report(plan.status());
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  const Result<EngineOptions> options = resolved_options(*path, settings);
  if (!options.is_ok()) return report(options.status());

  BenchReport text(*format, FERRUM_BUILD_INFO);
  const Status status = run_bench(
      *path, *options, *plan, [&](const BenchRow& row) { write_out(text.row(row)); },
      [](const std::string& note) { std::fprintf(stderr, "%s\n", note.c_str()); });
  if (!status.is_ok()) return report(status);
  return write_out(text.end()) ? kExitOk : kExitFailure;
}

}  // namespace

void add_bench_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = app.add_subcommand("bench", "Measure prompts and generation, beside what the machine allows");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  command->add_option("-p,--n-prompt", flags->prompts, "Prompt tokens, a list; 0 = none")->capture_default_str();
  command->add_option("-n,--n-gen", flags->generates, "Generated tokens, a list; 0 = none")->capture_default_str();
  command->add_option("--pg", flags->pairs, "Prompt and generation in one test: 512,128;1024,64");
  command->add_option("-d,--n-depth", flags->depths, "Tokens that are in the cache before, a list")
      ->capture_default_str();
  command->add_option("--parallel", flags->parallel, "Sequences at once, a list")->capture_default_str();
  CLI::Option* threads = command->add_option("-t", flags->threads, "Compute threads, a list; default: --threads");
  CLI::Option* steps =
      command->add_option("-b,--ub", flags->steps, "Tokens of a step at most, a list; default: --max-batched-tokens");
  command->add_option("-r,--repetitions", flags->repetitions, "Times each test is run")->capture_default_str();
  command->add_option("-o,--output", flags->format, "md, csv, json, jsonl")->capture_default_str();
  add_setting_flags(*command, invocation, {KeyScope::kEngine});
  threads->excludes(command->get_option("--threads"));
  steps->excludes(command->get_option("--max-batched-tokens"));
  command->callback([flags, &invocation] {
    invocation.run = [flags, &invocation](const Settings& settings) {
      return bench_command(*flags, invocation.flags, settings);
    };
  });
}

}  // namespace ferrum
