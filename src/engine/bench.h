// `ferrum bench`: speed of prompts and of generation on the forward path alone, without scheduler, sampling and HTTP,
// beside what the machine allows. docs/benchmarking.md says what is counted.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/bench_steps.h"
#include "engine/engine.h"
#include "engine/roofline.h"

namespace ferrum {

struct BenchPlan {
  std::vector<int> prompts = {}, generates = {};  // tests of their own
  std::vector<std::pair<int, int>> pairs = {};    // prompt and generation in one test
  std::vector<int> depths = {0};
  std::vector<int> parallel = {1};
  std::vector<int> threads = {};      // empty: as the options say
  std::vector<int> step_tokens = {};  // empty: as the options say
  int repetitions = 5;

  // Every combination, threads and step sizes aside; a count of 0 is no test.
  std::vector<BenchTest> tests() const;
};

// One test at one number of threads and one step size.
struct BenchRow {
  std::string model;
  int64_t model_bytes = 0, parameters = 0;
  std::string backend;  // "cpu (avx512, 2 threads)"
  int threads = 0, step_tokens = 0;
  std::string kv_dtype;
  BenchTest test;
  std::vector<double> seconds;  // of each repetition
  MachineRates machine;         // measured with as many threads, before the tests
  Roofline::Bound limit;        // the least times of all timed steps, added up: see limit_seconds
  double limit_seconds = 0;     // sum over the steps of the longer of the two

  std::vector<double> rates() const;  // tokens per second of each repetition
  double limit_rate() const;          // tokens per second at the machine's limit
};

struct BenchRates {
  double mean = 0, deviation = 0, median = 0;  // deviation: of the sample, 0 of a single value
};
BenchRates summarise(std::vector<double> rates);

using BenchSink = std::function<void(const BenchRow&)>;
using BenchNote = std::function<void(const std::string&)>;  // what is being done, for people

// Rows in order of threads, step sizes, tests. The errors of opening the model for the largest test; kInvalidArgument
// for a plan without tests, or with more sequences than a step has tokens: before anything is measured.
Status run_bench(const std::string& model_path, const EngineOptions& options, const BenchPlan& plan,
                 const BenchSink& on_row, const BenchNote& on_note);

}  // namespace ferrum
