// Which steps a benchmark consists of: plain arithmetic, without a model.
#pragma once

#include <string>
#include <vector>

#include "types/batch.h"

namespace ferrum {

// With `depth` tokens in the cache of each of `parallel` sequences: read a prompt of `prompt` tokens, then generate
// `generate` tokens, all sequences together.
struct BenchTest {
  int prompt = 0;
  int generate = 0;
  int depth = 0;
  int parallel = 1;

  int context() const { return depth + prompt + generate; }
  int64_t tokens() const { return int64_t{parallel} * (prompt + generate); }  // that a rate counts
  std::string name() const;                                                   // "pp512", "tg128 @ d4096", "pp256+tg128"
};

// A sequence's part of a step: its tokens at the positions [begin, begin + count).
struct BenchPiece {
  int sequence = 0;
  int begin = 0;
  int count = 0;
  bool wants_logits = false;  // of the last of them
};
using BenchStep = std::vector<BenchPiece>;

// A prompt of `count` tokens for each sequence, from position `begin` on, in steps of at most `step_tokens` tokens, one
// sequence after the other. Only a prompt's last token wants logits.
std::vector<BenchStep> prompt_steps(int begin, int count, int parallel, int step_tokens);
// `count` steps of one token for each sequence; parallel must not exceed the tokens of a step.
std::vector<BenchStep> generate_steps(int begin, int count, int parallel);
// What is timed.
std::vector<BenchStep> timed_steps(const BenchTest& test, int step_tokens);

// Where sequences lie: each has the blocks [i * blocks_per_sequence, (i + 1) * blocks_per_sequence).
struct BenchLayout {
  int block_size = 16;
  int blocks_per_sequence = 0;
  int64_t vocab = 0;
};

// The step as the runner takes it. A token is a function of sequence and position, spread over the vocabulary.
Batch bench_batch(const BenchStep& step, const BenchLayout& layout);

}  // namespace ferrum
