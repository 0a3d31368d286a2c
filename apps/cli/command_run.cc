// ferrum run: talk to a model in the terminal, or get one answer.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/cli/chat.h"
#include "apps/cli/cli.h"
#include "apps/cli/prompt_cache.h"
#include "apps/common/configured.h"
#include "apps/common/model_path.h"
#include "config/reference.h"

namespace ferrum {
namespace {

constexpr size_t kMaxPrompt = 64UL << 20;

struct RunFlags {
  std::string model, prompt, system;
  bool has_prompt = false, raw = false, json = false, verbose = false;
  std::vector<std::pair<std::string, std::string>> knobs;  // in the order given
  RecordFiles record;
  PromptCache cache;
};

std::string json_line(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

nlohmann::ordered_json summary_of(const Answer& answer) {
  const Usage& usage = answer.usage;
  return {{"done", true},
          {"finish_reason", to_string(answer.reason)},
          {"seed", usage.seed},
          {"usage",
           {{"prompt_tokens", usage.prompt_tokens},
            {"completion_tokens", usage.completion_tokens},
            {"cached_tokens", usage.cached_tokens},
            {"drafted_tokens", usage.drafted_tokens},
            {"accepted_tokens", usage.accepted_tokens}}},
          {"timings",
           {{"queued_seconds", usage.queued_seconds},
            {"prefill_seconds", usage.prefill_seconds},
            {"decode_seconds", usage.decode_seconds}}}};
}

// Ctrl-C ends the process here as anywhere: there is nothing to return to.
int answer_and_leave(Conversation& conversation, const RunFlags& flags, const std::string& prompt) {
  bool readable = true;
  const TextSink sink = [&](std::string_view piece) {
    return readable = write_out(flags.json ? json_line({{"text", piece}}) : std::string(piece));
  };
  const Result<Answer> answer = conversation.ask(prompt, sink, [] { return false; });
  if (!answer.is_ok()) return report(answer.status());
  if (!readable) return kExitOk;  // the reader has what it wanted
  write_out(flags.json ? json_line(summary_of(*answer)) : "\n");
  if (flags.verbose) std::fprintf(stderr, "%s\n", timing_line(answer->usage).c_str());
  return kExitOk;
}

int run_command(const RunFlags& flags, const Settings& settings) {
  GenerationSettings generation;
  for (const auto& [name, text] : flags.knobs) {
    const Status status = set_knob(generation, name, text);
    if (!status.is_ok()) return report(status.with_context("command line"));
  }
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  const bool one_shot = flags.has_prompt || isatty(STDIN_FILENO) == 0;
  Result<std::string> prompt = flags.prompt;
  if (one_shot && !flags.has_prompt) {
    prompt = read_input("-", kMaxPrompt);
    if (!prompt.is_ok()) return report(prompt.status());
    if (!flags.raw && prompt->ends_with('\n')) prompt->pop_back();  // of `echo`
  }
  if (one_shot && prompt->empty())
    return report(invalid_argument("the prompt is empty; give --prompt or write to standard input"));

  // One conversation: memory for a single sequence, unless told otherwise.
  Result<ConfiguredEngine> loaded = load_configured(*path, settings, RunKind::kSingleUser, flags.record, loading_bar());
  if (!loaded.is_ok()) return report(loaded.status());
  Engine& engine = *loaded->engine;
  engine.start();
  if (const Status restored = flags.cache.restore(engine); !restored.is_ok()) return report(restored);
  Conversation conversation(engine, std::move(generation), flags.system, flags.raw);
  if (!one_shot && flags.json) {
    return report(invalid_argument("--json needs --prompt or standard input that is not a terminal"));
  }
  const int code = one_shot ? answer_and_leave(conversation, flags, *prompt)
                            : chat_interactively(engine, conversation, flags.verbose);
  write_activity(flags.record, engine);
  if (const Status saved = flags.cache.save(engine, conversation.tokens()); !saved.is_ok()) return report(saved);
  return code;
}

}  // namespace

void add_run_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = app.add_subcommand("run", "Chat with a model, or get one answer");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  CLI::Option* prompt = command->add_option("-p,--prompt", flags->prompt,
                                            "One message; without it, standard input if that is not a terminal");
  command->add_option("--system", flags->system, "System message");
  command->add_flag("--raw", flags->raw, "The prompt as it is, without chat template");
  command->add_flag("--json", flags->json, "One JSON object per line: pieces of text, then a summary");
  command->add_flag("--verbose", flags->verbose, "Timings on standard error");
  command->add_option("--prompt-cache", flags->cache.file,
                      "Keep the KV of the text in this file, so that the next run need not read it again");
  command->add_flag("--prompt-cache-ro", flags->cache.read_only, "Only read that file");
  add_record_flags(*command, flags->record);
  for (const GenerationKnob& knob : generation_knobs()) {
    const std::string name(knob.name);
    const auto collect = [flags, name](const std::vector<std::string>& texts) {
      for (const std::string& text : texts) flags->knobs.emplace_back(name, text);
      return true;
    };
    const auto initial = knob.get(GenerationSettings());
    CLI::Option* option = command->add_option_function<std::vector<std::string>>(
        std::string(knob.flags), [collect](const std::vector<std::string>& texts) { collect(texts); },
        std::string(knob.help) + " (" + initial + ")");
    option->group("Generation")->expected(1)->type_name(knob.is_switch ? kSwitchValue : "VALUE");
    if (name == "stop") option->take_all();
  }
  add_setting_flags(*command, invocation, {KeyScope::kEngine});
  command->callback([flags, prompt, &invocation] {
    flags->has_prompt = prompt->count() > 0;
    invocation.run = [flags](const Settings& settings) { return run_command(*flags, settings); };
  });
}

}  // namespace ferrum
