// The one table of pre-tokenizer names. The names are those that GGUF converters write to tokenizer.ggml.pre; the
// regexes are those of the models' published tokenizer.json files (their "pre_tokenizer" sections, without the
// ByteLevel step that src/text/bpe.cc does). Where a file's published regex is not known to us, it is what llama.cpp
// uses for the name.
#include <algorithm>
#include <array>

#include "text/pretokenizer.h"

namespace ferrum {
namespace {

using Stage = PreTokenizerStage;
using Kind = PreTokenizerStage::Kind;

constexpr Stage regex(const char* pattern) { return {Kind::kRegex, pattern}; }

// --- the regexes -----------------------------------------------------------------------------------------------------

constexpr char kGpt2Regex[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// cl100k (GPT-4) and its descendants differ in how many digits stay together, and in details of the other classes.
#define FERRUM_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define FERRUM_SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define FERRUM_CL100K(digits) \
  FERRUM_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|)" FERRUM_SPACES

constexpr char kLlama3Regex[] = FERRUM_CL100K(R"(\p{N}{1,3})");
constexpr char kQwen2Regex[] = FERRUM_CL100K(R"(\p{N})");
constexpr char kMiniCpm5Regex[] = FERRUM_CL100K(R"(\p{N}+)");
constexpr char kQwen35Regex[] =
    FERRUM_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" FERRUM_SPACES;
constexpr char kSeedCoderRegex[] =
    FERRUM_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" FERRUM_SPACES;
// The look-behind at \s*[\r\n]+ is ours: within a run of spaces that the pieces of fixed length below cut up, what
// follows has been searched for a newline already; to search it again at each piece would be quadratic.
constexpr char kJais2Regex[] = FERRUM_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|(?<!(?=\s)[^\r\n])\s*[\r\n]+)"
    R"(|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S))"
    R"(|\s{1,2}(?!\S)|\s)";
constexpr char kBailingRegex[] =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
// Possessive where the published one is greedy: nothing follows the group, so it matches the same without backtracking.
constexpr char kExaoneMoeRegex[] = FERRUM_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)";

// o200k (GPT-4o): words also break where lower case turns to upper case.
#define FERRUM_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define FERRUM_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define FERRUM_O200K(upper, lower, contractions, digits, tail)                                                       \
  R"([^\r\n\p{L}\p{N}]?)" upper "*" lower "+" contractions R"(|[^\r\n\p{L}\p{N}]?)" upper "+" lower "*" contractions \
  "|" digits R"(| ?[^\s\p{L}\p{N}]+)" tail "|" FERRUM_SPACES

constexpr char kGpt4oRegex[] =
    FERRUM_O200K(FERRUM_UPPER, FERRUM_LOWER, FERRUM_CONTRACTIONS "?", R"(\p{N}{1,3})", R"([\r\n/]*)");
constexpr char kTekkenRegex[] = FERRUM_O200K(FERRUM_UPPER, FERRUM_LOWER, "", R"(\p{N})", R"([\r\n/]*)");
constexpr char kYoutuRegex[] =
    FERRUM_O200K(FERRUM_UPPER, FERRUM_LOWER, FERRUM_CONTRACTIONS "?", R"(\p{N})", R"([\r\n/]*)");
// Kimi K2 publishes class intersections, [\p{Lu}..\p{M}&&[^\p{Han}]]; here as the complement of the other categories.
// PCRE2's plain \p{Han} would be the script's extensions, with CJK punctuation.
constexpr char kKimiK2Regex[] = R"(\p{sc:Han}+|)" FERRUM_O200K(R"([^\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}])",
                                                               R"([^\p{Lu}\p{Lt}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}])",
                                                               FERRUM_CONTRACTIONS "?", R"(\p{N}{1,3})", R"([\r\n]*)");

constexpr char kDeepSeekV3Regex[] = R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)"
                                    R"(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|)" FERRUM_SPACES;

constexpr char kCjkAndKana[] = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr char kDeepSeekCjk[] = R"([\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
// The cased letters of the scripts that have case, as DeepSeek LLM lists them.
constexpr char kDeepSeekLetters[] =
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5})"
    R"(\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD})"
    R"(\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15})"
    R"(\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D})"
    R"(\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB})"
    R"(\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D})"
    R"(\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E})"
    R"(\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D})"
    R"(\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06})"
    R"(\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB})"
    R"(\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr char kDeepSeekPunctuation[] =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)";
// Published as \s+$, which a search would try at each space of a long run.
constexpr char kTrailingSpaces[] = R"((?<!\s)\s++$)";
constexpr char kBloomRegex[] = R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)";
constexpr char kYoutuScripts[] =
    R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A}\x{FF1B})"
    R"(\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+)"
    R"(|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr char kAfmoeScripts[] =
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF}\x{FF65}-\x{FF9F})"
    R"(\x{2F00}-\x{2FDF}\x{0E40}-\x{0E7F}\x{0E80}-\x{0EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}\x{AA60}-\x{AA7F})"
    R"(\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)";

