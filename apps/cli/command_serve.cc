// ferrum serve: an engine behind the HTTP server, until a signal ends it.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
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

constexpr int64_t kDrainSeconds = 30;

struct ServeFlags {
  std::string model;
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

// Each connection is a file descriptor, and the usual limit would be reached before --max-connections.
void allow_connections(int connections) {
  constexpr rlim_t kOthers = 256;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min(limit.rlim_max, static_cast<rlim_t>(connections) + kOthers);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) spdlog::warn("cannot raise the limit of open files: {}", errno);
}

ServiceOptions service_options(const Settings& settings, const std::string& path, bool loopback) {
  ServiceOptions options;
  options.model_names = settings.get_list("FERRUM_SERVED_MODEL_NAME");
  if (options.model_names.empty()) options.model_names = {model_name_of(path)};
  options.version = FERRUM_VERSION;
  options.access.loopback = loopback;
  options.access.allowed_hosts = settings.get_list("FERRUM_ALLOWED_HOST");
  options.access.cors_origins = settings.get_list("FERRUM_CORS_ORIGIN");
  options.access.api_keys = settings.get_list("FERRUM_API_KEY");
  options.request_timeout = static_cast<double>(settings.get_int("FERRUM_REQUEST_TIMEOUT").value_or(0));
  options.queue_timeout = static_cast<double>(settings.get_int("FERRUM_QUEUE_TIMEOUT").value_or(0));
  options.limits.prompt_embeds = settings.get_bool("FERRUM_ENABLE_PROMPT_EMBEDS").value_or(false);
  return options;
}

std::string url_of(const std::string& host, uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  return "http://" + (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

int serve_command(const ServeFlags& flags, const Settings& settings) {
  // A key that vanishes when it is taken apart must not leave the server open.
  if (settings.has("FERRUM_API_KEY") && settings.get_list("FERRUM_API_KEY").empty()) {
    return report(invalid_argument("FERRUM_API_KEY is set and has no key in it: keys are separated by commas"));
  }
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  HttpServerOptions http;
  http.host = settings.get_text("FERRUM_HOST").value_or(http.host);
  http.port = static_cast<uint16_t>(settings.get_int("FERRUM_PORT").value_or(http.port));
  http.max_connections = static_cast<int>(settings.get_int("FERRUM_MAX_CONNECTIONS").value_or(http.max_connections));
  allow_connections(http.max_connections);
  Result<std::unique_ptr<HttpServer>> server = HttpServer::bind(http);
  if (!server.is_ok()) return report(server.status());

  // Until the model is loaded signals have their default effect: there is nothing to drain.
  Result<ConfiguredEngine> loaded = load_configured(*path, settings, RunKind::kServing, flags.record, loading_bar());
  if (!loaded.is_ok()) return report(loaded.status());
  Engine& engine = *loaded->engine;
  if (const Status status = catch_signals(); !status.is_ok()) return report(status);
  engine.start();
  spdlog::info("{}", engine.describe());

  ServiceOptions options = service_options(settings, *path, (*server)->is_loopback());
  options.configuration = summary_of(loaded->configuration.run);
  Service service(engine, std::move(options));
  if (const Status status = (*server)->serve(service); !status.is_ok()) return report(status);
  if (!(*server)->is_loopback() && settings.get_list("FERRUM_API_KEY").empty()) {
    spdlog::warn("{} can be reached from other machines and no API key is set (--api-key)", http.host);
  }
  std::fprintf(stderr, "listening on %s\n", url_of(http.host, (*server)->port()).c_str());

  const auto drain_seconds = settings.get_int("FERRUM_DRAIN_SECONDS").value_or(kDrainSeconds);
  const int number = wait_for_signal();
  spdlog::info("signal {}: finishing {} connections, up to {} s; a second signal ends at once", number,
               (*server)->open_connections(), drain_seconds);
  service.begin_draining();
  if (!(*server)->stop(std::chrono::seconds(drain_seconds))) spdlog::warn("some answers did not finish in time");
  write_activity(flags.record, engine);
  return kExitOk;
}

}  // namespace

void add_serve_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "Serve a model over HTTP with OpenAI's API");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  add_record_flags(*command, flags->record);
  add_setting_flags(*command, invocation, {KeyScope::kEngine, KeyScope::kServer});
  command->callback([flags, &invocation] {
    invocation.default_log_level = "info";
    invocation.run = [flags](const Settings& settings) { return serve_command(*flags, settings); };
  });
}

}  // namespace ferrum
