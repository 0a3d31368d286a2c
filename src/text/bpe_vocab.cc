#include "text/bpe_vocab.h"

#include <algorithm>
#include <bit>
#include <random>

#include "base/quote.h"
#include "text/unicode.h"

namespace ferrum {
namespace {

bool is_spelled_as_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// By code point (below 0x144): the byte it spells, or -1.
constexpr size_t kSpellings = 256 + 68;
std::array<int16_t, kSpellings> make_spelling_table() {
  std::array<int16_t, kSpellings> table;
  table.fill(-1);
  int16_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const auto code_point = static_cast<size_t>(is_spelled_as_itself(byte) ? byte : next++);
    table[code_point] = static_cast<int16_t>(byte);
  }
  return table;
}

constexpr size_t kMergesAtATime = 16;

uint64_t process_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
  }();
  return seed;
}

}  // namespace

bool append_bytes_of_gpt2_spelling(std::string_view text, std::string& bytes) {
  static const auto table = make_spelling_table();
  for (size_t i = 0; i < text.size(); ++i) {
    auto value = static_cast<uint8_t>(text[i]);
    size_t code_point = value;
    if (value >= 0x80) {  // all that spell a byte have one or two bytes themselves
      if (value < 0xc2 || value > 0xdf || ++i == text.size()) return false;
      const auto next = static_cast<uint8_t>(text[i]);
      if ((next & 0xc0) != 0x80) return false;
      code_point = static_cast<size_t>(value & 0x1f) << 6 | (next & 0x3f);
    }
    if (code_point >= table.size() || table[code_point] < 0) return false;
    bytes += static_cast<char>(table[code_point]);
  }
  return true;
}

std::optional<std::string> bytes_of_gpt2_spelling(std::string_view text) {
  std::string bytes;
  if (!append_bytes_of_gpt2_spelling(text, bytes)) return std::nullopt;
  return bytes;
}

Result<BpeVocab> BpeVocab::create(const TokenizerSpec& spec) {
  BpeVocab vocab;
  vocab.symbols_ = StringIndex(spec.tokens.size() + 256);
  vocab.tokens_.reserve(spec.tokens.size() + 256);
  vocab.seed_ = process_seed();
  const size_t slots = std::bit_ceil(spec.merges.size() * 2 + 2);
  vocab.entries_.resize(slots);
  vocab.mask_ = slots - 1;
  for (size_t byte = 0; byte < 256; ++byte) {
    vocab.byte_symbols_[byte] = vocab.symbol_of(std::string(1, static_cast<char>(byte)));
  }
  std::string bytes;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    // Ordinary text must not become a control token, however it is spelled.
    const TokenType type = spec.types[i];
    if (type == TokenType::kControl || type == TokenType::kUnknown || type == TokenType::kByte) continue;
    bytes.clear();
    if (!append_bytes_of_gpt2_spelling(spec.tokens[i], bytes) || bytes.empty()) continue;
    vocab.tokens_[static_cast<size_t>(vocab.symbol_of(bytes))] = static_cast<TokenId>(i);
  }
  for (size_t rank = 0; rank < spec.merges.size(); rank += kMergesAtATime) {
    FERRUM_RETURN_IF_ERROR(vocab.add_merges(spec, rank));
  }
  return vocab;
}

TokenId BpeVocab::token_of(std::string_view bytes) const {
  const int32_t symbol = symbols_.find(bytes);
  return symbol < 0 ? -1 : token(symbol);
}

int32_t BpeVocab::symbol_of(std::string_view bytes) {
  const auto next = static_cast<int32_t>(tokens_.size());
  const int32_t symbol = symbols_.add(bytes, next, &texts_);
  if (symbol == next) tokens_.push_back(-1);
  return symbol;
}

// In three rounds, so that the memory of each is there when it is used: what the lines spell, its symbols, the pairs.
Status BpeVocab::add_merges(const TokenizerSpec& spec, size_t rank) {
  const size_t count = std::min(kMergesAtATime, spec.merges.size() - rank);
  std::array<SpelledMerge, kMergesAtATime> lines;
  for (size_t i = 0; i < count; ++i) {
    FERRUM_ASSIGN_OR_RETURN(lines[i], spell_merge(spec.merges[rank + i], rank + i));
    for (const std::string_view part : {lines[i].left(), lines[i].right(), lines[i].both()}) symbols_.warm(part);
  }
  std::array<Entry, kMergesAtATime> merges;
  for (size_t i = 0; i < count; ++i) {
    Entry& merge = merges[i];
    merge.left = symbol_of(lines[i].left());
    merge.right = symbol_of(lines[i].right());
    merge.merge = {static_cast<uint32_t>(rank + i), symbol_of(lines[i].both())};
    __builtin_prefetch(&entries_[hash(merge.left, merge.right)], 1);
  }
  for (size_t i = 0; i < count; ++i) insert(merges[i]);
  return Status::ok();
}

// "left right".
Result<BpeVocab::SpelledMerge> BpeVocab::spell_merge(std::string_view line, size_t rank) {
  const size_t space = line.find(' ', 1);
  SpelledMerge merge;
  bool spelled = line.size() <= 2 * kMaxTokenBytes && space != std::string_view::npos;
  if (spelled) {
    spelled = append_bytes_of_gpt2_spelling(line.substr(0, space), merge.bytes);
    merge.left_bytes = merge.bytes.size();
    spelled = spelled && append_bytes_of_gpt2_spelling(line.substr(space + 1), merge.bytes);
  }
  if (!spelled || merge.left().empty() || merge.right().empty()) {
    return corrupt("tokenizer.ggml.merges: merge " + std::to_string(rank) + " is " + quoted(line, 60) +
                   ", not two byte-level tokens with a space between");
  }
  return merge;
}

void BpeVocab::insert(const Entry& merge) {
  size_t slot = hash(merge.left, merge.right);
  while (entries_[slot].left >= 0) {
    const Entry& other = entries_[slot];
    if (other.left == merge.left && other.right == merge.right) return;  // the first, more important one stays
    slot = (slot + 1) & mask_;
  }
  entries_[slot] = merge;
}

}  // namespace ferrum
