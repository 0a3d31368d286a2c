// A model and a tokenizer of a few lines, for tests of the engine: deterministic, without files, and strict about KV.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <thread>

#include "engine/step_runner.h"
#include "text/tokenizer.h"

namespace ferrum {

inline constexpr int kFakeVocab = 40;
inline constexpr TokenId kFakeEnd = 0;      // the model's end token
inline constexpr TokenId kFakePoison = 39;  // once it is in the text, logits become NaN ten positions later
inline constexpr size_t kFakeHidden = 4;

// The row of the fake model's embedding table; no row is another's with one bit changed.
inline std::vector<float> fake_embedding(TokenId token) {
  const auto t = static_cast<float>(token);
  return {t + 0.5f, -t, 1.0f / (t + 3), 7.0f};
}

// Pieces of one to three letters of {a, b, c}, and one character in two tokens: stop strings and UTF-8 fall across
// tokens.
class FakeTokenizer : public Tokenizer {
 public:
  Result<std::vector<TokenId>> encode(std::string_view, const EncodeOptions&) const override {
    return unsupported("the fake tokenizer only decodes");
  }
  std::string piece(TokenId token, bool with_special) const override {
    if (token == kFakeEnd) return with_special ? "<end>" : "";
    if (token == 1) return "\xc3";
    if (token == 2) return "\xa4";
    std::string text;
    for (int rest = token, n = token % 3; n >= 0; --n, rest /= 3) text += "abc"[rest % 3];
    return text;
  }
  std::string decode(std::span<const TokenId> tokens, bool with_special) const override {
    std::string text;
    for (const TokenId t : tokens) text += piece(t, with_special);
    return text;
  }
  int vocab_size() const override { return kFakeVocab; }
  bool is_special(TokenId token) const override { return token == kFakeEnd; }
  bool is_end(TokenId token) const override { return token == kFakeEnd; }
  std::optional<TokenId> bos() const override { return std::nullopt; }
  std::optional<TokenId> eos() const override { return kFakeEnd; }
  bool adds_bos() const override { return false; }
  std::optional<TokenId> find(std::string_view) const override { return std::nullopt; }
};

// Logits are a hash of all tokens up to the position. The hash of a prefix is what this model keeps in its "KV cache",
// at the slots and through the block tables of the batch: a wrong slot, table, length or a block in two hands gives
// other tokens. An embedding is the token whose row it equals, or else a token of its own. Can be told to fail at a
// step, to take time, and to repeat itself.
class FakeRunner : public StepRunner {
 public:
  FakeRunner(int num_blocks, int block_size)
      : block_size_(block_size), memory_(static_cast<size_t>(num_blocks * block_size)) {}

  int fail_at_step = -1;
  std::chrono::microseconds delay{0};
  float habit = 0;    // added to the logit of one token that the last one alone decides: text runs in circles
  uint64_t salt = 0;  // another one is another model, with the same habit

  TokenId nan_states_of = kNoToken;  // hidden states at this token are NaN

  std::string cause;  // of the NaN that a poison leads to

  std::string fault() const override { return cause; }
  int steps() const { return steps_; }

  Result<StepOutput> run(const Batch& batch) override {
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    for (const BlockCopy& copy : batch.copies) copy_block(copy);
    ids_ = ids_of(batch);
    for (int t = 0; t < batch.num_tokens(); ++t) store(batch, t);
    if (steps_++ == fail_at_step) return internal_error("the fake device fell over");
    logits_.resize(static_cast<size_t>(batch.num_logits()) * kFakeVocab);
    for (int i = 0; i < batch.num_logits(); ++i) fill(cell(batch, batch.logit_rows[static_cast<size_t>(i)], 0), i);
    StepOutput output{ConstView(logits_.data(), DType::kF32, {batch.num_logits(), kFakeVocab})};
    if (!find_states(batch)) return output;
    output.hidden = ConstView(states_.data(), DType::kF32, {batch.num_tokens(), int64_t{kFakeHidden}});
    return output;
  }

  static constexpr size_t kTokenBytes = 16;  // of a token's KV
  // Blocks that can be read and written before that fails; -1: as many as one likes.
  mutable int copies_until_failure = -1;
  Status read_block(BlockId block, std::byte* to) const override {
    if (copies_until_failure >= 0 && copies_until_failure-- == 0)
      return internal_error("the fake device copies no more");
    std::memcpy(to, memory_.data() + block * block_size_, kTokenBytes * static_cast<size_t>(block_size_));
    return Status::ok();
  }
  Status write_block(BlockId block, const std::byte* from) override {
    if (copies_until_failure >= 0 && copies_until_failure-- == 0) {
      std::memset(static_cast<void*>(memory_.data() + block * block_size_), 0x5a, kTokenBytes);  // half of something
      return internal_error("the fake device copies no more");
    }
    std::memcpy(memory_.data() + block * block_size_, from, kTokenBytes * static_cast<size_t>(block_size_));
    return Status::ok();
  }

