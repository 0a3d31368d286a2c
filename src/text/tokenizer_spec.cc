#include "text/tokenizer_spec.h"

#include <array>
#include <cctype>
#include <cmath>
#include <string_view>

#include "base/log.h"
#include "base/quote.h"
#include "io/gguf.h"
#include "text/pretokenizer.h"
#include "text/string_index.h"

namespace ferrum {
namespace {

std::string key(std::string_view name) { return "tokenizer.ggml." + std::string(name); }

Status corrupt_key(std::string_view name, const std::string& problem) { return corrupt(key(name) + ": " + problem); }

Result<TokenizerModel> model_of(std::string_view name) {
  if (name == "gpt2") return TokenizerModel::kByteBpe;
  if (name == "llama") return TokenizerModel::kSentencePiece;
  if (name == "bert") return TokenizerModel::kWordPiece;
  return unsupported(key("model") + " is " + quoted(name) +
                     "; this build has gpt2 (byte-level BPE), llama (SentencePiece) and bert (WordPiece)");
}

// The value of a special id; 2^32-1 and -1 are how converters write "there is none".
Status read_id(const Gguf& file, std::string_view name, size_t vocab, std::optional<TokenId>& id) {
  FERRUM_ASSIGN_OR_RETURN(const auto value, file.get_int(key(name)));
  if (!value) {
    if (id && static_cast<size_t>(*id) >= vocab) id.reset();  // a default that this vocabulary does not reach
    return Status::ok();
  }
  if (*value == -1 || *value == 0xffffffff) {
    id.reset();
    return Status::ok();
  }
  if (*value < 0 || static_cast<uint64_t>(*value) >= vocab) {
    return corrupt_key(
        name, "id " + std::to_string(*value) + " is outside the vocabulary of " + std::to_string(vocab) + " tokens");
  }
  id = static_cast<TokenId>(*value);
  return Status::ok();
}

Status read_flag(const Gguf& file, std::string_view name, bool& flag) {
  FERRUM_ASSIGN_OR_RETURN(const auto value, file.get_bool(key(name)));
  if (value) flag = *value;
  return Status::ok();
}

Status read_vocabulary(const Gguf& file, TokenizerSpec& spec) {
  FERRUM_ASSIGN_OR_RETURN(const std::vector<std::string>* const tokens, file.get_strings(key("tokens")));
  if (tokens == nullptr) return not_found(key("tokens") + " is missing: the file has no vocabulary");
  spec.tokens = *tokens;

  FERRUM_ASSIGN_OR_RETURN(const auto types, file.get_ints(key("token_type")));
  if (types) {
    spec.types.reserve(types->size());
    for (size_t i = 0; i < types->size(); ++i) {
      const int64_t type = (*types)[i];
      if (type < 0 || type > static_cast<int64_t>(TokenType::kByte)) {
        return corrupt_key("token_type",
                           "token " + std::to_string(i) + " has type " + std::to_string(type) + "; types are 1 to 6");
      }
      // 0, "undefined", is what converters write for padding of the vocabulary.
      spec.types.push_back(type == 0 ? TokenType::kUnused : static_cast<TokenType>(type));
    }
  } else {
    spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  }

  if (spec.model == TokenizerModel::kSentencePiece) {
    FERRUM_ASSIGN_OR_RETURN(const auto scores, file.get_floats(key("scores")));
    if (!scores) return not_found(key("scores") + " is missing: SentencePiece merges by score");
    spec.scores.assign(scores->begin(), scores->end());
  }
  if (spec.model == TokenizerModel::kByteBpe) {
    FERRUM_ASSIGN_OR_RETURN(const std::vector<std::string>* const merges, file.get_strings(key("merges")));
    if (merges == nullptr) return not_found(key("merges") + " is missing: byte-level BPE needs its merge list");
    spec.merges = *merges;
  }
  return Status::ok();
}

// What the reference implementations assume where a file is silent.
void set_defaults(TokenizerSpec& spec) {
  switch (spec.model) {
    case TokenizerModel::kByteBpe:
      if (const PreTokenizerRecipe* recipe = find_pretokenizer(spec.pre)) spec.add_bos = recipe->add_bos;
      break;
    case TokenizerModel::kSentencePiece:
      spec.unk = 0;
      spec.bos = 1;
      spec.eos = 2;
      spec.add_bos = true;
      spec.space_prefix = SpacePrefix::kEveryFragment;
      break;
    case TokenizerModel::kWordPiece:
      spec.pad = 0;
      spec.unk = 100;
      spec.cls = 101;
      spec.sep = 102;
      spec.mask = 103;
      spec.add_bos = true;
      spec.add_sep = true;
      break;
  }
}

Status read_special_ids(const Gguf& file, TokenizerSpec& spec) {
  const std::array<std::pair<std::string_view, std::optional<TokenId>*>, 10> ids = {{
      {"bos_token_id", &spec.bos},
      {"eos_token_id", &spec.eos},
      {"eot_token_id", &spec.eot},
      {"eom_token_id", &spec.eom},
      {"unknown_token_id", &spec.unk},
      {"seperator_token_id", &spec.sep},  // the format spells it so
      {"padding_token_id", &spec.pad},
      {"cls_token_id", &spec.cls},
      {"mask_token_id", &spec.mask},
      {"separator_token_id", &spec.sep},
  }};
  for (const auto& [name, id] : ids) FERRUM_RETURN_IF_ERROR(read_id(file, name, spec.tokens.size(), *id));
  if (spec.model == TokenizerModel::kWordPiece && !spec.bos) spec.bos = spec.cls;
  return Status::ok();
}

Status read_flags(const Gguf& file, TokenizerSpec& spec) {
  for (const auto& [name, flag, id] :
       {std::tuple{"add_bos_token", &spec.add_bos, &spec.bos}, std::tuple{"add_eos_token", &spec.add_eos, &spec.eos},
        std::tuple{"add_sep_token", &spec.add_sep, &spec.sep}}) {
    FERRUM_ASSIGN_OR_RETURN(const auto said, file.get_bool(key(name)));
    if (said.value_or(false) && !*id) return corrupt_key(name, "is true, but the file names no such token");
    *flag = said.value_or(*flag) && id->has_value();
  }
  bool prefix = spec.space_prefix != SpacePrefix::kNever;
  FERRUM_RETURN_IF_ERROR(read_flag(file, "add_space_prefix", prefix));
  if (spec.model == TokenizerModel::kSentencePiece) {
    spec.space_prefix = prefix ? SpacePrefix::kEveryFragment : SpacePrefix::kNever;
  } else if (prefix) {
    return unsupported(key("add_space_prefix") + " is true, which this build knows for SentencePiece (llama) only");
  }
  bool collapse = false;
  FERRUM_RETURN_IF_ERROR(read_flag(file, "remove_extra_whitespaces", collapse));
  if (collapse && spec.model == TokenizerModel::kSentencePiece) {
    return unsupported(key("remove_extra_whitespaces") + " is true; this build keeps all white space");
  }
  FERRUM_RETURN_IF_ERROR(read_flag(file, "normalizer.lowercase", spec.lowercase));
  spec.strip_accents = spec.lowercase;  // BERT's rule when it is not said
  return read_flag(file, "normalizer.strip_accents", spec.strip_accents);
}

// lstrip / rstrip are not in GGUF; these are the published ones of the models that have them.
void set_stripping(TokenizerSpec& spec) {
  std::string name = spec.model_name;
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto names = [&name](std::string_view part) { return name.find(part) != std::string::npos; };
  const bool is_phi3 = names("phi-3") || names("phi3");
  const bool masks = spec.pre.rfind("jina-v2-", 0) == 0 || names("modern-bert");
  for (size_t i = 0; (is_phi3 || masks) && i < spec.tokens.size() && i < spec.types.size(); ++i) {
    const std::string& text = spec.tokens[i];
    const TokenType type = spec.types[i];
    const bool special = type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown;
    const auto id = static_cast<TokenId>(i);
    if (is_phi3 && special && text != "<unk>" && text != "<s>" && text != "<|endoftext|>") {
      spec.strip_right.push_back(id);
    }
    if (masks && special && (text == "<mask>" || text == "[MASK]")) spec.strip_left.push_back(id);
  }
}

Status check_tokens(const TokenizerSpec& spec) {
  StringIndex seen(spec.tokens.size());
  size_t special_bytes = 0;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (i + kLookAhead < spec.tokens.size()) seen.warm(spec.tokens[i + kLookAhead]);
    const std::string& text = spec.tokens[i];
    if (text.size() > kMaxTokenBytes) {
      return unsupported(key("tokens") + ": token " + std::to_string(i) + " is " + std::to_string(text.size()) +
                         " bytes long; the limit is " + std::to_string(kMaxTokenBytes));
    }
    if (text.empty()) continue;  // a hole in the vocabulary; nothing encodes to it
    const auto id = static_cast<TokenId>(i);
    if (const TokenId first = seen.add(text, id); first != id) {
      return corrupt_key(
          "tokens", "tokens " + std::to_string(first) + " and " + std::to_string(i) + " are both " + quoted(text, 40));
    }
    if (spec.types[i] != TokenType::kNormal && spec.types[i] != TokenType::kByte) special_bytes += text.size();
  }
  if (special_bytes > kMaxSpecialBytes) {
    return unsupported(key("tokens") + ": the special tokens are " + std::to_string(special_bytes) +
                       " bytes together; the limit is " + std::to_string(kMaxSpecialBytes));
  }
  return Status::ok();
}

}  // namespace

