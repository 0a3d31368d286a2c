// The ferrum binary.
#include <CLI/CLI.hpp>
#include <cstdio>

int main(int argc, char** argv) {
  CLI::App app("Ferrum runs and serves large language models.", "ferrum");
  app.set_version_flag("--version", "ferrum " FERRUM_VERSION);
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::fputs(app.help().c_str(), stdout);
  return 0;
}
