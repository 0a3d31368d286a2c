// How the resolver reads settings and writes decisions. Internal to the resolver.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "config/decision.h"
#include "config/settings.h"

namespace ferrum {

// A value on its way to becoming a decision.
template <typename T>
struct Chosen {
  T value{};
  Source source = Source::kDefault;
  std::optional<std::string> key;  // the setting that chose it, if one did
};
using Flag = Chosen<bool>;
using Count = Chosen<int64_t>;
using Word = Chosen<std::string>;

struct DecisionCandidate {
  std::string value;
  std::string reason_against;  // said when another one was selected
};

// Something that must not be. `others` are the settings that have a part in it: the message shows each that is set,
// with its source.
struct Rule {
  bool broken;
  std::string_view key;
  std::string_view reason;
  std::initializer_list<std::string_view> others = {};
};

class Recorder {
 public:
  explicit Recorder(const Settings& settings) : settings_(settings) {}

  const Settings& settings() const { return settings_; }

  // The setting, or else what is given.
  Flag flag(std::string_view key, bool fallback, Source source) const;
  Count count(std::string_view key, Count fallback) const;
  Word word(std::string_view key, Word fallback) const;

  // kInvalidArgument "KEY: invalid override: reason (KEY=value (source), ...)".
  Status refuse(std::string_view key, std::string_view reason,
                std::initializer_list<std::string_view> others = {}) const;
  // kInvalidArgument "SELECTION: unsupported combination: reason (KEY=value (source), ...)".
  Status unsupported(std::string_view selection, std::string_view reason,
                     std::initializer_list<std::string_view> keys) const;
  Status first_broken(std::initializer_list<Rule> rules) const;

  // Records one of the candidates, by index, as selected; the others are rejected for their reasons.
  template <typename T>
  void select(std::string_view selection, size_t selected, const Chosen<T>& by,
              std::vector<DecisionCandidate> candidates, std::vector<Effect> affects) {
    record(selection, selected, by.source, by.key, std::move(candidates), std::move(affects));
  }
  // Records a value that has no alternatives worth naming.
  template <typename T>
  void value(std::string_view selection, std::string text, const Chosen<T>& by, std::vector<Effect> affects) {
    record(selection, 0, by.source, by.key, {{std::move(text), ""}}, std::move(affects));
  }
  void add(Decision decision) { decisions_.push_back(std::move(decision)); }

  std::vector<Decision> take() { return std::move(decisions_); }

 private:
  void record(std::string_view selection, size_t selected, Source source, const std::optional<std::string>& key,
              std::vector<DecisionCandidate> candidates, std::vector<Effect> affects);
  std::string settings_at_fault(std::string_view key, std::initializer_list<std::string_view> others) const;

  const Settings& settings_;
  std::vector<Decision> decisions_;
};

int64_t saturating_mul(int64_t a, int64_t b);
int64_t saturating_add(int64_t a, int64_t b);
inline int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

}  // namespace ferrum