Status validate(const TokenizerSpec& spec) {
  const size_t size = spec.tokens.size();
  if (size == 0) return corrupt_key("tokens", "the vocabulary is empty");
  if (size > kMaxVocabSize) {
    return unsupported(key("tokens") + ": " + std::to_string(size) + " tokens; the limit is " +
                       std::to_string(kMaxVocabSize));
  }
  if (spec.types.size() != size) {
    return corrupt_key("token_type",
                       std::to_string(spec.types.size()) + " types for " + std::to_string(size) + " tokens");
  }
  if (spec.model == TokenizerModel::kSentencePiece) {
    if (spec.scores.size() != size) {
      return corrupt_key("scores",
                         std::to_string(spec.scores.size()) + " scores for " + std::to_string(size) + " tokens");
    }
    for (size_t i = 0; i < size; ++i) {
      if (std::isnan(spec.scores[i])) return corrupt_key("scores", "token " + std::to_string(i) + " has score NaN");
    }
  }
  for (const auto& id : {spec.bos, spec.eos, spec.eot, spec.eom, spec.unk, spec.sep, spec.pad, spec.cls, spec.mask}) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= size)) {
      return corrupt("tokenizer: special token id " + std::to_string(*id) + " is outside the vocabulary of " +
                     std::to_string(size) + " tokens");
    }
  }
  for (const auto& ids : {spec.strip_left, spec.strip_right}) {
    for (const TokenId id : ids) {
      if (id < 0 || static_cast<size_t>(id) >= size) {
        return corrupt("tokenizer: id " + std::to_string(id) + " of a stripping token is outside the vocabulary");
      }
    }
  }
  if ((spec.add_bos && !spec.bos) || (spec.add_eos && !spec.eos) || (spec.add_sep && !spec.sep)) {
    return corrupt("tokenizer: a BOS, EOS or SEP token is to be added, but there is none");
  }
  if (spec.model == TokenizerModel::kByteBpe && find_pretokenizer(spec.pre) == nullptr) {
    return unsupported(key("pre") + ": unknown pre-tokenizer " + quoted(spec.pre) + "; known are " +
                       pretokenizer_names() + ". A newer version of this program may know it");
  }
  return check_tokens(spec);
}

