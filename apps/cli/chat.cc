#include "apps/cli/chat.h"

#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/cli/cli.h"
#include "apps/cli/line_editor.h"
#include "apps/common/chat_prompt.h"
#include "base/quote.h"
#include "config/parse.h"
#include "config/settings.h"

namespace ferrum {
namespace {

constexpr char kHelp[] =
    "/clear            forget the conversation\n"
    "/system [TEXT]    set the system message (and forget the conversation); without TEXT show it\n"
    "/set [NAME VALUE] change a setting of generation; without NAME show all\n"
    "/stats            what this session has computed\n"
    "/help             this list\n"
    "/bye              leave (as does Ctrl-D)\n"
    "\"\"\"               begins and ends a message of several lines\n"
    "Ctrl-C            interrupts an answer\n";

volatile std::sig_atomic_t interrupt_seen = 0;

void on_interrupt(int) { interrupt_seen = 1; }

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
}

void show_settings(const GenerationSettings& settings) {
  for (const GenerationKnob& knob : generation_knobs()) {
    std::fprintf(stderr, "%-18s %-10s %s\n", std::string(knob.name).c_str(), knob.get(settings).c_str(),
                 std::string(knob.help).c_str());
  }
}

void show_stats(const Engine& engine, const Conversation& conversation) {
  const EngineStats stats = engine.stats();
  std::fprintf(stderr, "%s\n%zu messages in the conversation; KV blocks in use: %lld of %lld\n",
               engine.describe().c_str(), conversation.messages(), static_cast<long long>(stats.kv_blocks_used),
               static_cast<long long>(stats.kv_blocks_total));
  if (conversation.total_usage().prompt_tokens == 0) return;
  std::fprintf(stderr, "last answer: %s\nsession:     %s\n", timing_line(conversation.last_usage()).c_str(),
               timing_line(conversation.total_usage()).c_str());
}

// A line that begins with '/'. False: leave.
bool run_command(const Engine& engine, Conversation& conversation, const std::string& line) {
  const size_t space = line.find(' ');
  const std::string name = line.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : std::string(trim(std::string_view(line).substr(space)));
  if (name == "/bye" || name == "/exit" || name == "/quit") return false;
  if (name == "/help" || name == "/?") {
    std::fputs(kHelp, stderr);
  } else if (name == "/clear") {
    conversation.clear();
    std::fputs("the conversation is forgotten\n", stderr);
  } else if (name == "/system" && rest.empty()) {
    std::fprintf(stderr, "system message: %s\n",
                 conversation.system().empty() ? "none" : conversation.system().c_str());
  } else if (name == "/system") {
    conversation.set_system(rest);
    conversation.clear();
    std::fputs("system message set; the conversation starts anew\n", stderr);
  } else if (name == "/set" && rest.empty()) {
    show_settings(conversation.settings());
  } else if (name == "/set") {
    const size_t end = rest.find(' ');
    const std::string value = end == std::string::npos ? "" : std::string(trim(std::string_view(rest).substr(end)));
    const Status status = set_knob(conversation.settings(), rest.substr(0, end), value);
    if (!status.is_ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  } else if (name == "/stats") {
    show_stats(engine, conversation);
  } else {
    std::fprintf(stderr, "there is no command %s; /help lists them\n", ferrum::quoted(name).c_str());
  }
  return true;
}

// Lines from one that begins with """ to one that ends with it. False: interrupted or ended.
bool read_block(LineEditor& editor, std::string& message) {
  constexpr std::string_view kQuotes = "\"\"\"";
  message.erase(0, kQuotes.size());
  while (!std::string_view(message).ends_with(kQuotes)) {
    std::string line;
    if (editor.read("... ", line) != LineEditor::Outcome::kLine) return false;
    message += "\n" + line;
  }
  message.resize(message.size() - kQuotes.size());
  return true;
}

void add_usage(Usage& total, const Usage& usage) {
  total.prompt_tokens += usage.prompt_tokens;
  total.completion_tokens += usage.completion_tokens;
  total.cached_tokens += usage.cached_tokens;
  total.drafted_tokens += usage.drafted_tokens;
  total.accepted_tokens += usage.accepted_tokens;
  total.queued_seconds += usage.queued_seconds;
  total.prefill_seconds += usage.prefill_seconds;
  total.decode_seconds += usage.decode_seconds;
}

// False when standard output is closed.
bool answer_once(Conversation& conversation, const std::string& message, bool verbose) {
  interrupt_seen = 0;
  bool readable = true;
  const Result<Answer> answer = conversation.ask(
      message, [&readable](std::string_view piece) { return readable = write_out(piece); },
      [] { return interrupt_seen != 0; });
  if (!answer.is_ok()) {
    std::fprintf(stderr, "%s\n", answer.status().message().c_str());
    if (conversation.messages() > 0) std::fputs("(/clear forgets the conversation so far)\n", stderr);
    return true;
  }
  write_out("\n");
  if (answer->interrupted) std::fputs("(interrupted)\n", stderr);
  if (answer->reason == FinishReason::kLength) std::fputs("(cut: no more tokens allowed)\n", stderr);
  if (verbose) std::fprintf(stderr, "%s\n", timing_line(answer->usage).c_str());
  return readable;
}

}  // namespace

Result<std::vector<TokenId>> Conversation::make_prompt(const std::string& message) const {
  if (raw_) return engine_.tokenizer()->encode(message, {});
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  if (!system_.empty()) list.push_back({{"role", "system"}, {"content", system_}});
  for (const auto& [role, content] : messages_) list.push_back({{"role", role}, {"content", content}});
  list.push_back({{"role", "user"}, {"content", message}});
  FERRUM_ASSIGN_OR_RETURN(ChatPrompt prompt, make_chat_prompt(*engine_.tokenizer(), *engine_.chat_template(), list,
                                                              nullptr, true, nlohmann::ordered_json::object()));
  return std::move(prompt.tokens);
}

Result<Answer> Conversation::ask(const std::string& message, const TextSink& sink,
                                 const std::function<bool()>& interrupted) {
  Request request;
  FERRUM_ASSIGN_OR_RETURN(request.prompt, make_prompt(message));
  request.sampling = settings_.sampling;
  request.stop = settings_.stop;
  request.continues_text = raw_;
  std::vector<TokenId> tokens = request.prompt;
  FERRUM_ASSIGN_OR_RETURN(Answer answer, get_answer(engine_, std::move(request), sink, interrupted));
  tokens_ = std::move(tokens);
  tokens_.insert(tokens_.end(), answer.tokens.begin(), answer.tokens.end());
  last_ = answer.usage;
  add_usage(total_, answer.usage);
  if (!raw_) {
    messages_.emplace_back("user", message);
    messages_.emplace_back("assistant", answer.text);
  }
  return answer;
}

int chat_interactively(Engine& engine, Conversation& conversation, bool verbose) {
  const std::string state = user_state_directory();
  LineEditor editor(state.empty() ? "" : state + "/ferrum/history");
  catch_interrupts();
  std::fprintf(stderr, "%s\n/help lists the commands, /bye leaves.\n", engine.describe().c_str());
  for (;;) {
    std::string message;
    const LineEditor::Outcome outcome = editor.read(">>> ", message);
    if (outcome == LineEditor::Outcome::kEnd) {
      std::fputs("\n", stdout);
      return kExitOk;
    }
    if (outcome == LineEditor::Outcome::kInterrupted) {
      std::fputs("(/bye or Ctrl-D leaves)\n", stderr);
      continue;
    }
    if (trim(message).empty()) continue;
    editor.remember(message);
    if (message.starts_with("\"\"\"") && !read_block(editor, message)) continue;
    if (message.starts_with('/')) {
      if (!run_command(engine, conversation, message)) return kExitOk;
    } else if (!answer_once(conversation, message, verbose)) {
      return kExitOk;
    }
  }
}

}  // namespace ferrum
