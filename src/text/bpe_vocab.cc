#include "text/bpe_vocab.h"

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

uint64_t process_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
  }();
  return seed;
}

}  // namespace

std::optional<std::string> bytes_of_gpt2_spelling(std::string_view text) {
  static const auto table = make_spelling_table();
  if (find_invalid_utf8(text)) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    if (c.value >= table.size() || table[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(table[c.value]);
    i += c.length;
  }
  return bytes;
}

Result<BpeVocab> BpeVocab::create(const TokenizerSpec& spec) {
  BpeVocab vocab;
  vocab.seed_ = process_seed();
  const size_t slots = std::bit_ceil(spec.merges.size() * 2 + 2);
  vocab.entries_.resize(slots);
  vocab.mask_ = slots - 1;
  for (size_t byte = 0; byte < 256; ++byte) {
    vocab.byte_symbols_[byte] = vocab.symbol_of(std::string(1, static_cast<char>(byte)));
  }
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    // Ordinary text must not become a control token, however it is spelled.
    const TokenType type = spec.types[i];
    if (type == TokenType::kControl || type == TokenType::kUnknown || type == TokenType::kByte) continue;
    auto bytes = bytes_of_gpt2_spelling(spec.tokens[i]);
    if (!bytes || bytes->empty()) continue;
    vocab.tokens_[static_cast<size_t>(vocab.symbol_of(std::move(*bytes)))] = static_cast<TokenId>(i);
  }
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    FERRUM_RETURN_IF_ERROR(vocab.add_merge(spec.merges[rank], rank));
  }
  return vocab;
}

TokenId BpeVocab::token_of(std::string_view bytes) const {
  const auto found = symbols_.find(std::string(bytes));
  return found == symbols_.end() ? -1 : token(found->second);
}

int32_t BpeVocab::symbol_of(std::string bytes) {
  const auto [entry, is_new] = symbols_.emplace(std::move(bytes), static_cast<int32_t>(tokens_.size()));
  if (is_new) tokens_.push_back(-1);
  return entry->second;
}

Status BpeVocab::add_merge(std::string_view line, size_t rank) {
  const size_t space = line.find(' ', 1);
  std::optional<std::string> left, right;
  if (line.size() <= 2 * kMaxTokenBytes && space != std::string_view::npos) {
    left = bytes_of_gpt2_spelling(line.substr(0, space));
    right = bytes_of_gpt2_spelling(line.substr(space + 1));
  }
  if (!left || !right || left->empty() || right->empty()) {
    return corrupt("tokenizer.ggml.merges: merge " + std::to_string(rank) + " is " + quoted(line, 60) +
                   ", not two byte-level tokens with a space between");
  }
  const int32_t left_symbol = symbol_of(*left);
  const int32_t right_symbol = symbol_of(*right);
  insert(left_symbol, right_symbol, {static_cast<uint32_t>(rank), symbol_of(*left + *right)});
  return Status::ok();
}

void BpeVocab::insert(int32_t left, int32_t right, Merge merge) {
  size_t slot = hash(left, right);
  while (entries_[slot].left >= 0) {
    if (entries_[slot].left == left && entries_[slot].right == right) return;  // the first, more important one stays
    slot = (slot + 1) & mask_;
  }
  entries_[slot] = {left, right, merge};
}

}  // namespace ferrum
