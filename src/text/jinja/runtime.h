// What one render owns and may use up: the objects it made, its limits, the clock. Every builtin gets it as its first
// argument; nothing in the language reaches beyond it.
#pragma once

#include <ctime>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/jinja/value.h"

namespace ferrum::jinja {

// A hostile template must end soon and small; a real one with a long conversation needs a hundredth of each.
struct Limits {
  size_t steps = 10'000'000;  // evaluated nodes, plus work done inside builtins (one step per ~64 bytes or item)
  size_t memory = size_t{256} << 20;  // bytes of live strings and of all other values made
  size_t output = size_t{64} << 20;   // bytes of rendered text
  int depth = 600;                    // nesting of statements, expressions and macro calls while rendering
};

// How values print, and how forgiving operators are. Templates are written against Python.
enum class Dialect {
  kPython,         // Jinja2 as Hugging Face transformers sets it up
  kHuggingFaceJs,  // the JavaScript port: true, JSON for containers, 'a' + 1; its published test vectors need it
};

struct RenderOptions {
  Limits limits;
  Dialect dialect = Dialect::kPython;
  // Broken-down local time for strftime_now; empty means the machine's clock and time zone.
  std::function<std::tm()> clock;
};

// Values deeper than this cannot be printed, compared or converted.
inline constexpr int kMaxValueDepth = 128;
// As in Jinja's sandbox: range() gives at most so many numbers.
inline constexpr int64_t kMaxRange = 100'000;

class Runtime {
 public:
  explicit Runtime(RenderOptions options);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const RenderOptions& options() const { return options_; }
  bool is_js() const { return options_.dialect == Dialect::kHuggingFaceJs; }

  // Each fails with kInvalidArgument when a limit is passed.
  Status charge(size_t steps);
  Status allocate(size_t bytes);  // until the render ends
  Budget& budget() { return budget_; }

  Result<Value> string(std::string text);
  Result<Value> string(std::string_view text) { return string(std::string(text)); }
  Result<Value> sequence(ObjectKind kind, std::vector<Value> items);
  Result<Value> list(std::vector<Value> items) { return sequence(ObjectKind::kList, std::move(items)); }
  Result<Value> tuple(std::vector<Value> items) { return sequence(ObjectKind::kTuple, std::move(items)); }
  Result<Value> pair(Value first, Value second);
  Value undefined(std::string hint);

  Result<Dict*> dict(ObjectKind kind = ObjectKind::kDict);
  Status set_entry(Dict& dict, Value key, Value value);
  Status set_entry(Dict& dict, std::string_view key, Value value);
  Status append(Sequence& sequence, Value value);

  // Set when raise_exception() was called, so that its text is passed on as it is.
  void set_raised() { raised_ = true; }
  bool raised() const { return raised_; }

  // Takes ownership of an object until the render ends.
  template <typename T, typename... Args>
  Result<T*> make(Args&&... args) {
    FERRUM_RETURN_IF_ERROR(allocate(sizeof(T)));
    auto object = std::make_unique<T>(std::forward<Args>(args)...);
    T* pointer = object.get();
    objects_.push_back(std::move(object));
    return pointer;
  }

  // The items a for loop would visit: of a sequence, a string's characters, a dict's keys, nothing for undefined. A
  // generator is empty afterwards.
  Result<std::vector<Value>> items(const Value& value);

 private:
  RenderOptions options_;
  size_t steps_ = 0;
  bool raised_ = false;
  Budget budget_;  // before objects_: strings in them report to it when they go
  std::vector<std::unique_ptr<Object>> objects_;
};

// Text being built, its bytes counted against the memory limit while it grows. Appending to a full builder does
// nothing, so that code which writes much need not check each time; finish() and status() tell.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& runtime) : budget_(runtime.budget()) {}
  ~TextBuilder() { budget_.used -= charged_; }
  TextBuilder(const TextBuilder&) = delete;
  TextBuilder& operator=(const TextBuilder&) = delete;

  void append(std::string_view text) {
    if (!grow(text.size())) return;
    text_.append(text);
  }
  void append(char c, size_t count = 1) {
    if (!grow(count)) return;
    text_.append(count, c);
  }
  void append_code_point(char32_t code_point);

  bool full() const { return full_; }
  Status status() const;
  const std::string& text() const { return text_; }
  Result<Value> finish(Runtime& runtime);

 private:
  bool grow(size_t bytes) {
    if (full_ || bytes > budget_.limit || budget_.used + bytes > budget_.limit) full_ = true;
    if (full_) return false;
    budget_.used += bytes;
    charged_ += bytes;
    return true;
  }
  Budget& budget_;
  std::string text_;
  size_t charged_ = 0;
  bool full_ = false;
};

// The arguments of a call to a builtin, in the order of its parameter names.
class BoundArgs {
 public:
  // Fails on too many arguments, on an unknown or twice given name, and when one of the first `required` is missing.
  static Result<BoundArgs> bind(std::string_view callee, CallArgs& args, std::initializer_list<std::string_view> names,
                                size_t required = 0);

  bool has(size_t i) const { return values_[i].has_value(); }
  const Value& operator[](size_t i) const { return *values_[i]; }
  Value get(size_t i, Value fallback) const { return has(i) ? *values_[i] : std::move(fallback); }
  bool truthy(size_t i, bool fallback) const { return has(i) ? values_[i]->truthy() : fallback; }
  Result<int64_t> integer(size_t i, int64_t fallback) const;                 // int or bool, else an error
  Result<std::string_view> text(size_t i, std::string_view fallback) const;  // str, else an error

 private:
  std::string callee_;
  std::vector<std::string_view> names_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace ferrum::jinja
