// Speed of Linear on backend "cpu" by weight type, beside what the machine's memory gives in the same run.
//
//   kernels_bench [--benchmark_filter=...] [--benchmark_format=json]
//
// memory/...       reads an array larger than the caches (config/machine.h): the bound for decoding
// decode/TYPE/...  one token through matrices that together exceed the caches; bytes_per_second counts stored weights
// prefill/TYPE/... T tokens through one matrix; items_per_second counts multiply-adds twice (operations)
// attention/TYPE/HEADS/T/C/...  T tokens at the end of C positions; bytes_per_second counts the KV once, items as above
// The last part of a name is instruction set and threads; FERRUM's choice "auto" is what users get.
#include <benchmark/benchmark.h>

#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "backend/registry.h"
#include "config/machine.h"
#include "ops/kv_dtype.h"
#include "types/batch.h"

namespace ferrum {
namespace {

constexpr int64_t kWidth = 4096;
constexpr size_t kBeyondCaches = size_t{256} << 20;

std::unique_ptr<Backend> make(const std::string& isa, int threads) {
  return make_backend({.name = "cpu", .isa = isa, .threads = threads, .limits = {.max_tokens = 512}}).value();
}

// Bytes that are harmless in every type: all scales are small numbers.
Buffer random_weights(size_t bytes) {
  Buffer buffer = Buffer::host(bytes).value();
  std::mt19937_64 random(1);
  for (size_t i = 0; i + 8 <= bytes; i += 8) {
    const uint64_t word = random() & 0x3f3f3f3f3f3f3f3f;
    std::memcpy(static_cast<std::byte*>(buffer.data()) + i, &word, sizeof word);
  }
  return buffer;
}

// As files have them: exponents around 2^-7. With random ones a part of the scales would be subnormal.
void set_exponents(Buffer& weights) {
  const auto block = static_cast<size_t>(info(DType::kMXFP4).block_bytes);
  for (size_t at = 0; at < weights.bytes(); at += block) static_cast<uint8_t*>(weights.data())[at] = 120;
}

void read_memory(benchmark::State& state, int threads) {
  double fastest = 0;
  for (auto _ : state) fastest = std::max(fastest, measure_read_bandwidth(threads, 2 * kBeyondCaches));
  state.counters["bytes_per_second"] =
      benchmark::Counter(fastest, benchmark::Counter::kDefaults, benchmark::Counter::kIs1024);
}

void run_linear(benchmark::State& state, DType dtype, const std::string& isa, int threads, int64_t tokens) {
  const auto backend = make(isa, threads);
  const size_t matrix_bytes = bytes_of(dtype, kWidth * kWidth);
  // Decoding meets each matrix once per token, from memory; for prefill one is enough.
  const size_t matrices = tokens == 1 ? std::max<size_t>(1, kBeyondCaches / matrix_bytes) : 1;
  Buffer weights = random_weights(matrices * matrix_bytes);
  if (dtype == DType::kMXFP4) set_exponents(weights);
  std::vector<std::unique_ptr<Linear>> linears;
  for (size_t i = 0; i < matrices; ++i) {
    const ConstView matrix(static_cast<std::byte*>(weights.data()) + i * matrix_bytes, dtype, {kWidth, kWidth});
    linears.push_back(backend->make_linear({{{.name = "w", .matrix = matrix, .bias = {}}}}).value());
  }
  std::vector<float> x(static_cast<size_t>(tokens * kWidth)), y(x.size());
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  for (auto _ : state) {
    for (const auto& linear : linears) {
      linear->forward(backend->ops(), ConstView(x.data(), DType::kF32, {tokens, kWidth}),
                      View(y.data(), DType::kF32, {tokens, kWidth}));
    }
    benchmark::DoNotOptimize(y.data());
  }
  const int64_t calls = state.iterations() * static_cast<int64_t>(matrices);
  state.SetBytesProcessed(calls * static_cast<int64_t>(matrix_bytes));
  state.SetItemsProcessed(calls * 2 * tokens * kWidth * kWidth);
}

struct AttentionShape {
  const char* name;
  int heads, kv_heads, head_dim;
};
constexpr AttentionShape kLlama8B = {"32x8x128", 32, 8, 128};
constexpr AttentionShape kQwen06B = {"16x8x128", 16, 8, 128};
constexpr AttentionShape kLlama1B = {"32x8x64", 32, 8, 64};

// Layers enough to exceed the caches while decoding; each call takes the next one, as a model does.
struct AttentionCache {
  AttentionCache(const AttentionShape& s, DType dtype, int tokens, int64_t blocks) {
    const int64_t elements = blocks * s.kv_heads * kBlock * s.head_dim;
    layer_bytes = 2 * static_cast<size_t>(blocks * s.kv_heads * kBlock * kv_row_bytes(dtype, s.head_dim));
    const size_t count = tokens == 1 ? std::max<size_t>(1, kBeyondCaches / layer_bytes) : 1;
    for (size_t i = 0; i < count; ++i) {
      k.push_back(random_weights(bytes_of(dtype, elements)));
      v.push_back(random_weights(bytes_of(dtype, elements)));
      KvLayer layer{View(k[i].data(), dtype, {blocks, s.kv_heads, kBlock, s.head_dim}),
                    View(v[i].data(), dtype, {blocks, s.kv_heads, kBlock, s.head_dim})};
      if (has_kv_scales(dtype)) {
        for (View* view : {&layer.k_scale, &layer.v_scale}) {
          scales.emplace_back(static_cast<size_t>(blocks * s.kv_heads * kBlock), 0.01f);
          *view = View(scales.back().data(), DType::kF32, {blocks, s.kv_heads, kBlock});
        }
      }
      layers.push_back(layer);
    }
  }
  static constexpr int kBlock = 16;
  size_t layer_bytes = 0;
  std::vector<Buffer> k, v;
  std::deque<std::vector<float>> scales;
  std::vector<KvLayer> layers;
};

struct AttentionRun {
  AttentionShape shape;
  DType dtype;
  int tokens, context;
};

void run_attention(benchmark::State& state, const std::string& isa, int threads, const AttentionRun& run) {
  const auto& [shape, dtype, tokens, context] = run;
  constexpr int kBlock = AttentionCache::kBlock;
  const auto backend = make(isa, threads);
  const int blocks = (context + kBlock - 1) / kBlock;
  const AttentionCache cache(shape, dtype, tokens, blocks);
  Batch batch;
  batch.rows.push_back(
      {.seq = 0, .q_begin = 0, .q_len = tokens, .kv_len = context, .logit_begin = 0, .logit_count = 0});
  for (int t = 0; t < tokens; ++t) {
    batch.positions.push_back(context - tokens + t);
    batch.token_rows.push_back(0);
  }
  batch.tokens = batch.slots = batch.positions;
  batch.cu_q = {0, tokens};
  batch.kv_lens = {context};
  batch.max_blocks = blocks;
  for (int b = 0; b < blocks; ++b) batch.block_tables.push_back(b);
  const DeviceBatch device = backend->upload(batch).value();
  AttentionPlan plan;
  plan.batch = &device;
  plan.num_heads = shape.heads;
  plan.num_kv_heads = shape.kv_heads;
  plan.head_dim = shape.head_dim;
  plan.scale = 0.088f;
  const int64_t width = int64_t{shape.heads} * shape.head_dim;
  std::vector<float> q(static_cast<size_t>(tokens * width), 0.1f), out(q.size());
  size_t layer = 0;
  for (auto _ : state) {
    backend->ops().attention(plan, ConstView(q.data(), DType::kF32, {tokens, width}), cache.layers[layer],
                             View(out.data(), DType::kF32, {tokens, width}));
    benchmark::DoNotOptimize(out.data());
    layer = (layer + 1) % cache.layers.size();
  }
  const int64_t visible = int64_t{tokens} * context - int64_t{tokens} * (tokens - 1) / 2;
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(cache.layer_bytes));
  state.SetItemsProcessed(state.iterations() * visible * 4 * width);
}

void register_all() {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const auto add = [](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->UseRealTime()->Unit(benchmark::kMillisecond);
  };
  const std::vector<int> thread_counts = cores > 1 ? std::vector<int>{1, cores} : std::vector<int>{1};
  for (int threads : thread_counts) {
    add("memory/" + std::to_string(threads), [=](benchmark::State& s) { read_memory(s, threads); });
  }
  for (std::string_view level : isa_choices()) {
    if (!isa_available(level)) continue;
    const std::string isa(level);
    for (const DTypeInfo& type : all_dtypes()) {
      if (!type.quantized && type.dtype != DType::kF32 && type.dtype != DType::kF16 && type.dtype != DType::kBF16) {
        continue;
      }
      const std::string tail = std::string(type.name) + "/";
      for (int threads : thread_counts) {
        const std::string where = isa + "/" + std::to_string(threads);
        add("decode/" + tail + where, [=](benchmark::State& s) { run_linear(s, type.dtype, isa, threads, 1); });
        for (int64_t tokens : {4, 128}) {
          add("prefill/" + tail + std::to_string(tokens) + "/" + where,
              [=](benchmark::State& s) { run_linear(s, type.dtype, isa, threads, tokens); });
        }
      }
    }
    for (const DType dtype : {DType::kF16, DType::kI8}) {
      for (const AttentionShape& shape : {kLlama8B, kQwen06B, kLlama1B}) {
        for (const auto& [tokens, context] : {std::pair{1, 4096}, {1, 16384}, {512, 512}}) {
          const AttentionRun run{shape, dtype, tokens, context};
          add("attention/" + std::string(to_string(dtype)) + "/" + shape.name + "/" + std::to_string(tokens) + "/" +
                  std::to_string(context) + "/" + isa + "/" + std::to_string(cores),
              [=](benchmark::State& s) { run_attention(s, isa, cores, run); });
        }
      }
    }
  }
}

}  // namespace
}  // namespace ferrum

int main(int argc, char** argv) {
  ferrum::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
