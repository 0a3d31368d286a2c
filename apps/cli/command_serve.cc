// ferrum serve: an engine behind the HTTP server, until a signal ends it.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "apps/cli/cli.h"
#include "apps/common/configured.h"
#include "apps/common/model_path.h"
#include "apps/server/http_server.h"
#include "apps/server/service.h"
#include "base/log.h"

namespace ferrum {
namespace {

struct ServeFlags {
  std::string model;
  std::vector<std::string> names, cors_origins, allowed_hosts;
  int drain_seconds = 30;
  int max_connections = HttpServerOptions().max_connections;
  RecordFiles record;
};

// The first SIGINT or SIGTERM writes to a pipe that the main thread reads; the second ends the process at once.
int signal_pipe[2] = {-1, -1};
volatile std::sig_atomic_t signals_seen = 0;

void on_signal(int number) {
  const int saved = errno;
  if (signals_seen != 0) _exit(128 + number);
  signals_seen = 1;
  const char byte = static_cast<char>(number);
  [[maybe_unused]] const ssize_t ignored = write(signal_pipe[1], &byte, 1);
  errno = saved;
}

Status catch_signals() {
  if (pipe2(signal_pipe, O_CLOEXEC) != 0) return io_error("cannot make a pipe for signals");
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
  return Status::ok();
}

int wait_for_signal() {
  char number = 0;
  while (read(signal_pipe[0], &number, 1) < 0 && errno == EINTR) {
  }
  return number;
}

ServiceOptions service_options(const ServeFlags& flags, const Settings& settings, const std::string& path,
                               bool loopback) {
  ServiceOptions options;
  options.model_names = flags.names;
  if (options.model_names.empty()) options.model_names = {model_name_of(path)};
  options.version = FERRUM_VERSION;
  options.access.loopback = loopback;
  options.access.allowed_hosts = flags.allowed_hosts;
  options.access.cors_origins = flags.cors_origins;
  options.access.api_key = settings.get_text("FERRUM_API_KEY").value_or("");
  return options;
}

std::string url_of(const std::string& host, uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  return "http://" + (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

int serve_command(const ServeFlags& flags, const Settings& settings) {
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  HttpServerOptions http;
  http.host = settings.get_text("FERRUM_HOST").value_or(http.host);
  http.port = static_cast<uint16_t>(settings.get_int("FERRUM_PORT").value_or(http.port));
  http.max_connections = flags.max_connections;
  Result<std::unique_ptr<HttpServer>> server = HttpServer::bind(http);
  if (!server.is_ok()) return report(server.status());

  // Until the model is loaded signals have their default effect: there is nothing to drain.
  Result<ConfiguredEngine> loaded = load_configured(*path, settings, RunKind::kServing, flags.record, loading_bar());
  if (!loaded.is_ok()) return report(loaded.status());
  Engine& engine = *loaded->engine;
  if (const Status status = catch_signals(); !status.is_ok()) return report(status);
  engine.start();
  spdlog::info("{}", engine.describe());

  ServiceOptions options = service_options(flags, settings, *path, (*server)->is_loopback());
  options.configuration = summary_of(loaded->configuration.run);
  Service service(engine, std::move(options));
  if (const Status status = (*server)->serve(service); !status.is_ok()) return report(status);
  if (!(*server)->is_loopback() && settings.get_text("FERRUM_API_KEY").value_or("").empty()) {
    spdlog::warn("{} can be reached from other machines and no API key is set (--api-key)", http.host);
  }
  std::fprintf(stderr, "listening on %s\n", url_of(http.host, (*server)->port()).c_str());

  const int number = wait_for_signal();
  spdlog::info("signal {}: finishing {} connections, up to {} s; a second signal ends at once", number,
               (*server)->open_connections(), flags.drain_seconds);
  service.begin_draining();
  if (!(*server)->stop(std::chrono::seconds(flags.drain_seconds))) spdlog::warn("some answers did not finish in time");
  return kExitOk;
}

}  // namespace

void add_serve_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "Serve a model over HTTP with OpenAI's API");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  command->add_option("--served-model-name", flags->names,
                      "Name clients use for the model (repeatable; default: the file's name)");
  command->add_option("--cors-origin", flags->cors_origins,
                      "Web origin that may call the server (repeatable; * = any)");
  command->add_option("--allowed-host", flags->allowed_hosts,
                      "Further Host name that a server on a loopback address answers to (repeatable)");
  command
      ->add_option("--drain-seconds", flags->drain_seconds, "How long running answers may take to finish at shutdown")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  command->add_option("--max-connections", flags->max_connections, "Connections that may be open at once")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  add_record_flags(*command, flags->record);
  add_setting_flags(*command, invocation, {KeyScope::kEngine, KeyScope::kServer});
  command->callback([flags, &invocation] {
    invocation.default_log_level = "info";
    invocation.run = [flags](const Settings& settings) { return serve_command(*flags, settings); };
  });
}

}  // namespace ferrum
