#include "engine/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "base/cores.h"
#include "config/machine.h"
#include "engine/memory.h"
#include "engine/single_model.h"

namespace ferrum {
namespace {

Status check_plan(const std::vector<BenchTest>& tests, const std::vector<int>& step_sizes) {
  if (tests.empty()) return invalid_argument("nothing to measure: every test has zero tokens");
  for (const BenchTest& test : tests) {
    for (int step : step_sizes) {
      if (test.parallel <= step) continue;
      return invalid_argument(std::to_string(test.parallel) + " sequences do not fit a step of " +
                              std::to_string(step) + " tokens; each decodes one per step");
    }
  }
  return Status::ok();
}

SequenceDemand demand_of(const std::vector<BenchTest>& tests) {
  SequenceDemand demand{0, 0};
  for (const BenchTest& test : tests) {
    demand.context = std::max<int64_t>(demand.context, test.context());
    demand.sequences = std::max(demand.sequences, test.parallel);
  }
  return demand;
}

MachineRates measure_machine(int threads) {
  return {measure_read_bandwidth(threads, bandwidth_buffer(probe_machine(), available_memory())),
          measure_peak_rates(threads)};
}

// One model with its threads and step size; runs test after test.
class Session {
 public:
  Session(const SingleModel& model, const SequenceDemand& demand, const MachineRates& machine)
      : model_(model),
        machine_(machine),
        options_(model.runner->options()),
        layout_{options_.block_size, options_.num_blocks / demand.sequences, model.runner->model().spec().vocab_size},
        roofline_(*model.file, model.runner->model().spec(), kv_bytes_per_token()) {}

