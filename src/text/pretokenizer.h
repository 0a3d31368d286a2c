// Cutting text into the words that byte-level BPE merges within. Every published tokenizer has its own regexes; GGUF
// files name them (`tokenizer.ggml.pre`), and the table in pretokenizer_table.cc says what each name means.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ferrum {

// One step. It takes a piece of text apart into its matches and what lies between them; the next step then sees each of
// these alone, so that "end of text" in a lookahead is the end of the piece (Hugging Face's Split, "Isolated").
struct PreTokenizerStage {
  enum class Kind {
    kRegex,
    // Runs of digits cut into threes from their right end, as thousands are written. The regexes that say this scan the
    // rest of the run at each position; these do the same in linear time.
    kTriplesBefore,    // (?=(\d{3})+(?!\d)): cuts before each triple
    kTriplesIsolated,  // \d{1,3}(?=(?:\d{3})*\b): cuts out the groups, but not of a run that a word character follows
    kNumberTriples,    // groups of \p{N}, cut out whatever follows
  };
  Kind kind = Kind::kRegex;
  const char* pattern = nullptr;  // kRegex: as published; \s and \S mean Unicode's White_Space
};

struct PreTokenizerRecipe {
  std::span<const PreTokenizerStage> stages;
  bool ignore_merges = false;  // a word that is a token as a whole is that token, whatever the merges would make of it
  bool add_bos = false;        // when the file does not say
  bool nfc = false;            // the published tokenizer composes the text first (UAX #15)
};

// The recipe of a name; nullptr if it is unknown.
const PreTokenizerRecipe* find_pretokenizer(std::string_view name);
// All known names, in order: "a, b, c".
std::string pretokenizer_names();
std::vector<std::string_view> pretokenizer_name_list();

// Compiled stages. Immutable; usable from any thread.
class PreTokenizer {
 public:
  static Result<PreTokenizer> create(const PreTokenizerRecipe& recipe);
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  using Sink = std::function<Status(std::string_view word)>;

  // Gives the words of text (valid UTF-8) to the sink, in order; together they are the text. Stops at the sink's first
  // failure. kCapacity if the regex engine gives up, which none of the patterns in the table should make it do.
  Status split(std::string_view text, const Sink& sink) const;

 private:
  class Stage;
  PreTokenizer();
  Status run(size_t stage, std::string_view text, const Sink& sink, void* match) const;

  std::vector<std::unique_ptr<Stage>> stages_;
};

}  // namespace ferrum
