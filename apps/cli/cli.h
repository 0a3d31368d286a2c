// What the commands share: how they are declared, how they end.
//
// Answers go to standard output, everything else to standard error. Exit codes: 0 done, 1 something failed while
// running, 2 the command line, an environment variable or an input is wrong.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/common/configured.h"
#include "base/status.h"
#include "config/settings.h"
#include "engine/engine.h"

namespace ferrum {

constexpr int kExitOk = 0, kExitFailure = 1, kExitUsage = 2;

// The settings flags seen on the command line, in order: environment name and text.
using SettingFlags = std::vector<std::pair<std::string, std::string>>;

// What the command line asked for.
struct Invocation {
  SettingFlags flags;
  std::string config_file;  // --config; "" = the usual places
  std::string default_log_level = "warn";
  std::function<int(const Settings&)> run;
};

// Each adds its subcommand to the app; when it is chosen, invocation.run is what to do. The invocation must outlive
// the app's parse.
void add_run_command(CLI::App& app, Invocation& invocation);
void add_serve_command(CLI::App& app, Invocation& invocation);
void add_inspect_command(CLI::App& app, Invocation& invocation);
void add_tokenize_command(CLI::App& app, Invocation& invocation);
void add_template_command(CLI::App& app, Invocation& invocation);
void add_perplexity_command(CLI::App& app, Invocation& invocation);
void add_logits_command(CLI::App& app, Invocation& invocation);
void add_bench_command(CLI::App& app, Invocation& invocation);
void add_bench_serve_command(CLI::App& app, Invocation& invocation);
void add_config_command(CLI::App& app, Invocation& invocation);
void add_plan_command(CLI::App& app, Invocation& invocation);
void add_doctor_command(CLI::App& app, Invocation& invocation);
void add_top_command(CLI::App& app, Invocation& invocation);

// --effective-config, --decision-trace and --trace-file.
void add_record_flags(CLI::App& command, RecordFiles& files);
void add_completion_command(CLI::App& app, Invocation& invocation);

// One flag per declared setting of these scopes.
void add_setting_flags(CLI::App& command, Invocation& invocation, std::initializer_list<KeyScope> scopes);

// Prints "ferrum: message" and gives the exit code that fits the failure.
int report(const Status& status);

// What a client sends to a server that was given these settings; "" = no key.
std::string first_api_key(const Settings& settings);

// The whole file, or standard input for "-"; kInvalidArgument beyond max_bytes.
Result<std::string> read_input(const std::string& path, size_t max_bytes);

// Writes to standard output; false when nobody reads it any more.
bool write_out(std::string_view text);

// A progress bar on standard error if that is a terminal, nothing otherwise. Clears itself at 1.
LoadProgress loading_bar();

}  // namespace ferrum