Result<TokenizerSpec> read_tokenizer_spec(const Gguf& file) {
  TokenizerSpec spec;
  FERRUM_ASSIGN_OR_RETURN(const auto model, file.get_string(key("model")));
  if (!model) return not_found(key("model") + " is missing: the file has no tokenizer");
  FERRUM_ASSIGN_OR_RETURN(spec.model, model_of(*model));
  FERRUM_ASSIGN_OR_RETURN(const auto pre, file.get_string(key("pre")));
  if (pre) {
    spec.pre = *pre;
  } else if (spec.model == TokenizerModel::kByteBpe) {
    // Not a guess: the key is newer than the format, and a file without it means the first there was.
    spdlog::warn("{} is missing: using '{}'; if answers are odd, convert the model again", key("pre"), spec.pre);
  }
  FERRUM_ASSIGN_OR_RETURN(const auto name, file.get_string("general.name"));
  spec.model_name = name.value_or("");

  FERRUM_RETURN_IF_ERROR(read_vocabulary(file, spec));
  set_defaults(spec);
  FERRUM_RETURN_IF_ERROR(read_special_ids(file, spec));
  FERRUM_RETURN_IF_ERROR(read_flags(file, spec));
  FERRUM_RETURN_IF_ERROR(validate(spec));
  set_stripping(spec);
  return spec;
}

}  // namespace ferrum
