// ferrum completion SHELL: a completion script for all commands and flags, made from their declarations.
#include "apps/cli/cli.h"
#include "config/reference.h"

namespace ferrum {
namespace {

// A flag as CLI11 knows it; values of settings come from their table.
CompletionFlag flag_of(const CLI::Option& option, const std::string& name) {
  for (const KeySpec& key : all_keys()) {
    if (key.flag == name) return completion_flag(key);
  }
  return {name, option.get_description(), {}, option.get_items_expected_max() > 0};
}

std::vector<CompletionCommand> commands_of(const CLI::App& app) {
  std::vector<CompletionCommand> commands;
  for (const CLI::App* command : app.get_subcommands({})) {
    CompletionCommand c{command->get_name(), command->get_description(), {}, {}};
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) c.flags.push_back(flag_of(*option, "--" + name));
    }
    if (c.name == "completion") c.words = {"bash", "zsh", "fish"};
    commands.push_back(std::move(c));
  }
  return commands;
}

int completion_command(const CLI::App& app, const std::string& shell) {
  Shell kind = Shell::kBash;
  if (shell == "zsh") {
    kind = Shell::kZsh;
  } else if (shell == "fish") {
    kind = Shell::kFish;
  } else if (shell != "bash") {
    return report(invalid_argument("there is completion for bash, zsh and fish, not for " + shell));
  }
  write_out(completion_script(kind, commands_of(app)));
  return kExitOk;
}

}  // namespace

void add_completion_command(CLI::App& app, Invocation& invocation) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print a completion script for bash, zsh or fish");
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  command->callback([&app, shell, &invocation] {
    invocation.run = [&app, shell](const Settings&) { return completion_command(app, *shell); };
  });
}

}  // namespace ferrum
