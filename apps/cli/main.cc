// The ferrum binary.
#include <algorithm>
#include <clocale>
#include <cstdio>

#include "apps/cli/cli.h"
#include "apps/cli/switch_flags.h"
#include "base/log.h"
#include "base/quote.h"
#include "config/config_file.h"
#include "config/parse.h"
#include "config/reference.h"

namespace ferrum {
namespace {

// The order of reading does not matter: the command line wins over the environment, and that over the file.
Result<Settings> resolve_settings(const Invocation& invocation) {
  FERRUM_ASSIGN_OR_RETURN(Settings settings, Settings::from_environment(ferrum_environment()));
  for (const auto& [name, text] : invocation.flags) {
    FERRUM_RETURN_IF_ERROR(settings.set(name, text, Source::kCommandLine));
  }
  FERRUM_ASSIGN_OR_RETURN(const std::string file, find_config_file(invocation.config_file));
  if (!file.empty()) FERRUM_RETURN_IF_ERROR(apply_config_file(file, settings));
  return settings;
}

Status unknown_command(const CLI::App& app, const std::string& word) {
  std::string names, nearest;
  int best = 4;
  for (const CLI::App* command : app.get_subcommands({})) {
    names.append(names.empty() ? "" : ", ").append(command->get_name());
    const int distance = edit_distance(word, command->get_name());
    if (distance < best) {
      best = distance;
      nearest = command->get_name();
    }
  }
  std::string message = "there is no command " + ferrum::quoted(word);
  if (!nearest.empty()) message.append("; did you mean ").append(nearest).append("?");
  return invalid_argument(message + " The commands are " + names + ".");
}

// "--threads", ...; with `value`, only of options whose value is called so.
std::vector<std::string> long_flags(const CLI::App& command, const char* value = nullptr) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : command.get_options()) {
    if (value != nullptr && option->get_type_name() != value) continue;
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

// The first flag that the chosen command does not know; ok where there is none.
Status unknown_flag(const CLI::App& app, std::span<const std::string> words) {
  for (const CLI::App* command : app.get_subcommands()) {
    const std::vector<std::string> known = long_flags(*command);
    for (const std::string& word : words) {
      const std::string flag = word.substr(0, word.find('='));
      if (!flag.starts_with("--") || flag == "--" || std::find(known.begin(), known.end(), flag) != known.end())
        continue;
      std::string nearest;
      int best = 5;
      for (const std::string& name : known) {
        if (const int distance = edit_distance(flag, name); distance < best) {
          best = distance;
          nearest = name;
        }
      }
      std::string message = "there is no flag " + ferrum::quoted(flag);
      if (!nearest.empty()) message.append("; did you mean ").append(nearest).append("?");
      return invalid_argument(message + " `ferrum " + command->get_name() + " --help` lists the flags.");
    }
  }
  return Status::ok();
}

// Of the command that is called, by what its options say of their values.
std::vector<std::string> switches_of(const CLI::App& app, std::span<const std::string> words) {
  for (const CLI::App* command : app.get_subcommands({})) {
    if (!words.empty() && command->get_name() == words.front()) return long_flags(*command, kSwitchValue);
  }
  return {};
}

int run(int argc, char** argv) {
  CLI::App app("Ferrum runs and serves large language models.", "ferrum");
  app.set_version_flag("--version", "ferrum " FERRUM_VERSION);
  app.require_subcommand(0, 1);
  app.footer(
      "Settings can also be given in the environment, under the names in brackets, and in ferrum.toml;\n"
      "flags win over the environment, and that over the file. docs/configuration.md lists them all.\n"
      "`ferrum COMMAND --help` lists the flags of a command.");
  Invocation invocation;
  add_run_command(app, invocation);
  add_serve_command(app, invocation);
  add_inspect_command(app, invocation);
  add_tokenize_command(app, invocation);
  add_template_command(app, invocation);
  add_perplexity_command(app, invocation);
  add_logits_command(app, invocation);
  add_bench_command(app, invocation);
  add_bench_serve_command(app, invocation);
  add_config_command(app, invocation);
  add_plan_command(app, invocation);
  add_doctor_command(app, invocation);
  add_top_command(app, invocation);
  add_completion_command(app, invocation);
  app.allow_extras();  // of the app, not of its commands: so that a wrong command can be named
  std::vector<std::string> words(argv + 1, argv + argc);
  words = with_switch_values(words, switches_of(app, words));
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 wants the last word first
  } catch (const CLI::ExtrasError& error) {
    const Status status = unknown_flag(app, words);
    if (!status.is_ok()) return report(status);
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  if (!invocation.run) {
    if (!app.remaining().empty()) return report(unknown_command(app, app.remaining().front()));
    std::fputs(app.help().c_str(), stderr);
    return kExitUsage;
  }
  const Result<Settings> settings = resolve_settings(invocation);
  if (!settings.is_ok()) return report(settings.status());
  set_up_logging(settings->get_text("FERRUM_LOG_LEVEL").value_or(invocation.default_log_level).c_str());
  return invocation.run(*settings);
}

}  // namespace
}  // namespace ferrum

int main(int argc, char** argv) {
  // Line editing and the terminal need the user's characters; numbers stay as in C everywhere.
  if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  try {
    return ferrum::run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, or our own bug
    std::fprintf(stderr, "ferrum: internal error: %s\n", error.what());
    return ferrum::kExitFailure;
  }
}
