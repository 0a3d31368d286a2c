#include "trace/op_profile.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace ferrum {

int64_t OpProfile::monotonic_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

int OpProfile::op(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found != names_.end()) return static_cast<int>(found - names_.begin());
  names_.push_back(name);
  decode_ops_.emplace_back();
  prompt_ops_.emplace_back();
  return static_cast<int>(names_.size()) - 1;
}

void OpProfile::begin_step(bool reads_prompt) {
  prompt_step_ = reads_prompt;
  active_ = reads_prompt ? choice_.prefill_ops : choice_.decode_ops || choice_.decode_layers;
  layer_ = -1;
  if (!active_) return;
  const std::lock_guard lock(mutex_);
  ++(reads_prompt ? prompt_steps_ : decode_steps_);
}

void OpProfile::add(int op, int64_t begin, int64_t end) {
  const std::lock_guard lock(mutex_);
  Total& total = (prompt_step_ ? prompt_ops_ : decode_ops_)[static_cast<size_t>(op)];
  ++total.calls;
  total.nanoseconds += end - begin;
  if (!prompt_step_) {
    Total& layer = decode_layers_[layer_];
    layer.calls = decode_steps_;
    layer.nanoseconds += end - begin;
  }
  spans_.push({op, layer_, begin, end});
}

OpTable OpProfile::op_table(const char* title, uint64_t steps, const std::vector<Total>& totals) const {
  OpTable table{title, steps, {}};
  for (size_t i = 0; i < totals.size(); ++i) {
    if (totals[i].calls > 0) table.rows.push_back({names_[i], totals[i].calls, totals[i].nanoseconds});
  }
  std::stable_sort(table.rows.begin(), table.rows.end(),
                   [](const OpTotal& a, const OpTotal& b) { return a.nanoseconds > b.nanoseconds; });
  return table;
}

std::vector<OpTable> OpProfile::tables() const {
  const std::lock_guard lock(mutex_);
  std::vector<OpTable> out;
  if (choice_.decode_ops) out.push_back(op_table("decode operations", decode_steps_, decode_ops_));
  if (choice_.prefill_ops) out.push_back(op_table("prefill operations", prompt_steps_, prompt_ops_));
  if (choice_.decode_layers) {
    OpTable table{"decode layers", decode_steps_, {}};
    for (const auto& [layer, total] : decode_layers_) {
      table.rows.push_back({layer < 0 ? "outside" : "layer " + std::to_string(layer), total.calls, total.nanoseconds});
    }
    out.push_back(std::move(table));
  }
  return out;
}

std::vector<OpSpan> OpProfile::spans() const {
  const std::lock_guard lock(mutex_);
  return spans_.last(spans_.capacity());
}

std::vector<std::string> OpProfile::op_names() const {
  const std::lock_guard lock(mutex_);
  return names_;
}

std::string render(const std::vector<OpTable>& tables) {
  std::string out;
  char line[128];
  for (const OpTable& table : tables) {
    int64_t sum = 0;
    for (const OpTotal& row : table.rows) sum += row.nanoseconds;
    out += table.title + ", " + std::to_string(table.steps) + " steps\n";
    out += "   share   ms/step      calls\n";
    for (const OpTotal& row : table.rows) {
      const auto time = static_cast<double>(row.nanoseconds);
      std::snprintf(line, sizeof(line), "%6.1f %% %9.3f %10llu  ",
                    100 * time / static_cast<double>(std::max<int64_t>(1, sum)),
                    time / 1e6 / static_cast<double>(std::max<uint64_t>(1, table.steps)),
                    static_cast<unsigned long long>(row.calls));
      out += line + row.name + "\n";
    }
  }
  return out;
}

}  // namespace ferrum
