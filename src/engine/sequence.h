// One request in the engine: its tokens, its sampler, its text, and the event that is being put together for it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/stop_matcher.h"
#include "runner/sampler.h"
#include "runner/step_output.h"
#include "sched/scheduler.h"
#include "speculation/drafter.h"
#include "tensor/view.h"
#include "text/tokenizer.h"

namespace ferrum {

// Used by the thread that runs the steps; the engine's mutex is not needed. Made by the one that submits.
class Sequence {
 public:
  using Clock = std::chrono::steady_clock;

  // A checked request; final_length tokens at most, prompt included. prefix: has hashed the prompt's full blocks.
  Sequence(RequestId id, Request request, EventSink sink, std::shared_ptr<const Tokenizer> tokenizer, int final_length,
           PrefixChain prefix = {});

  RequestId id() const { return id_; }
  const EventSink& sink() const { return sink_; }
  // Prompt, then generated, then the guesses at what follows, which a step may verify.
  std::span<const TokenId> tokens() const { return tokens_; }
  InputText text() const;
  // Of the row's positions.
  HiddenStates wanted_states(const PlannedRow& row) const;
  // Guesses that the next step should verify: they follow already, or the draft model shall make them.
  int wanted_guesses() const { return wanted_guesses_; }
  GuessSource guess_source() const { return source_; }
  bool uses_draft_model() const { return uses_draft_model_; }
  int prompt_tokens() const { return prompt_tokens_; }
  bool started() const { return scheduled_ != Clock::time_point{}; }
  bool finished() const { return event_.finished; }
  FinishReason finish_reason() const { return reason_; }  // kNone until finished

  // The sequence has this row in the step that begins now.
  void note_scheduled(const PlannedRow& row);
  // The step ran. output: logits [row.logit_count, vocab] of the row's last positions, and hidden states [row.count,
  // hidden] of all, if some are wanted. Scores prompt tokens, samples the next ones where the row reaches the last
  // known token, and decides whether that was the end.
  RowOutcome consume(const PlannedRow& row, const StepOutput& output, SamplerScratch& scratch);
  // After that: guesses on, or asks the draft model to.
  void guess(const GuessPrices& prices);
  // The draft model's next guess, of those wanted.
  void add_guess(TokenId token);
  // Ends it for a reason from outside.
  void finish(FinishReason reason, Status error = {});
  // Where the error came from, if it ended with one since the last event.
  void explain_error(const std::string& cause);

  // What happened since the last call; nullopt if nothing did. After a finished event there are no more.
  std::optional<Event> take_event();

 private:
  Status read_prompt(const PlannedRow& row, const StepOutput& output, SamplerScratch& scratch);
  Status score_prompt(const PlannedRow& row, ConstView logits, SamplerScratch& scratch);
  int first_wanted_state() const;
  Status take_states(const PlannedRow& row, ConstView states);
  Status take_state(std::span<const float> state, int position);
  RowOutcome sample(const PlannedRow& row, ConstView logits, SamplerScratch& scratch);
  std::vector<TokenId> take_guesses();
  void accept(Sampled sampled);
  bool is_stop_token(TokenId token) const;

  const RequestId id_;
  const SamplingParams sampling_;
  const StopParams stop_;
  const bool wants_prompt_logprobs_;
  const HiddenStates hidden_;
  const HiddenPositions hidden_of_;
  const std::shared_ptr<const std::vector<float>> embeddings_;
  const EventSink sink_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const int prompt_tokens_;
  const int final_length_;
  const bool uses_draft_model_;

  std::vector<TokenId> tokens_;
  size_t ids_begin_ = 0;        // of tokens_: behind the last embedding
  size_t embedding_width_ = 0;  // 0 = there are none
  PrefixChain prefix_;
  int guesses_ = 0;         // at the end of tokens_
  int wanted_guesses_ = 0;  // more than guesses_ where the draft model shall make them
  GuessSource source_ = GuessSource::kNgram;
  Sampler sampler_;
  Drafter drafter_;
  TextStream stream_;
  StopMatcher matcher_;
  std::vector<PositionLogprobs> prompt_logprobs_;  // until the first event takes them
  std::vector<float> states_;                      // likewise
  std::vector<double> state_sum_;                  // of kMean
  int states_seen_ = 0;                            // positions before were looked at
  Event event_;
  FinishReason reason_ = FinishReason::kNone;  // stays when the event is taken
  bool has_event_ = false;
  int cached_tokens_ = 0;                                  // of the prompt
  int completion_tokens_ = 0;                              // sampled, an end token included
  int drafted_tokens_ = 0, accepted_tokens_ = 0;           // guesses that steps verified; tokens gained by them
  Clock::time_point submitted_, scheduled_, first_token_;  // epoch = not yet
};

}  // namespace ferrum
