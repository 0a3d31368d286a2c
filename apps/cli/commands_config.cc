// ferrum config, plan: what would be run, why, and in how much memory, without running it.
#include "apps/cli/cli.h"

#include <nlohmann/json.hpp>
#include "apps/common/configured.h"
#include "apps/common/model_path.h"
#include "config/machine.h"
#include "config/parse.h"
#include "engine/capabilities.h"
#include "engine/memory_plan.h"

namespace ferrum {
namespace {

struct ConfigFlags {
  std::string model;
  bool json = false, trace = false, single_user = false;
};

// Without a model: what its metadata would say stays unknown, and so do the decisions that hang on it.
Result<Configuration> configuration_for(const ConfigFlags& flags, const Settings& settings) {
  const RunKind kind = flags.single_user ? RunKind::kSingleUser : RunKind::kServing;
  if (flags.model.empty()) return configure(ConfiguredModels(), hosts(), settings, kind);
  FERRUM_ASSIGN_OR_RETURN(const std::string path, resolve_model_path(flags.model));
  FERRUM_ASSIGN_OR_RETURN(Configuration configuration, configure(path, settings, kind));
  FERRUM_ASSIGN_OR_RETURN(const auto kernels, check_kernels(path, engine_options(configuration.run)));
  record_kernels(kernels, configuration.run);
  return configuration;
}

int config_command(const ConfigFlags& flags, const Settings& settings) {
  const Result<Configuration> configuration = configuration_for(flags, settings);
  if (!configuration.is_ok()) return report(configuration.status());
  if (flags.trace) {
    write_out(decision_trace_jsonl(configuration->run));
  } else if (flags.json) {
    write_out(effective_config_document(configuration->input, configuration->run).dump(2) + "\n");
  } else {
    write_out(render_decisions(configuration->run));
  }
  return kExitOk;
}

struct PlanFlags {
  std::string model, vram;
  bool json = false, single_user = false;
};

int plan_command(const PlanFlags& flags, const Settings& settings) {
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  std::optional<int64_t> vram;
  if (!flags.vram.empty()) {
    const Result<int64_t> bytes = parse_bytes(flags.vram, int64_t{1} << 50);
    if (!bytes.is_ok()) return report(bytes.status().with_context("--vram"));
    vram = *bytes;
  }
  const RunKind kind = flags.single_user ? RunKind::kSingleUser : RunKind::kServing;
  const Result<EngineOptions> options = plan_options(*path, settings, kind, vram);
  if (!options.is_ok()) return report(options.status());
  const Result<PlanReport> plan = plan_file(*path, *options, vram, flags.json);
  if (!plan.is_ok()) return report(plan.status());
  write_out(plan->text);
  return plan->fits ? kExitOk : kExitFailure;
}

}  // namespace

void add_config_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<ConfigFlags>();
  CLI::App* command = app.add_subcommand("config", "Every setting as resolved: value, source, and why not another");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one; without it, this machine alone");
  CLI::Option* json = command->add_flag("--json", flags->json, "The effective-config document");
  command->add_flag("--trace", flags->trace, "The decisions, one JSON object per line")->excludes(json);
  command->add_flag("--single-user", flags->single_user, "As `ferrum run` would resolve, not `ferrum serve`");
  add_setting_flags(*command, invocation, {KeyScope::kEngine, KeyScope::kServer});
  command->callback([flags, &invocation] {
    invocation.run = [flags](const Settings& settings) { return config_command(*flags, settings); };
  });
}

void add_plan_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* command =
      app.add_subcommand("plan", "Where the memory would go, what fits, and what to change if it does not");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  command->add_option("--vram", flags->vram, "Plan for an accelerator with this much memory, as in 24G");
  command->add_flag("--json", flags->json, "JSON instead of a table");
  command->add_flag("--single-user", flags->single_user, "As `ferrum run` would start it, not `ferrum serve`");
  add_setting_flags(*command, invocation, {KeyScope::kEngine});
  command->callback([flags, &invocation] {
    invocation.run = [flags](const Settings& settings) { return plan_command(*flags, settings); };
  });
}

}  // namespace ferrum