// --- the recipes -----------------------------------------------------------------------------------------------------

constexpr Stage kDefault[] = {regex(R"([\p{P}\$\+<=>\^~\|]+)"), regex(kGpt2Regex), regex(R"(\p{N}+)"),
                              regex("[0-9][0-9][0-9]")};
constexpr Stage kGpt2[] = {regex(kGpt2Regex)};
constexpr Stage kDigitsThenGpt2[] = {regex(R"(\p{N})"), regex(kGpt2Regex)};
constexpr Stage kFalcon[] = {regex(R"([\p{P}\$\+<=>\^~\|`]+)"), regex(kGpt2Regex), regex("[0-9][0-9][0-9]")};
constexpr Stage kLlama3[] = {regex(kLlama3Regex)};
constexpr Stage kQwen2[] = {regex(kQwen2Regex)};
constexpr Stage kQwen35[] = {regex(kQwen35Regex)};
constexpr Stage kMiniCpm5[] = {regex(R"(\p{N}{1,3})"), regex(kMiniCpm5Regex)};
constexpr Stage kSeedCoder[] = {regex(kSeedCoderRegex)};
constexpr Stage kJais2[] = {regex(kJais2Regex)};
constexpr Stage kBailing[] = {regex(kBailingRegex)};
constexpr Stage kExaoneMoe[] = {regex(kExaoneMoeRegex)};
constexpr Stage kGpt4o[] = {regex(kGpt4oRegex)};
constexpr Stage kTekken[] = {regex(kTekkenRegex)};
constexpr Stage kKimiK2[] = {regex(kKimiK2Regex)};
constexpr Stage kYoutu[] = {regex(kYoutuScripts), regex(kYoutuRegex)};
constexpr Stage kTinyAya[] = {{Kind::kTriplesIsolated, nullptr}, regex(kGpt4oRegex)};
constexpr Stage kDeepSeekLlm[] = {regex(R"([\r\n])"),     regex(kDeepSeekLetters), regex(kDeepSeekPunctuation),
                                  regex(kTrailingSpaces), regex(kDeepSeekCjk),     regex(R"(\p{N})")};
constexpr Stage kDeepSeekCoder[] = {regex(R"([\r\n])"), regex(R"(\s?\p{L}+)"), regex(R"(\s?\p{P}+)"),
                                    regex(kDeepSeekCjk), regex(R"(\p{N})")};
constexpr Stage kDeepSeekV3[] = {regex(R"(\p{N}{1,3})"), regex(kCjkAndKana), regex(kDeepSeekV3Regex)};
constexpr Stage kAfmoe[] = {{Kind::kNumberTriples, nullptr}, regex(kAfmoeScripts), regex(kDeepSeekV3Regex)};
constexpr Stage kBloom[] = {regex(kBloomRegex)};
constexpr Stage kViking[] = {regex(kBloomRegex), regex(R"(\p{N})")};
constexpr Stage kSuperBpe[] = {regex(R"(\p{N}+)"), {Kind::kTriplesBefore, nullptr}};
constexpr Stage kLaguna[] = {regex(R"([^\n]+|\n+)"), regex(kQwen2Regex)};
constexpr Stage kChameleon[] = {regex("<sentinel:[0-9]+>"),       regex("IMGIMG[A-I]{1,4}Z"),
                                regex(R"([\t\n]|    |  )"),       regex(R"(\p{N})"),
                                regex(R"([\p{P}!-/:-@\[-`{-~])"), regex(kGpt2Regex)};

struct Named {
  std::string_view name;
  PreTokenizerRecipe recipe;
};

constexpr PreTokenizerRecipe plain(std::span<const Stage> stages) { return {stages, false, false, false}; }
constexpr PreTokenizerRecipe composed(std::span<const Stage> stages) { return {stages, false, false, true}; }
constexpr PreTokenizerRecipe whole_words(std::span<const Stage> stages, bool add_bos) {
  return {stages, true, add_bos, false};
}

