// Where the time of forward passes goes, by operation and by layer; and the operations themselves, for a trace.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "trace/ring.h"

namespace ferrum {

// Which steps are looked at, and how. A step reads prompts or only decodes.
struct ProfileChoice {
  bool decode_ops = false;
  bool prefill_ops = false;
  bool decode_layers = false;
  bool any() const { return decode_ops || prefill_ops || decode_layers; }
};

struct OpTotal {
  std::string name;
  uint64_t calls = 0;
  int64_t nanoseconds = 0;
};

struct OpTable {
  std::string title;  // "decode operations"
  uint64_t steps = 0;
  std::vector<OpTotal> rows;  // operations by time, layers by number
};

// One operation, on the clock of monotonic_ns().
struct OpSpan {
  int op = 0;
  int layer = -1;  // -1 = outside of the layers
  int64_t begin = 0, end = 0;
};

// begin_step, enter_layer and add by the thread that runs the steps; the rest by any.
class OpProfile {
 public:
  explicit OpProfile(const ProfileChoice& choice, size_t spans = 1 << 16) : choice_(choice), spans_(spans) {}

  static int64_t monotonic_ns();

  int op(const std::string& name);  // the number of this operation, from now on
  void begin_step(bool reads_prompt);
  bool active() const { return active_; }  // whether this step is looked at
  void enter_layer(int layer) { layer_ = layer; }
  void add(int op, int64_t begin, int64_t end);

  std::vector<OpTable> tables() const;  // of what was chosen, also where nothing was seen
  std::vector<OpSpan> spans() const;    // the newest, oldest first
  std::vector<std::string> op_names() const;

 private:
  struct Total {
    uint64_t calls = 0;
    int64_t nanoseconds = 0;
  };
  OpTable op_table(const char* title, uint64_t steps, const std::vector<Total>& totals) const;

  const ProfileChoice choice_;
  bool active_ = false, prompt_step_ = false;
  int layer_ = -1;

  mutable std::mutex mutex_;  // protects everything below
  std::vector<std::string> names_;
  uint64_t decode_steps_ = 0, prompt_steps_ = 0;
  std::vector<Total> decode_ops_, prompt_ops_;  // by op
  std::map<int, Total> decode_layers_;          // by layer; calls = steps
  Ring<OpSpan> spans_;
};

// As text, one block per table: share, milliseconds per step, calls, name.
std::string render(const std::vector<OpTable>& tables);

}  // namespace ferrum
