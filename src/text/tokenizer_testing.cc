#include "text/tokenizer_testing.h"

#include <cstring>
#include <fstream>
#include <sstream>
#include <unordered_map>

#include "text/unicode.h"

namespace ferrum::testing_data {
namespace {

std::string from_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(kAlphabet.find(c));
    count += 6;
    if (count >= 8) out += static_cast<char>(bits >> (count -= 8));
  }
  return out;
}

using Ranks = std::unordered_map<std::string, int>;

// The last two parts of `token` under merging with the ranks below its own.
std::pair<std::string, std::string> last_two_parts(const std::string& token, const Ranks& ranks, int below) {
  std::vector<std::string> parts;
  for (const char c : token) parts.emplace_back(1, c);
  while (parts.size() > 2) {
    size_t best = parts.size();
    int best_rank = below;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find(parts[i] + parts[i + 1]);
      if (found != ranks.end() && found->second < best_rank) {
        best = i;
        best_rank = found->second;
      }
    }
    if (best == parts.size()) return {};
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  return {parts[0], parts[1]};
}

uint64_t read_varint(std::string_view data, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0; at < data.size(); shift += 7) {
    const auto byte = static_cast<uint8_t>(data[at++]);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

struct Field {
  uint64_t number = 0, value = 0;
  std::string_view bytes;
};

// Fields of a protobuf message: varints, 32-bit and length-delimited ones, which is all that the format has.
std::vector<Field> fields_of(std::string_view message) {
  std::vector<Field> fields;
  for (size_t at = 0; at < message.size();) {
    const uint64_t tag = read_varint(message, at);
    Field field{tag >> 3, 0, {}};
    const size_t length = (tag & 7) == 2 ? read_varint(message, at) : (tag & 7) == 5 ? 4 : (tag & 7) == 1 ? 8 : 0;
    if ((tag & 7) == 0) field.value = read_varint(message, at);
    field.bytes = message.substr(std::min(at, message.size()), length);
    at += length;
    fields.push_back(field);
  }
  return fields;
}

}  // namespace

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at; (at = text.find(separator, begin)) != std::string::npos; begin = at + separator.size()) {
    parts.push_back(text.substr(begin, at - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

nlohmann::json read_json(const std::string& path) { return nlohmann::json::parse(read_file(path)); }

std::string gpt2_spelling(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    const auto is_itself = [](int b) { return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae; };
    char32_t code_point = byte;
    if (!is_itself(byte)) {
      code_point = 256;
      for (int b = 0; b < byte; ++b) code_point += !is_itself(b);
    }
    append_utf8(code_point, out);
  }
  return out;
}

TokenizerSpec spec_of_tiktoken(const std::string& path, const std::string& pre) {
  TokenizerSpec spec;
  spec.pre = pre;
  Ranks ranks;
  std::vector<std::string> tokens;
  for (const std::string& line : split(read_file(path), "\n")) {
    const size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    tokens.push_back(from_base64(std::string_view(line).substr(0, space)));
    ranks.emplace(tokens.back(), static_cast<int>(ranks.size()));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    spec.tokens.push_back(gpt2_spelling(tokens[i]));
    if (tokens[i].size() < 2) continue;
    const auto [left, right] = last_two_parts(tokens[i], ranks, static_cast<int>(i));
    spec.merges.push_back(gpt2_spelling(left) + " " + gpt2_spelling(right));
  }
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  return spec;
}

TokenizerSpec spec_of_sentencepiece(const std::string& path) {
  TokenizerSpec spec;
  spec.model = TokenizerModel::kSentencePiece;
  spec.unk = 0;
  spec.bos = 1;
  spec.eos = 2;
  spec.add_bos = true;
  const std::string file = read_file(path);
  for (const Field& field : fields_of(file)) {
    if (field.number != 1) continue;
    std::string text;
    float score = 0;
    auto type = TokenType::kNormal;
    for (const Field& part : fields_of(field.bytes)) {
      if (part.number == 1) text = part.bytes;
      if (part.number == 2) std::memcpy(&score, part.bytes.data(), sizeof(score));
      if (part.number == 3) type = static_cast<TokenType>(part.value);  // the two formats number types alike
    }
    spec.tokens.push_back(text);
    spec.scores.push_back(score);
    spec.types.push_back(type);
  }
  return spec;
}

TokenizerSpec spec_of_hf_bpe(const std::string& path, const std::string& pre) {
  TokenizerSpec spec;
  spec.pre = pre;
  const auto json = read_json(path);
  const auto& vocab = json["model"]["vocab"];
  spec.tokens.resize(vocab.size());
  for (const auto& [text, id] : vocab.items()) spec.tokens.at(id.get<size_t>()) = text;
  for (const auto& merge : json["model"]["merges"]) {
    spec.merges.push_back(merge.is_string() ? merge.get<std::string>()
                                            : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  for (const auto& added : json["added_tokens"]) {
    spec.types.at(added["id"].get<size_t>()) =
        added["special"].get<bool>() ? TokenType::kControl : TokenType::kUserDefined;
  }
  return spec;
}

}  // namespace ferrum::testing_data
