// ferrum bench-serve: load on any server with OpenAI's API, and what came of it.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "apps/cli/bench_serve/plot.h"
#include "apps/cli/bench_serve/server_probe.h"
#include "apps/cli/bench_serve/summary.h"
#include "apps/cli/cli.h"
#include "config/parse.h"

namespace ferrum {
namespace {

constexpr int kMostTokensEach = 1 << 20, kMostRequests = 1 << 20;

struct BenchServeFlags {
  std::string url = "http://127.0.0.1:8080", model, api_key, label = "ferrum bench-serve";
  std::string form = "auto", dataset, concurrency = "1,4,16,32", rates, token_range = "100-999";
  std::string json_file, plot_file;
  std::vector<std::string> compare;
  WorkloadOptions workload;
  int requests = 0, warm_up = -1, repeats = 3;
  double max_error_rate = 0, timeout = 600, stall_timeout = 120;
};

struct Session {
  LoadTarget target;
  WorkloadOptions workload;
  std::vector<LoadShape> shapes;
};

Status in_range(const char* flag, double value, double low, double high) {
  if (value >= low && value <= high) return Status::ok();
  char text[120];
  std::snprintf(text, sizeof text, "%s is %g; it must be between %g and %g", flag, value, low, high);
  return invalid_argument(text);
}

Status check_ranges(const BenchServeFlags& f) {
  const WorkloadOptions& w = f.workload;
  FERRUM_RETURN_IF_ERROR(in_range("--random-input", w.input_tokens, 1, kMostTokensEach));
  FERRUM_RETURN_IF_ERROR(in_range("--random-output", w.output_tokens, 1, kMostTokensEach));
  FERRUM_RETURN_IF_ERROR(in_range("--random-spread", w.length_spread, 0, 0.99));
  FERRUM_RETURN_IF_ERROR(in_range("--prefix", w.prefix_tokens, 0, kMostTokensEach));
  FERRUM_RETURN_IF_ERROR(in_range("--prefixes", w.prefixes, 1, 10'000));
  FERRUM_RETURN_IF_ERROR(in_range("--turns", w.turns, 1, 1'000));
  FERRUM_RETURN_IF_ERROR(in_range("--requests", f.requests, 0, kMostRequests));
  FERRUM_RETURN_IF_ERROR(in_range("--warm-up", f.warm_up, -1, kMostRequests));
  FERRUM_RETURN_IF_ERROR(in_range("--repeats", f.repeats, 1, 100));
  FERRUM_RETURN_IF_ERROR(in_range("--max-error-rate", f.max_error_rate, 0, 1));
  FERRUM_RETURN_IF_ERROR(in_range("--timeout", f.timeout, 0.001, 86'400));
  return in_range("--stall-timeout", f.stall_timeout, 0.001, 86'400);
}

template <typename Parse>
Status for_each_word(const std::string& list, Parse parse) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    FERRUM_RETURN_IF_ERROR(parse(std::string_view(list).substr(at, end - at)));
    at = end + 1;
  }
  return Status::ok();
}

Result<std::vector<LoadShape>> parse_shapes(const BenchServeFlags& flags) {
  std::vector<LoadShape> shapes;
  if (!flags.rates.empty()) {
    FERRUM_RETURN_IF_ERROR(for_each_word(flags.rates, [&](std::string_view word) {
      const Result<double> rate = parse_float(word, 0.001, 100'000);
      if (!rate.is_ok()) return rate.status().with_context("--rate");
      shapes.push_back({0, *rate});
      return Status::ok();
    }));
    return shapes;
  }
  FERRUM_RETURN_IF_ERROR(for_each_word(flags.concurrency, [&](std::string_view word) {
    const Result<int64_t> count = parse_int(word, 1, kMaxInFlight);
    if (!count.is_ok()) return count.status().with_context("--concurrency");
    shapes.push_back({static_cast<int>(*count), 0});
    return Status::ok();
  }));
  return shapes;
}

Status parse_token_range(const std::string& text, WorkloadOptions& workload) {
  const size_t dash = text.find('-');
  const Result<int64_t> low = parse_int(text.substr(0, dash), 0, INT32_MAX);
  if (!low.is_ok()) return low.status().with_context("--token-ids");
  const Result<int64_t> high = dash == std::string::npos ? low : parse_int(text.substr(dash + 1), *low, INT32_MAX);
  if (!high.is_ok()) return high.status().with_context("--token-ids");
  workload.low_token = static_cast<int>(*low);
  workload.high_token = static_cast<int>(*high);
  return Status::ok();
}

Status read_dataset(const std::string& path, WorkloadOptions& workload) {
  if (path.empty()) return Status::ok();
  const Result<std::string> text = read_input(path, 1UL << 31);
  if (!text.is_ok()) return text.status();
  Result<std::vector<LoadTurn>> dialogs = parse_sharegpt(*text);
  if (!dialogs.is_ok()) return dialogs.status().with_context(path);
  workload.dialogs = std::move(dialogs).value();
  return Status::ok();
}

// Chats are texts; of the rest ids are exact, and a server that refuses them gets words.
Status choose_form(const std::string& wanted, Session& session) {
  const bool chat = session.workload.turns > 1 || !session.workload.dialogs.empty();
  const auto use = [&](PromptForm form) { session.target.form = session.workload.form = form; };
  if (wanted != "auto" && wanted != "tokens" && wanted != "text" && wanted != "chat") {
    return invalid_argument("--form is auto, tokens, text or chat, not " + wanted);
  }
  if (chat && wanted != "auto" && wanted != "chat") {
    return invalid_argument("--turns and --sharegpt are conversations: --form " + wanted + " cannot carry them");
  }
  if (chat || wanted == "chat") return use(PromptForm::kChat), Status::ok();
  use(wanted == "text" ? PromptForm::kText : PromptForm::kTokens);
  return Status::ok();
}

Status meet_server(const BenchServeFlags& flags, Session& session) {
  FERRUM_RETURN_IF_ERROR(resolve_server(session.target.server));
  if (session.target.model.empty()) {
    FERRUM_ASSIGN_OR_RETURN(session.target.model, first_model(session.target));
  }
  Status status = try_request(session.target, session.workload);
  if (status.is_ok() || flags.form != "auto" || session.target.form != PromptForm::kTokens) return status;
  session.target.form = session.workload.form = PromptForm::kText;
  if (!try_request(session.target, session.workload).is_ok()) return status;
  std::fprintf(stderr, "the server takes no token ids; prompts are words, and their lengths approximate (%s)\n",
               status.message().c_str());
  return Status::ok();
}

Result<Session> prepare(const BenchServeFlags& flags) {
  FERRUM_RETURN_IF_ERROR(check_ranges(flags));
  Session session;
  session.workload = flags.workload;
  FERRUM_RETURN_IF_ERROR(parse_token_range(flags.token_range, session.workload));
  FERRUM_ASSIGN_OR_RETURN(session.shapes, parse_shapes(flags));
  FERRUM_ASSIGN_OR_RETURN(session.target.server, parse_server_url(flags.url));
  for (char c : flags.api_key) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return invalid_argument("--api-key: a control character");
  }
  session.target.server.api_key = flags.api_key;
  session.target.model = flags.model;
  const auto milliseconds = [](double s) { return std::chrono::milliseconds(std::llround(std::ceil(s * 1000))); };
  session.target.total_timeout = milliseconds(flags.timeout);
  session.target.stall_timeout = milliseconds(flags.stall_timeout);
  FERRUM_RETURN_IF_ERROR(read_dataset(flags.dataset, session.workload));
  FERRUM_RETURN_IF_ERROR(choose_form(flags.form, session));
  return session;
}

LevelSummary measure(const Session& session, const LoadShape& shape, const BenchServeFlags& flags, uint64_t level) {
  const int default_count = shape.concurrency > 0 ? std::max(16, 2 * shape.concurrency) : 32;
  const int count = flags.requests > 0 ? flags.requests : default_count;
  const int warm_up = flags.warm_up >= 0 ? flags.warm_up : std::clamp(shape.concurrency, 1, 8);
  const uint64_t first_run = level << 32;
  const std::function<void(size_t)> nothing = [](size_t) {};
  if (warm_up > 0) {
    run_load(session.target, make_sessions(session.workload, warm_up, first_run),
             {.concurrency = std::clamp(shape.concurrency, 1, warm_up)}, 1, nothing);
  }
  std::vector<LoadResult> repeats;
  for (int r = 0; r < flags.repeats; ++r) {
    const uint64_t run = first_run + 1 + static_cast<uint64_t>(r);
    repeats.push_back(run_load(session.target, make_sessions(session.workload, count, run), shape,
                               session.workload.seed + run, nothing));
    const LoadResult& done = repeats.back();
    std::fprintf(stderr, "load %s, repeat %d of %d: %zu requests in %.1f s\n", load_label(shape).c_str(), r + 1,
                 flags.repeats, done.records.size(), done.seconds);
  }
  return summarise_level(shape, repeats);
}

nlohmann::ordered_json document_of(const BenchServeFlags& flags, const Session& session,
                                   const std::vector<LevelSummary>& levels) {
  const WorkloadOptions& w = session.workload;
  char date[32] = "";
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  if (gmtime_r(&now, &utc) != nullptr) std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
  constexpr const char* kForms[] = {"tokens", "text", "chat"};
  nlohmann::ordered_json document = {
      {"schema", "ferrum.bench_serve.v1"}, {"label", flags.label}, {"date", date},
      {"client", FERRUM_BUILD_INFO},       {"url", flags.url},     {"model", session.target.model}};
  document["workload"] = {{"form", kForms[static_cast<size_t>(w.form)]},
                          {"dataset", flags.dataset},
                          {"input_tokens", w.input_tokens},
                          {"output_tokens", w.output_tokens},
                          {"length_spread", w.length_spread},
                          {"prefix_tokens", w.prefix_tokens},
                          {"prefixes", w.prefixes},
                          {"turns", w.turns},
                          {"seed", w.seed}};
  document["levels"] = nlohmann::ordered_json::array();
  for (const LevelSummary& level : levels) document["levels"].push_back(level_json(level));
  return document;
}

Status write_file(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return io_error("cannot write " + path + ": " + std::strerror(errno));
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = std::fclose(file) == 0;
  return written && closed ? Status::ok() : io_error("cannot write " + path + ": " + std::strerror(errno));
}

Result<std::vector<PlotSeries>> read_compared(const std::vector<std::string>& files) {
  std::vector<PlotSeries> series;
  for (const std::string& path : files) {
    FERRUM_ASSIGN_OR_RETURN(const std::string text, read_input(path, 64UL << 20));
    const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
    if (json.is_discarded()) return corrupt(path + " is not JSON");
    const Result<PlotSeries> one = plot_series(json);
    if (!one.is_ok()) return one.status().with_context(path);
    series.push_back(*one);
  }
  return series;
}

Status write_results(const BenchServeFlags& flags, const nlohmann::ordered_json& document,
                     std::vector<PlotSeries> series) {
  const auto replace = nlohmann::ordered_json::error_handler_t::replace;
  if (!flags.json_file.empty()) {
    FERRUM_RETURN_IF_ERROR(write_file(flags.json_file, document.dump(2, ' ', false, replace) + "\n"));
  }
  if (flags.plot_file.empty()) return Status::ok();
  FERRUM_ASSIGN_OR_RETURN(PlotSeries own, plot_series(document));
  series.insert(series.begin(), std::move(own));
  return write_file(flags.plot_file, draw_plot(series, document["model"].get<std::string>()));
}

// What would make the figures worthless.
Status verdict(const BenchServeFlags& flags, const std::vector<LevelSummary>& levels) {
  size_t failed = 0, wrong = 0, requests = 0;
  for (const LevelSummary& level : levels) {
    failed += level.failed;
    wrong += level.wrong_counts;
    requests += level.requests;
  }
  const std::string of = " of " + std::to_string(requests) + " requests ";
  if (static_cast<double>(failed) > flags.max_error_rate * static_cast<double>(requests)) {
    return io_error(std::to_string(failed) + of + "failed:\n" + failures_text(levels));
  }
  if (wrong > 0) return io_error(std::to_string(wrong) + of + "had a wrong token count:\n" + failures_text(levels));
  return Status::ok();
}

int bench_serve_command(BenchServeFlags flags, const Settings& settings) {
  if (flags.api_key.empty()) flags.api_key = first_api_key(settings);
  Result<Session> session = prepare(flags);
  if (!session.is_ok()) return report(session.status());
  if (!flags.compare.empty() && flags.plot_file.empty()) {
    return report(invalid_argument("--compare draws into a plot: give --plot FILE"));
  }
  const Result<std::vector<PlotSeries>> compared = read_compared(flags.compare);
  if (!compared.is_ok()) return report(compared.status());
  if (const Status status = meet_server(flags, *session); !status.is_ok()) return report(status);

  std::vector<LevelSummary> levels;
  for (const LoadShape& shape : session->shapes) levels.push_back(measure(*session, shape, flags, levels.size() + 1));
  write_out(levels_table(levels));
  const Status written = write_results(flags, document_of(flags, *session, levels), *compared);
  if (!written.is_ok()) report(written);
  const Status status = verdict(flags, levels);
  if (!status.is_ok()) report(status);
  return written.is_ok() && status.is_ok() ? kExitOk : kExitFailure;
}

}  // namespace

void add_bench_serve_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<BenchServeFlags>();
  BenchServeFlags& f = *flags;
  CLI::App* command = app.add_subcommand("bench-serve", "Put load on a server with OpenAI's API and measure it");
  const auto option = [command](const char* name, auto& value, const char* help) {
    return command->add_option(name, value, help);
  };
  option("--url", f.url, "The server")->capture_default_str();
  option("--model", f.model, "Its model; default: the first of /v1/models");
  option("--server-key", f.api_key, "Its API key; default: FERRUM_API_KEY");
  option("--label", f.label, "Name of this result in file and plot")->capture_default_str();
  option("--random-input", f.workload.input_tokens, "Tokens of a prompt, or of a user's turn")->capture_default_str();
  option("--random-output", f.workload.output_tokens, "Tokens of an answer")->capture_default_str();
  option("--random-spread", f.workload.length_spread, "Lengths vary by this fraction, 0 to 0.99")
      ->capture_default_str();
  option("--prefix", f.workload.prefix_tokens, "Shared tokens before every prompt")->capture_default_str();
  option("--prefixes", f.workload.prefixes, "How many different shared beginnings")->capture_default_str();
  option("--turns", f.workload.turns, "Turns of a conversation")->capture_default_str();
  option("--sharegpt", f.dataset, "Questions and answer lengths of this file, in ShareGPT's form");
  option("--form", f.form, "How prompts are sent: auto, tokens, text, chat")->capture_default_str();
  option("--token-ids", f.token_range, "Ids that prompts are drawn from")->capture_default_str();
  option("--seed", f.workload.seed, "Of lengths, tokens and arrivals")->capture_default_str();
  CLI::Option* closed = option("--concurrency", f.concurrency, "Sessions at once, a list");
  closed->capture_default_str();
  option("--rate", f.rates, "Sessions per second at random times (Poisson) instead, a list")->excludes(closed);
  option("--requests", f.requests, "Sessions per repeat; default: 2 x concurrency, at least 16; 32 with --rate");
  option("--warm-up", f.warm_up, "Sessions before each level; default: the concurrency, 1 to 8");
  option("--repeats", f.repeats, "Times each level is measured")->capture_default_str();
  option("--max-error-rate", f.max_error_rate, "Failures that are not a failure of the run")->capture_default_str();
  option("--timeout", f.timeout, "Seconds for a whole request")->capture_default_str();
  option("--stall-timeout", f.stall_timeout, "Seconds without a byte")->capture_default_str();
  option("--json", f.json_file, "Write everything, as JSON, here");
  option("--plot", f.plot_file, "Draw throughput and latencies, as SVG, here");
  option("--compare", f.compare, "Earlier results (--json) to draw beside")->allow_extra_args(false);
  command->callback([flags, &invocation] {
    invocation.run = [flags](const Settings& settings) { return bench_serve_command(*flags, settings); };
  });
}

}  // namespace ferrum
