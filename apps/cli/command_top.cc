// ferrum top: what a running server does, drawn once a second.
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/cli/cli.h"
#include "apps/cli/top_view.h"
#include "apps/common/http_get.h"

namespace ferrum {
namespace {

struct TopFlags {
  std::string url = "http://127.0.0.1:8080";
  double interval = 1;
  bool once = false;
};

Result<std::string> picture(const TopFlags& flags, const std::string& key) {
  FERRUM_ASSIGN_OR_RETURN(const std::string body, http_get(flags.url, "/stats", key));
  const nlohmann::json stats = nlohmann::json::parse(body, nullptr, false);
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return render_top(stats, known ? size.ws_col : 100, known && !flags.once ? size.ws_row - 1 : 40);
}

int top_command(const TopFlags& flags, const Settings& settings) {
  const std::string key = first_api_key(settings);
  const bool once = flags.once || isatty(STDOUT_FILENO) == 0;
  while (true) {
    const Result<std::string> shown = picture(flags, key);
    if (!shown.is_ok()) return report(shown.status());
    if (!write_out(once ? *shown : "\033[H\033[2J" + *shown) || once) return kExitOk;
    std::this_thread::sleep_for(std::chrono::duration<double>(flags.interval));
  }
}

}  // namespace

void add_top_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<TopFlags>();
  CLI::App* command = app.add_subcommand("top", "Show what a running server does; its key, if any, in FERRUM_API_KEY");
  command->add_option("URL", flags->url, "Of the server, as it prints it")->capture_default_str();
  command->add_option("--interval", flags->interval, "Seconds between two pictures")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  command->add_flag("--once", flags->once, "One picture; also when the output is not a terminal");
  command->callback([flags, &invocation] {
    invocation.run = [flags](const Settings& settings) { return top_command(*flags, settings); };
  });
}

}  // namespace ferrum
