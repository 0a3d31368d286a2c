#include "engine/sequence.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <utility>

#include "base/check.h"

namespace ferrum {
namespace {

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

double seconds(Sequence::Clock::time_point from, Sequence::Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::span<const float> row_of(ConstView logits, int row) {
  return {logits.row<const float>(row), static_cast<size_t>(logits.cols())};
}

}  // namespace

Sequence::Sequence(RequestId id, Request request, EventSink sink, std::shared_ptr<const Tokenizer> tokenizer,
                   int final_length, PrefixChain prefix)
    : id_(id),
      sampling_(std::move(request.sampling)),
      stop_(std::move(request.stop)),
      wants_prompt_logprobs_(request.prompt_logprobs),
      hidden_(request.hidden),
      hidden_of_(request.hidden_of),
      embeddings_(std::move(request.embeddings)),
      sink_(std::move(sink)),
      tokenizer_(std::move(tokenizer)),
      prompt_tokens_(static_cast<int>(request.prompt.size())),
      final_length_(final_length),
      uses_draft_model_(request.speculation && request.speculation->uses_draft_model()),
      tokens_(std::move(request.prompt)),
      prefix_(std::move(prefix)),
      sampler_(sampling_, sampling_.seed ? *sampling_.seed : random_seed()),
      drafter_(request.speculation.value_or(SpeculationParams{})),
      stream_(tokenizer_, request.with_special, request.continues_text),
      matcher_(stop_.stop, stop_.include_stop),
      submitted_(Clock::now()) {
  if (embeddings_ == nullptr) return;
  ids_begin_ = static_cast<size_t>(std::find(tokens_.rbegin(), tokens_.rend(), kNoToken).base() - tokens_.begin());
  embedding_width_ = embeddings_->size() / static_cast<size_t>(std::ranges::count(tokens_, kNoToken));
}

InputText Sequence::text() const {
  if (embeddings_ == nullptr) return tokens_;
  return {tokens_, *embeddings_, embedding_width_};
}

// Those before it nobody wants, or somebody has.
int Sequence::first_wanted_state() const {
  return hidden_of_ == HiddenPositions::kLast ? std::max(prompt_tokens_ - 1, states_seen_) : states_seen_;
}

HiddenStates Sequence::wanted_states(const PlannedRow& row) const {
  const int first = first_wanted_state();
  const bool some = first < prompt_tokens_ && first < row.begin + row.count;
  return some ? hidden_ : HiddenStates::kNone;
}

void Sequence::note_scheduled(const PlannedRow& row) {
  if (scheduled_ != Clock::time_point{}) return;
  scheduled_ = Clock::now();
  cached_tokens_ = row.begin;
}

RowOutcome Sequence::consume(const PlannedRow& row, const StepOutput& output, SamplerScratch& scratch) {
  if (Status read = read_prompt(row, output, scratch); !read.is_ok()) {
    finish(FinishReason::kError, std::move(read));
    return {0, true};
  }
  if (!row.samples) return {};
  if (first_token_ == Clock::time_point{}) first_token_ = Clock::now();
  if (static_cast<int>(tokens_.size()) >= final_length_) {  // max_tokens 0: only the prompt was wanted
    finish(FinishReason::kLength);
    return {0, true};
  }
  RowOutcome outcome = sample(row, output.logits, scratch);
  outcome.prefix = prefix_.extend(text());
  if (row.drafts > 0 && !outcome.finished) drafter_.record(source_, row.drafts, outcome.new_tokens - 1);
  return outcome;
}

// The token at a position is always the model's own sample there. A guess decides only whether the logits of the next
// position are at hand already: they are if it equals the sample.
RowOutcome Sequence::sample(const PlannedRow& row, ConstView logits, SamplerScratch& scratch) {
  const std::vector<TokenId> guesses = take_guesses();
  FERRUM_CHECK(row.drafts <= static_cast<int>(guesses.size()), "a row with more guesses than were made");
  drafted_tokens_ += row.drafts;
  const int first = row.logit_count - 1 - row.drafts;
  for (int i = 0;; ++i) {
    Result<Sampled> sampled = sampler_.sample({row_of(logits, first + i), tokens_}, scratch);
    if (!sampled.is_ok()) {
      finish(FinishReason::kError, std::move(sampled).status());
      return {i, true};
    }
    const TokenId token = sampled->token;
    if (i > 0) ++accepted_tokens_;
    accept(std::move(sampled).value());
    const bool goes_on = i < row.drafts && token == guesses[static_cast<size_t>(i)] && !finished();
    if (!goes_on) return {i + 1, finished()};
  }
}

std::vector<TokenId> Sequence::take_guesses() {
  wanted_guesses_ = 0;
  const auto begin = tokens_.end() - std::exchange(guesses_, 0);
  std::vector<TokenId> guesses(begin, tokens_.end());
  tokens_.erase(begin, tokens_.end());
  return guesses;
}

void Sequence::guess(const GuessPrices& prices) {
  const int room = final_length_ - static_cast<int>(tokens_.size()) - 1;  // the model adds one of its own
  const Proposal proposal = drafter_.propose(std::span(tokens_).subspan(ids_begin_), room, prices);
  source_ = proposal.source;
  wanted_guesses_ = proposal.count;
  tokens_.insert(tokens_.end(), proposal.tokens.begin(), proposal.tokens.end());
  guesses_ = static_cast<int>(proposal.tokens.size());
}

void Sequence::add_guess(TokenId token) {
  FERRUM_CHECK(guesses_ < wanted_guesses_, "a guess that nobody wanted");
  tokens_.push_back(token);
  ++guesses_;
}

Status Sequence::read_prompt(const PlannedRow& row, const StepOutput& output, SamplerScratch& scratch) {
  if (output.hidden.rank > 0) FERRUM_RETURN_IF_ERROR(take_states(row, output.hidden));
  return score_prompt(row, output.logits, scratch);
}

Status Sequence::take_states(const PlannedRow& row, ConstView states) {
  const int end = std::min(row.begin + row.count, prompt_tokens_);
  for (int p = std::max(first_wanted_state(), row.begin); p < end; ++p) {
    FERRUM_RETURN_IF_ERROR(take_state(row_of(states, p - row.begin), p));
  }
  states_seen_ = std::max(states_seen_, end);
  if (hidden_of_ != HiddenPositions::kMean || end < prompt_tokens_) return Status::ok();
  for (const double sum : state_sum_) states_.push_back(static_cast<float>(sum / prompt_tokens_));
  return Status::ok();
}

Status Sequence::take_state(std::span<const float> state, int position) {
  if (!std::ranges::all_of(state, [](float x) { return std::isfinite(x); })) {
    return internal_error("the hidden state of position " + std::to_string(position) +
                          " is NaN or infinite: the checkpoint may be damaged, or too imprecise for this prompt");
  }
  if (hidden_of_ != HiddenPositions::kMean) {
    states_.insert(states_.end(), state.begin(), state.end());
    return Status::ok();
  }
  state_sum_.resize(state.size());
  for (size_t i = 0; i < state.size(); ++i) state_sum_[i] += static_cast<double>(state[i]);
  return Status::ok();
}

// Logits at position p tell how likely the token at p + 1 was.
Status Sequence::score_prompt(const PlannedRow& row, ConstView logits, SamplerScratch& scratch) {
  if (!wants_prompt_logprobs_) return Status::ok();
  const int first = row.begin + row.count - row.logit_count;
  for (int i = 0; i < row.logit_count && first + i + 1 < prompt_tokens_; ++i) {
    const TokenId next = tokens_[static_cast<size_t>(first + i + 1)];
    FERRUM_ASSIGN_OR_RETURN(PositionLogprobs scored, score_token(row_of(logits, i), next, sampling_.logprobs, scratch));
    prompt_logprobs_.push_back(std::move(scored));
  }
  return Status::ok();
}

void Sequence::accept(Sampled sampled) {
  ++completion_tokens_;
  if (is_stop_token(sampled.token)) return finish(FinishReason::kStop);
  tokens_.push_back(sampled.token);
  event_.tokens.push_back(sampled.token);
  if (sampled.logprobs) event_.logprobs.push_back(std::move(*sampled.logprobs));
  event_.text += matcher_.push(stream_.push(sampled.token));
  has_event_ = true;
  if (matcher_.matched()) {
    finish(FinishReason::kStop);
  } else if (static_cast<int>(tokens_.size()) >= final_length_) {
    finish(FinishReason::kLength);
  }
}

bool Sequence::is_stop_token(TokenId token) const {
  if (!stop_.ignore_eos && tokenizer_->is_end(token)) return true;
  return std::find(stop_.stop_token_ids.begin(), stop_.stop_token_ids.end(), token) != stop_.stop_token_ids.end();
}

void Sequence::finish(FinishReason reason, Status error) {
  if (finished()) return;
  if (!matcher_.matched()) event_.text += matcher_.push(stream_.finish());
  if (!matcher_.matched()) event_.text += matcher_.finish();
  has_event_ = true;
  event_.finished = true;
  event_.reason = reason_ = reason;
  event_.stop_match = matcher_.match();
  event_.error = std::move(error);

  const Clock::time_point now = Clock::now(), never{};
  Usage& usage = event_.usage;
  usage.prompt_tokens = prompt_tokens_;
  usage.completion_tokens = completion_tokens_;
  usage.cached_tokens = cached_tokens_;
  usage.drafted_tokens = drafted_tokens_;
  usage.accepted_tokens = accepted_tokens_;
  usage.seed = sampler_.seed();
  usage.queued_seconds = seconds(submitted_, scheduled_ == never ? now : scheduled_);
  if (scheduled_ != never) usage.prefill_seconds = seconds(scheduled_, first_token_ == never ? now : first_token_);
  if (first_token_ != never) usage.decode_seconds = seconds(first_token_, now);
}

void Sequence::explain_error(const std::string& cause) {
  if (has_event_ && reason_ == FinishReason::kError) event_.error = event_.error.with_context(cause);
}

std::optional<Event> Sequence::take_event() {
  if (!has_event_) return std::nullopt;
  has_event_ = false;
  event_.request = id_;
  event_.prompt_logprobs = std::exchange(prompt_logprobs_, {});
  if (states_seen_ == prompt_tokens_) event_.hidden = std::exchange(states_, {});
  const bool was_last = event_.finished;
  Event event = std::exchange(event_, {});
  event_.finished = was_last;
  return event;
}

}  // namespace ferrum
