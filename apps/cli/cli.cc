#include "apps/cli/cli.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "config/reference.h"

namespace ferrum {

void add_setting_flags(CLI::App& command, Invocation& invocation, std::initializer_list<KeyScope> scopes) {
  command.add_option("--config", invocation.config_file, "Settings file; default: ./ferrum.toml, then the user's own")
      ->group("Settings")
      ->type_name("FILE");
  for (const KeySpec& key : all_keys()) {
    if (std::find(scopes.begin(), scopes.end(), key.scope) == scopes.end()) continue;
    // Values are not judged here: one parser reads them, whatever they come from.
    CLI::Option* option = nullptr;
    if (key.type == KeyType::kList) {
      option = command.add_option_function<std::vector<std::string>>(
          std::string(key.flag),
          [&invocation, name = std::string(key.name)](const std::vector<std::string>& words) {
            std::string list;
            for (const std::string& word : words) list += (list.empty() ? "" : ",") + word;
            invocation.flags.emplace_back(name, list);
          },
          help_line(key));
      option->allow_extra_args(false);  // one word per flag: what follows is the model
    } else {
      option = command.add_option_function<std::string>(
          std::string(key.flag),
          [&invocation, name = std::string(key.name)](const std::string& text) {
            invocation.flags.emplace_back(name, text);
          },
          help_line(key));
    }
    option->group(key.stability == Stability::kStable ? "Settings" : "Settings for experiments")
        ->type_name(value_name(key));
  }
}

void add_record_flags(CLI::App& command, RecordFiles& files) {
  command.add_option("--effective-config", files.effective_config, "Write the resolved configuration, as JSON, here");
  command.add_option("--decision-trace", files.decision_trace, "Write every decision, one JSON object per line, here");
  command.add_option("--trace-file", files.trace_file,
                     "At the end, write what the engine did, as a trace for chrome://tracing or Perfetto, here");
}

std::string first_api_key(const Settings& settings) {
  const std::vector<std::string> keys = settings.get_list("FERRUM_API_KEY");
  return keys.empty() ? "" : keys.front();
}

int report(const Status& status) {
  std::fprintf(stderr, "ferrum: %s\n", status.message().c_str());
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
    case StatusCode::kUnsupported:
    case StatusCode::kCorrupt: return kExitUsage;
    default: return kExitFailure;
  }
}

Result<std::string> read_input(const std::string& path, size_t max_bytes) {
  const bool standard = path == "-";
  std::FILE* file = standard ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) return not_found("cannot read " + path + ": " + std::strerror(errno));
  std::string text;
  char bytes[1 << 16];
  bool too_long = false, failed = false;
  while (!too_long) {
    const size_t count = std::fread(bytes, 1, sizeof(bytes), file);
    text.append(bytes, count);
    too_long = text.size() > max_bytes;
    if (count < sizeof(bytes)) {
      failed = std::ferror(file) != 0;
      break;
    }
  }
  const int reason = errno;
  if (!standard) std::fclose(file);
  const std::string name = standard ? "standard input" : path;
  if (failed) return io_error("cannot read " + name + ": " + std::strerror(reason));
  if (too_long) return invalid_argument(name + " is longer than " + std::to_string(max_bytes) + " bytes");
  return text;
}

bool write_out(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

LoadProgress loading_bar() {
  if (isatty(STDERR_FILENO) == 0) return {};
  return [shown = -1](double fraction, const std::string& what) mutable {
    const int percent = static_cast<int>(fraction * 100);
    if (percent == shown) return;
    shown = percent;
    if (fraction >= 1) {
      std::fputs("\r\033[K", stderr);
      return;
    }
    const int filled = percent * 30 / 100;
    std::fprintf(stderr, "\r\033[K%s [%.*s%*s] %d %%", what.c_str(), filled, "##############################",
                 30 - filled, "", percent);
    std::fflush(stderr);
  };
}

}  // namespace ferrum
