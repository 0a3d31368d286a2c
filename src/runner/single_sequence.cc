#include "runner/single_sequence.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace ferrum {

Status SingleSequence::check_capacity(size_t count) const {
  const RunnerOptions& options = runner_.options();
  const auto slots = static_cast<size_t>(options.num_blocks) * static_cast<size_t>(options.block_size);
  if (count <= slots - static_cast<size_t>(length_)) return Status::ok();
  return capacity_exceeded("a sequence of " + std::to_string(static_cast<size_t>(length_) + count) +
                           " tokens does not fit the KV cache of " + std::to_string(slots));
}

// As many of the remaining tokens as a step takes, of which at most max_logits lie at logits_from or later.
int SingleSequence::step_size(int remaining, int logits_from) const {
  const int silent = std::clamp(logits_from - length_, 0, remaining);
  return std::min({remaining, runner_.options().max_tokens, silent + runner_.options().max_logits});
}

// `count` positions of the text from `begin` on.
Batch SingleSequence::make_batch(const InputText& text, size_t begin, int count, int logits_from) const {
  const int block_size = runner_.options().block_size;
  Batch batch;
  const auto tokens = text.tokens.subspan(begin, static_cast<size_t>(count));
  batch.tokens.assign(tokens.begin(), tokens.end());
  if (!text.embeddings.empty()) {
    const size_t first = text.rows_before(begin);
    const auto rows = text.rows(first, text.rows_before(begin + tokens.size()) - first);
    batch.embeddings.assign(rows.begin(), rows.end());
  }
  const int end = length_ + count;
  Row row{.seq = 0, .q_begin = 0, .q_len = count, .kv_len = end, .logit_begin = 0, .logit_count = 0};
  for (int i = 0; i < count; ++i) {
    batch.positions.push_back(length_ + i);
    batch.slots.push_back(length_ + i);  // block b is the sequence's b-th, so slot and position are one
    if (length_ + i >= logits_from) batch.logit_rows.push_back(i);
  }
  row.logit_count = batch.num_logits();
  batch.rows.push_back(row);
  batch.token_rows.assign(static_cast<size_t>(count), 0);
  batch.cu_q = {0, count};
  batch.kv_lens = {end};
  batch.max_blocks = (end + block_size - 1) / block_size;
  batch.block_tables.resize(static_cast<size_t>(batch.max_blocks));
  std::iota(batch.block_tables.begin(), batch.block_tables.end(), 0);
  return batch;
}

Status SingleSequence::run(const Batch& batch, const LogitSink& sink) {
  FERRUM_ASSIGN_OR_RETURN(const StepOutput output, runner_.run(batch));
  const int begin = length_;
  length_ += batch.num_tokens();
  for (int i = 0; i < batch.num_logits(); ++i) {
    const std::span<const float> row(output.logits.row<float>(i), static_cast<size_t>(output.logits.cols()));
    FERRUM_RETURN_IF_ERROR(sink(begin + batch.logit_rows[static_cast<size_t>(i)], row));
  }
  return Status::ok();
}

Status SingleSequence::check_tokens(std::span<const TokenId> tokens) const {
  FERRUM_RETURN_IF_ERROR(check_capacity(tokens.size()));
  const int64_t vocab = runner_.model().spec().vocab_size;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocab) continue;
    return invalid_argument("token " + std::to_string(i) + " is " + std::to_string(tokens[i]) +
                            "; this model's ids are 0 to " + std::to_string(vocab - 1));
  }
  return Status::ok();
}

Status SingleSequence::check_embeddings(std::span<const float> embeddings) const {
  if (embeddings.size() % hidden_size() != 0) {
    return invalid_argument("embeddings of " + std::to_string(embeddings.size()) +
                            " numbers are not whole rows of the model's " + std::to_string(hidden_size()));
  }
  return check_capacity(embeddings.size() / hidden_size());
}

template <typename Compute>
Status SingleSequence::in_steps(const InputText& text, int logits_from, const Compute& compute) {
  for (size_t begin = 0; begin < text.tokens.size();) {
    const int count = step_size(static_cast<int>(text.tokens.size() - begin), logits_from);
    FERRUM_RETURN_IF_ERROR(compute(make_batch(text, begin, count, logits_from)));
    begin += static_cast<size_t>(count);
  }
  return Status::ok();
}

Result<std::vector<float>> SingleSequence::states_of(const InputText& text, HiddenStates kind) {
  FERRUM_CHECK(kind != HiddenStates::kNone, "which hidden states?");
  std::vector<float> states;
  const int no_logits = length_ + static_cast<int>(text.tokens.size());
  FERRUM_RETURN_IF_ERROR(in_steps(text, no_logits, [&](Batch batch) -> Status {
    batch.rows[0].hidden = kind;
    FERRUM_ASSIGN_OR_RETURN(const StepOutput output, runner_.run(batch));
    states.insert(states.end(), output.hidden.as<float>(), output.hidden.as<float>() + output.hidden.elements());
    length_ += batch.num_tokens();
    return Status::ok();
  }));
  return states;
}

Status SingleSequence::append(std::span<const TokenId> tokens, int logits_from, const LogitSink& sink) {
  FERRUM_RETURN_IF_ERROR(check_tokens(tokens));
  return in_steps(tokens, logits_from, [&](const Batch& batch) { return run(batch, sink); });
}

Status SingleSequence::append_embeddings(std::span<const float> embeddings, int logits_from, const LogitSink& sink) {
  FERRUM_RETURN_IF_ERROR(check_embeddings(embeddings));
  const std::vector<TokenId> none(embeddings.size() / hidden_size(), kNoToken);
  return in_steps({none, embeddings, hidden_size()}, logits_from, [&](const Batch& batch) { return run(batch, sink); });
}

Result<std::vector<float>> SingleSequence::hidden_states(std::span<const TokenId> tokens, HiddenStates kind) {
  FERRUM_RETURN_IF_ERROR(check_tokens(tokens));
  return states_of(tokens, kind);
}

Result<std::vector<float>> SingleSequence::hidden_states_of_embeddings(std::span<const float> embeddings,
                                                                       HiddenStates kind) {
  FERRUM_RETURN_IF_ERROR(check_embeddings(embeddings));
  const std::vector<TokenId> none(embeddings.size() / hidden_size(), kNoToken);
  return states_of({none, embeddings, hidden_size()}, kind);
}

}  // namespace ferrum