  Result<BenchRow> run(const BenchTest& test, int repetitions) {
    const std::vector<BenchStep> steps = timed_steps(test, options_.max_tokens);
    // What lies below stays in the cache: a repetition writes the positions after it again.
    FERRUM_RETURN_IF_ERROR(run_steps(prompt_steps(0, test.depth, test.parallel, options_.max_tokens)));
    FERRUM_RETURN_IF_ERROR(run_steps(warm_up(test, steps)));
    BenchRow row = describe(test);
    for (const BenchStep& step : steps) {
      const Roofline::Bound bound = roofline_.of_step(step, machine_);
      row.limit.memory_seconds += bound.memory_seconds;
      row.limit.compute_seconds += bound.compute_seconds;
      row.limit_seconds += bound.seconds();
    }
    for (int i = 0; i < repetitions; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      FERRUM_RETURN_IF_ERROR(run_steps(steps));
      row.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return row;
  }

 private:
  double kv_bytes_per_token() const {
    const int64_t block = Runner::kv_block_bytes(model_.runner->model().spec(), options_.block_size, options_.kv_dtype);
    return static_cast<double>(block) / options_.block_size;
  }

  // The first step of each kind.
  static std::vector<BenchStep> warm_up(const BenchTest& test, const std::vector<BenchStep>& steps) {
    std::vector<BenchStep> some;
    if (test.prompt > 0) some.push_back(steps.front());
    if (test.generate > 0) some.push_back(steps[steps.size() - static_cast<size_t>(test.generate)]);
    return some;
  }

  Status run_steps(const std::vector<BenchStep>& steps) {
    for (const BenchStep& step : steps) {
      FERRUM_RETURN_IF_ERROR(model_.runner->run(bench_batch(step, layout_)).status());
    }
    return Status::ok();
  }

  BenchRow describe(const BenchTest& test) const {
    BenchRow row;
    row.model = model_.runner->model().spec().name;
    for (const GgufTensor& tensor : model_.file->tensors()) {
      row.model_bytes += static_cast<int64_t>(tensor.bytes);
      row.parameters += tensor.view.elements();
    }
    row.backend = model_.runner->backend().describe();
    row.step_tokens = options_.max_tokens;
    row.kv_dtype = to_string(options_.kv_dtype);
    row.test = test;
    row.machine = machine_;
    return row;
  }

  const SingleModel& model_;
  const MachineRates machine_;
  const RunnerOptions& options_;
  const BenchLayout layout_;
  const Roofline roofline_;
};

// What the cache of experts did in a test, its warm-up included.
void note_expert_cache(const ExpertCacheCounts& before, const ExpertCacheCounts& after, const BenchNote& on_note) {
  if (after.slots == 0) return;
  on_note("experts: " + std::to_string(after.hits - before.hits) + " hits, " +
          std::to_string(after.misses - before.misses) + " misses, " +
          std::to_string(after.bytes_read - before.bytes_read) + " bytes read");
}

}  // namespace

std::vector<BenchTest> BenchPlan::tests() const {
  std::vector<BenchTest> all;
  for (int sequences : parallel) {
    for (int depth : depths) {
      for (int prompt : prompts) {
        if (prompt > 0) all.push_back({prompt, 0, depth, sequences});
      }
      for (int generate : generates) {
        if (generate > 0) all.push_back({0, generate, depth, sequences});
      }
      for (const auto& [prompt, generate] : pairs) {
        if (prompt + generate > 0) all.push_back({prompt, generate, depth, sequences});
      }
    }
  }
  return all;
}

std::vector<double> BenchRow::rates() const {
  std::vector<double> rates;
  for (double s : seconds) rates.push_back(static_cast<double>(test.tokens()) / s);
  return rates;
}

double BenchRow::limit_rate() const {
  return limit_seconds > 0 ? static_cast<double>(test.tokens()) / limit_seconds : 0;
}

BenchRates summarise(std::vector<double> rates) {
  BenchRates summary;
  if (rates.empty()) return summary;
  const auto count = static_cast<double>(rates.size());
  summary.mean = std::accumulate(rates.begin(), rates.end(), 0.0) / count;
  double squares = 0;
  for (double rate : rates) squares += (rate - summary.mean) * (rate - summary.mean);
  if (rates.size() > 1) summary.deviation = std::sqrt(squares / (count - 1));
  std::sort(rates.begin(), rates.end());
  const size_t middle = rates.size() / 2;
  summary.median = rates.size() % 2 == 1 ? rates[middle] : (rates[middle - 1] + rates[middle]) / 2;
  return summary;
}

Status run_bench(const std::string& model_path, const EngineOptions& options, const BenchPlan& plan,
                 const BenchSink& on_row, const BenchNote& on_note) {
  const std::vector<BenchTest> tests = plan.tests();
  const std::vector<int> step_sizes =
      plan.step_tokens.empty() ? std::vector<int>{options.max_batched_tokens} : plan.step_tokens;
  FERRUM_RETURN_IF_ERROR(check_plan(tests, step_sizes));
  const SequenceDemand demand = demand_of(tests);
  for (int wanted : plan.threads.empty() ? std::vector<int>{options.threads} : plan.threads) {
    const int threads = wanted > 0 ? wanted : process_cores();
    on_note("measuring the machine with " + std::to_string(threads) + " threads");
    const MachineRates machine = measure_machine(threads);
    for (int step : step_sizes) {
      EngineOptions now = options;
      now.threads = threads;
      now.max_batched_tokens = step;
      on_note("loading the model");
      FERRUM_ASSIGN_OR_RETURN(const SingleModel model, open_single_model(model_path, now, demand, {}));
      Session session(model, demand, machine);
      for (const BenchTest& test : tests) {
        const ExpertCacheCounts before = model.runner->backend().expert_cache();
        on_note(test.name() + " x " + std::to_string(test.parallel));
        FERRUM_ASSIGN_OR_RETURN(BenchRow row, session.run(test, plan.repetitions));
        row.threads = threads;
        note_expert_cache(before, model.runner->backend().expert_cache(), on_note);
        on_row(row);
      }
    }
  }
  return Status::ok();
}

}  // namespace ferrum
