#include "text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "text/unicode.h"

namespace ferrum {
namespace {

// PCRE2's own \s differs from the White_Space property in U+180E, which published tokenizers do not take for a space.
constexpr std::string_view kWhiteSpace =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// The pattern with \s and \S spelled out. \S inside a class does not occur in published patterns.
std::string expand_white_space(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      if (pattern[i] == '[') in_class = true;
      if (pattern[i] == ']') in_class = false;
      out += pattern[i];
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped != 's' && escaped != 'S') {
      out += '\\';
      out += escaped;
    } else if (in_class) {
      out += kWhiteSpace;
    } else {
      out += (escaped == 's' ? "[" : "[^") + std::string(kWhiteSpace) + "]";
    }
  }
  return out;
}

std::string pcre_message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

class PreTokenizer::Stage {
 public:
  static Result<std::unique_ptr<Stage>> create(const PreTokenizerStage& source) {
    auto stage = std::make_unique<Stage>();
    stage->kind_ = source.kind;
    if (source.kind == PreTokenizerStage::Kind::kRegex) FERRUM_RETURN_IF_ERROR(stage->compile(source.pattern));
    return stage;
  }

  // Calls part(piece) for each match and each gap, in order.
  template <typename Part>
  Status split(std::string_view text, pcre2_match_data* match, Part&& part) const {
    if (kind_ == PreTokenizerStage::Kind::kRegex) return split_by_regex(text, match, part);
    return split_digits(text, part);
  }

 private:
  Status compile(std::string_view pattern) {
    const std::string expanded = expand_white_space(pattern);
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expanded.data()), expanded.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                              nullptr));
    if (code_ == nullptr) {
      return internal_error("pre-tokenizer regex " + expanded + " at " + std::to_string(offset) + ": " +
                            pcre_message(error));
    }
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, the interpreter gives the same
    context_.reset(pcre2_match_context_create(nullptr));
    if (context_ == nullptr) return capacity_exceeded("out of memory for a regex context");
    pcre2_set_match_limit(context_.get(), UINT32_MAX);
    pcre2_set_depth_limit(context_.get(), 10'000);    // of the interpreter; these patterns need a handful
    pcre2_set_heap_limit(context_.get(), 64 * 1024);  // KiB, of the interpreter
    return Status::ok();
  }

  template <typename Part>
  Status split_by_regex(std::string_view text, pcre2_match_data* match, Part&& part) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    size_t done = 0;  // everything before is handed out
    size_t from = 0;  // where to look for the next match
    while (from < text.size()) {
      const int rc = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match,
                                 context_.get());
      if (rc == PCRE2_ERROR_NOMATCH) break;
      if (rc < 0) {
        return capacity_exceeded("pre-tokenizer: a regex gave up at byte " + std::to_string(from) + " of " +
                                 std::to_string(text.size()) + ": " + pcre_message(rc));
      }
      // Copied: part() runs the later stages, which use the same match data.
      const size_t begin = pcre2_get_ovector_pointer(match)[0];
      const size_t end = pcre2_get_ovector_pointer(match)[1];
      if (begin > done) FERRUM_RETURN_IF_ERROR(part(text.substr(done, begin - done)));
      FERRUM_RETURN_IF_ERROR(part(text.substr(begin, end - begin)));
      done = from = end;
    }
    return done < text.size() ? part(text.substr(done)) : Status::ok();
  }

  bool is_digit(char32_t c) const {
    return kind_ == PreTokenizerStage::Kind::kNumberTriples ? is_number(c) : is_decimal_digit(c);
  }

  // Cuts the run of digits [begin, end) of text, whose characters start at `starts`.
  template <typename Part>
  Status split_run(std::string_view text, size_t& done, const std::vector<size_t>& starts, size_t end,
                   Part&& part) const {
    using Kind = PreTokenizerStage::Kind;
    if (kind_ == Kind::kTriplesIsolated && end < text.size() && is_word_character(decode_utf8(text, end).value)) {
      return Status::ok();
    }
    const auto cut_at = [&](size_t at) -> Status {
      const std::string_view piece = text.substr(done, at - done);
      done = at;
      return piece.empty() ? Status::ok() : part(piece);
    };
    const size_t lead = starts.size() % 3;
    if (kind_ != Kind::kTriplesBefore) FERRUM_RETURN_IF_ERROR(cut_at(starts[0]));
    for (size_t i = lead; i < starts.size(); i += 3) FERRUM_RETURN_IF_ERROR(cut_at(starts[i]));
    return kind_ != Kind::kTriplesBefore ? cut_at(end) : Status::ok();
  }

  template <typename Part>
  Status split_digits(std::string_view text, Part&& part) const {
    size_t done = 0;
    std::vector<size_t> starts;
    for (size_t i = 0; i < text.size();) {
      const CodePoint c = decode_utf8(text, i);
      if (is_digit(c.value)) starts.push_back(i);
      const bool ends_here = !is_digit(c.value) || i + c.length == text.size();
      if (ends_here && !starts.empty()) {
        const size_t end = is_digit(c.value) ? text.size() : i;
        FERRUM_RETURN_IF_ERROR(split_run(text, done, starts, end, part));
        starts.clear();
      }
      i += c.length;
    }
    return done < text.size() ? part(text.substr(done)) : Status::ok();
  }

  PreTokenizerStage::Kind kind_ = PreTokenizerStage::Kind::kRegex;
  std::unique_ptr<pcre2_code, FreeCode> code_;
  std::unique_ptr<pcre2_match_context, FreeContext> context_;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::create(const PreTokenizerRecipe& recipe) {
  PreTokenizer made;
  for (const PreTokenizerStage& source : recipe.stages) {
    FERRUM_ASSIGN_OR_RETURN(auto stage, Stage::create(source));
    made.stages_.push_back(std::move(stage));
  }
  return made;
}

Status PreTokenizer::split(std::string_view text, const Sink& sink) const {
  if (text.empty()) return Status::ok();
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  if (match == nullptr) return capacity_exceeded("out of memory for a regex match");
  return run(0, text, sink, match.get());
}

Status PreTokenizer::run(size_t stage, std::string_view text, const Sink& sink, void* match) const {
  if (stage == stages_.size()) return sink(text);
  return stages_[stage]->split(text, static_cast<pcre2_match_data*>(match),
                               [&](std::string_view piece) -> Status { return run(stage + 1, piece, sink, match); });
}

}  // namespace ferrum
