#include <sstream>

#include "config/reference.h"

namespace ferrum {
namespace {

std::string words(const std::vector<std::string>& list) {
  std::string joined;
  for (const std::string& word : list) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

// Text inside single quotes of a POSIX-like shell.
std::string shell_quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string bash(std::span<const CompletionCommand> commands) {
  std::ostringstream out;
  out << "# bash completion of ferrum; source it, or put it into ~/.local/share/bash-completion/completions/ferrum\n"
         "_ferrum() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W \"";
  for (const CompletionCommand& c : commands) out << c.name << ' ';
  out << "--help --version\" -- \"$cur\"))\n    return\n  fi\n"
         "  case \"$command:$prev\" in\n";
  for (const CompletionCommand& c : commands) {
    for (const CompletionFlag& f : c.flags) {
      if (f.choices.empty()) continue;
      out << "    " << c.name << ":" << f.flag << ") COMPREPLY=($(compgen -W \"" << words(f.choices)
          << "\" -- \"$cur\")); return ;;\n";
    }
  }
  out << "  esac\n  case \"$command\" in\n";
  for (const CompletionCommand& c : commands) {
    out << "    " << c.name << ")\n      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"";
    for (const CompletionFlag& f : c.flags) out << f.flag << ' ';
    out << "\" -- \"$cur\")); return; fi\n";
    if (!c.words.empty()) out << "      COMPREPLY=($(compgen -W \"" << words(c.words) << "\" -- \"$cur\")); return\n";
    out << "      ;;\n";
  }
  out << "  esac\n  COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _ferrum ferrum\n";
  return out.str();
}

// Text in the [description] of an _arguments specification.
std::string zsh_description(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh(std::span<const CompletionCommand> commands) {
  std::ostringstream out;
  out << "#compdef ferrum\n"
         "# zsh completion of ferrum; put it as _ferrum into a directory of $fpath\n"
         "_ferrum() {\n"
         "  if (( CURRENT == 2 )); then\n"
         "    local -a commands=(\n";
  for (const CompletionCommand& c : commands) {
    std::string help;
    for (char ch : c.help) help += ch == ':' ? std::string("\\:") : std::string(1, ch);
    out << "      " << shell_quoted(c.name + ":" + help) << "\n";
  }
  out << "    )\n    _describe command commands\n    return\n  fi\n"
         "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n";
  for (const CompletionCommand& c : commands) {
    out << "    " << c.name << ")\n      _arguments -s";
    for (const CompletionFlag& f : c.flags) {
      std::string spec = f.flag + "[" + zsh_description(f.help) + "]";
      if (f.takes_value) spec += f.choices.empty() ? ":value:_files" : ":value:(" + words(f.choices) + ")";
      out << " \\\n        " << shell_quoted(spec);
    }
    out << " \\\n        " << shell_quoted(c.words.empty() ? "*:file:_files" : "1:what:(" + words(c.words) + ")")
        << "\n      ;;\n";
  }
  out << "  esac\n}\n_ferrum \"$@\"\n";
  return out.str();
}

// Text inside single quotes of fish, where a backslash escapes.
std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish(std::span<const CompletionCommand> commands) {
  std::ostringstream out;
  out << "# fish completion of ferrum; put it into ~/.config/fish/completions/ferrum.fish\n"
         "complete -c ferrum -n __fish_use_subcommand -f\n";
  for (const CompletionCommand& c : commands) {
    out << "complete -c ferrum -n __fish_use_subcommand -a " << c.name << " -d " << fish_quoted(c.help) << "\n";
  }
  for (const CompletionCommand& c : commands) {
    const std::string when = "complete -c ferrum -n '__fish_seen_subcommand_from " + c.name + "'";
    for (const CompletionFlag& f : c.flags) {
      out << when << " -l " << f.flag.substr(2) << " -d " << fish_quoted(f.help);
      if (f.takes_value) out << (f.choices.empty() ? " -r" : " -x -a " + fish_quoted(words(f.choices)));
      out << "\n";
    }
    if (!c.words.empty()) out << when << " -f -a " << fish_quoted(words(c.words)) << "\n";
  }
  return out.str();
}

}  // namespace

std::string completion_script(Shell shell, std::span<const CompletionCommand> commands) {
  switch (shell) {
    case Shell::kBash: return bash(commands);
    case Shell::kZsh: return zsh(commands);
    case Shell::kFish: return fish(commands);
  }
  return "";
}

}  // namespace ferrum