// Sorted by name.
constexpr Named kTable[] = {
    {"a.x-4.0", plain(kGpt2)},
    {"afmoe", plain(kAfmoe)},
    {"bailingmoe", plain(kBailing)},
    {"bailingmoe2", plain(kBailing)},
    {"bloom", plain(kBloom)},
    {"chameleon", {kChameleon, false, true, false}},
    {"chatglm-bpe", plain(kLlama3)},
    {"codeshell", plain(kDigitsThenGpt2)},
    {"cohere2moe", plain(kTinyAya)},
    {"command-r", composed(kDigitsThenGpt2)},
    {"dbrx", plain(kLlama3)},
    {"deepseek-coder", plain(kDeepSeekCoder)},
    {"deepseek-llm", plain(kDeepSeekLlm)},
    {"deepseek-r1-qwen", plain(kQwen2)},
    {"deepseek-v3", plain(kDeepSeekV3)},
    {"default", plain(kDefault)},
    {"exaone", plain(kDigitsThenGpt2)},
    {"exaone-moe", plain(kExaoneMoe)},
    {"exaone4", plain(kGpt2)},
    {"f2llmv2", plain(kQwen2)},
    {"falcon", plain(kFalcon)},
    {"falcon-h1", whole_words(kLlama3, true)},
    {"falcon3", whole_words(kLlama3, true)},
    {"gigachat", plain(kGpt2)},
    {"glm4", plain(kLlama3)},
    {"gpt-2", plain(kGpt2)},
    {"gpt-4o", plain(kGpt4o)},
    {"gpt3-finnish", plain(kBloom)},
    {"granite-docling", plain(kGpt2)},
    {"granite-embed-multi-97m", whole_words(kGpt4o, false)},
    {"grok-2", plain(kQwen2)},
    {"hunyuan", plain(kQwen2)},
    {"hunyuan-dense", plain(kDeepSeekV3)},
    {"jais", plain(kGpt2)},
    {"jais-2", plain(kJais2)},
    {"jina-de", plain(kGpt2)},
    {"jina-es", plain(kGpt2)},
    {"jina-v1-en", plain(kGpt2)},
    {"jina-v2-code", plain(kGpt2)},
    {"jina-v2-de", plain(kGpt2)},
    {"jina-v2-es", plain(kGpt2)},
    {"jina-v5-nano", whole_words(kLlama3, true)},
    {"joyai-llm", plain(kDeepSeekV3)},
    {"kanana2", plain(kGpt4o)},
    {"kimi-k2", plain(kKimiK2)},
    {"kormo", plain(kQwen2)},
    {"laguna", plain(kLaguna)},
    {"lfm2", whole_words(kLlama3, true)},
    {"llada-moe", plain(kBailing)},
    {"llama-bpe", whole_words(kLlama3, true)},
    {"llama-v3", whole_words(kLlama3, true)},
    {"llama3", whole_words(kLlama3, true)},
    {"llama4", plain(kGpt4o)},
    {"megrez", plain(kQwen2)},
    {"mellum", plain(kGpt2)},
    {"mellum2", plain(kDigitsThenGpt2)},
    {"midm-2.0", whole_words(kLlama3, true)},
    {"minerva-7b", plain(kDigitsThenGpt2)},
    {"minicpm5", whole_words(kMiniCpm5, false)},
    {"minimax-m2", plain(kGpt4o)},
    {"modern-bert", plain(kGpt2)},
    {"mpt", composed(kGpt2)},
    {"olmo", composed(kGpt2)},
    {"phi-2", plain(kGpt2)},
    {"pixtral", whole_words(kLlama3, true)},
    {"poro-chat", plain(kBloom)},
    {"qwen2", composed(kQwen2)},
    {"qwen35", composed(kQwen35)},
    {"refact", plain(kDigitsThenGpt2)},
    {"roberta-bpe", plain(kGpt2)},
    {"seed-coder", plain(kSeedCoder)},
    {"smaug-bpe", plain(kLlama3)},
    {"smollm", plain(kDigitsThenGpt2)},
    {"solar-open", plain(kQwen2)},
    {"stablelm2", plain(kQwen2)},
    {"starcoder", plain(kDigitsThenGpt2)},
    {"superbpe", plain(kSuperBpe)},
    {"talkie", plain(kGpt4o)},
    {"tekken", whole_words(kTekken, true)},
    {"tiny_aya", plain(kTinyAya)},
    {"trillion", plain(kGpt2)},
    {"viking", plain(kViking)},
    {"youtu", whole_words(kYoutu, false)},
};
static_assert(std::is_sorted(std::begin(kTable), std::end(kTable),
                             [](const Named& a, const Named& b) { return a.name < b.name; }));

}  // namespace

const PreTokenizerRecipe* find_pretokenizer(std::string_view name) {
  const auto* found = std::lower_bound(std::begin(kTable), std::end(kTable), name,
                                       [](const Named& entry, std::string_view wanted) { return entry.name < wanted; });
  return found != std::end(kTable) && found->name == name ? &found->recipe : nullptr;
}

std::vector<std::string_view> pretokenizer_name_list() {
  std::vector<std::string_view> names;
  for (const Named& entry : kTable) names.push_back(entry.name);
  return names;
}

std::string pretokenizer_names() {
  std::string all;
  for (const Named& entry : kTable) all += (all.empty() ? "" : ", ") + std::string(entry.name);
  return all;
}

}  // namespace ferrum