 private:
  struct Cell {
    uint64_t hash = 0;
    int poison = 0;  // tokens since the poison, if there was one
    TokenId last = 0;
  };
  static_assert(sizeof(Cell) == kTokenBytes);

  static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  // The cell of the token `back` positions before token t of the batch, found as attention finds it.
  const Cell& cell(const Batch& b, int t, int back) const {
    const int p = b.positions[static_cast<size_t>(t)] - back;
    const int table = b.token_rows[static_cast<size_t>(t)] * b.max_blocks;
    const BlockId block = b.block_tables[static_cast<size_t>(table + p / block_size_)];
    return memory_[static_cast<size_t>(block * block_size_ + p % block_size_)];
  }
  void copy_block(const BlockCopy& copy) {
    std::copy_n(memory_.begin() + copy.from * block_size_, block_size_, memory_.begin() + copy.to * block_size_);
  }
  static uint64_t id_of(std::span<const float> embedding) {
    uint64_t hash = 0;
    for (const float x : embedding) hash = mix(hash + std::bit_cast<uint32_t>(x) + 1);
    for (TokenId t = 0; t < kFakeVocab; ++t) {
      if (std::ranges::equal(fake_embedding(t), embedding)) return static_cast<uint64_t>(t);
    }
    return hash | (uint64_t{1} << 63);
  }
  static std::vector<uint64_t> ids_of(const Batch& b) {
    std::vector<uint64_t> ids;
    size_t row = 0;
    for (const TokenId token : b.tokens) {
      const bool embedded = token == kNoToken;
      ids.push_back(embedded ? id_of(std::span(b.embeddings).subspan(row * kFakeHidden, kFakeHidden))
                             : static_cast<uint64_t>(token));
      row += embedded ? 1 : 0;
    }
    EXPECT_EQ(row * kFakeHidden, b.embeddings.size());
    return ids;
  }
  // A function of the prefix and of what is wanted; NaN where nobody wants any.
  bool find_states(const Batch& b) {
    states_.clear();
    bool wanted = false;
    for (int t = 0; t < b.num_tokens(); ++t) {
      const HiddenStates kind = b.rows[static_cast<size_t>(b.token_rows[static_cast<size_t>(t)])].hidden;
      wanted |= kind != HiddenStates::kNone;
      for (size_t i = 0; i < kFakeHidden; ++i) {
        const uint64_t hash = mix(cell(b, t, 0).hash + i + (kind == HiddenStates::kPreNorm ? 100u : 200u));
        const bool number = kind != HiddenStates::kNone && cell(b, t, 0).last != nan_states_of;
        states_.push_back(number ? static_cast<float>(hash % 1000) / 7 : std::nanf(""));
      }
    }
    return wanted;
  }
  void store(const Batch& b, int t) {
    const uint64_t token = ids_[static_cast<size_t>(t)];
    const Cell before = b.positions[static_cast<size_t>(t)] == 0 ? Cell{} : cell(b, t, 1);
    Cell& now = memory_[static_cast<size_t>(b.slots[static_cast<size_t>(t)])];
    now.hash = mix(before.hash + token * 0x9e3779b97f4a7c15u + 1);
    now.last = static_cast<TokenId>(token);
    now.poison = token == kFakePoison ? 1 : before.poison > 0 ? before.poison + 1 : 0;
  }
  void fill(const Cell& c, int row) {
    const auto favourite = 3 + static_cast<int>(mix(static_cast<uint64_t>(c.last) + 1) % 30);
    for (int i = 0; i < kFakeVocab; ++i) {
      float& logit = logits_[static_cast<size_t>(row * kFakeVocab + i)];
      logit = static_cast<float>(mix(c.hash + static_cast<uint64_t>(i) + 7 + salt) % 1000) / 200.0f;
      if (i == favourite) logit += habit;
      if (i == kFakePoison) logit = -std::numeric_limits<float>::infinity();
      if (c.poison > 10) logit = std::nanf("");
    }
  }

  const int block_size_;
  std::vector<Cell> memory_;
  std::vector<uint64_t> ids_;  // what the step's tokens or embeddings are
  std::vector<float> logits_, states_;
  int steps_ = 0;
};

// Everything one request was told.
struct Heard {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<PositionLogprobs> logprobs, prompt_logprobs;
  std::vector<float> hidden;
  int events = 0;
  Event last;

  void operator()(Event e) {
    ++events;
    text += e.text;
    tokens.insert(tokens.end(), e.tokens.begin(), e.tokens.end());
    logprobs.insert(logprobs.end(), e.logprobs.begin(), e.logprobs.end());
    prompt_logprobs.insert(prompt_logprobs.end(), e.prompt_logprobs.begin(), e.prompt_logprobs.end());
    hidden.insert(hidden.end(), e.hidden.begin(), e.hidden.end());
    last = std::move(e);
  }
};

}  // namespace ferrum
