// The gate lets right kernels pass at every instruction set, catches each kernel that is made wrong on purpose, and
// takes the next level's in its place.
#include "backend/parity_gate.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "backend/registry.h"
#include "backend/test_support.h"

namespace ferrum {
namespace {

using testing_support::Matrix;
using testing_support::Random;
using testing_support::random_blocks;
using testing_support::random_plain;
using testing_support::Stored;

constexpr int kHidden = 512;

struct SampleData {
  SampleData() {
    Random random(3);
    norm = testing_support::random_floats(random, kHidden);
    for (const DTypeInfo& type : all_dtypes()) {
      if (cpu_kernels(CpuIsa::kBaseline).dot[static_cast<size_t>(type.dtype)] == nullptr) continue;
      stored.push_back(type.quantized ? random_blocks(random, type.dtype, 40, kHidden)
                                      : random_plain(random, type.dtype, 40, kHidden));
    }
    for (const Stored& m : stored) {
      sample.matrices.push_back({std::string(to_string(m.dtype)), m.view(), {}});
    }
    sample.norm = ConstView(norm.data(), DType::kF32, {kHidden});
    sample.num_heads = 6;
    sample.num_kv_heads = 2;
    sample.head_dim = sample.rope_dim = 64;
  }
  SampleData(const SampleData&) = delete;
  std::vector<Stored> stored;
  std::vector<float> norm;
  ParitySample sample;
};

std::vector<KernelLevel> machine_levels() {
  std::vector<KernelLevel> levels;
  for (CpuIsa isa : available_cpu_isas()) levels.push_back({std::string(to_string(isa)), all_cpu_kernels(isa)});
  return levels;
}

TEST(ParityGate, PassesEveryKernelOfEveryInstructionSet) {
  for (const DType kv : {DType::kF16, DType::kBF16, DType::kF32, DType::kI8}) {
    for (const RopeLayout layout : {RopeLayout::kInterleaved, RopeLayout::kHalfSplit}) {
      SampleData data;
      data.sample.kv_dtype = kv;
      data.sample.rope_layout = layout;
      data.sample.block_size = kv == DType::kF32 ? 1 : 16;
      const WeightLayout weights = layout == RopeLayout::kHalfSplit ? WeightLayout::kStored : WeightLayout::kPanels;
      for (const KernelLevel& level : machine_levels()) {
        const auto gated = gate_kernels({&level, 1}, data.sample, weights);
        ASSERT_TRUE(gated.is_ok()) << gated.status().message();
        for (const KernelChoice& choice : gated->choices) {
          EXPECT_EQ(choice.level, level.name) << choice.kernel;
          EXPECT_TRUE(choice.rejected.empty());
        }
        EXPECT_EQ(gated->choices.size(), data.sample.matrices.size() + 7);
      }
    }
  }
}

// Kernels with one fault each. They call the right kernel and spoil its result as little as a real fault would.
const CpuKernels& right() {
  static const CpuKernels kernels = all_cpu_kernels(CpuIsa::kBaseline);
  return kernels;
}

// With one bit of one weight of the second row flipped; kField is where the type's quants begin in a block.
template <DType kType, size_t kField, int kBit>
void panel_dot_with_one_wrong_weight(const DotTask& task) {
  const int64_t rows = (task.rows + kPanelRows - 1) / kPanelRows * kPanelRows;
  std::vector<std::byte> panels(task.weights, task.weights + static_cast<size_t>(rows) * task.row_bytes);
  panels[kPanelRows * kField + 4] ^= std::byte{1 << kBit};
  DotTask wrong = task;
  wrong.weights = panels.data();
  right().panel_dot[static_cast<size_t>(kType)](wrong);
}
constexpr auto kWrongQ4_K = panel_dot_with_one_wrong_weight<DType::kQ4_K, offsetof(BlockQ4_K, qs), 3>;
constexpr auto kWrongQ6_K = panel_dot_with_one_wrong_weight<DType::kQ6_K, offsetof(BlockQ6_K, ql), 3>;
constexpr auto kWrongQ8_0 = panel_dot_with_one_wrong_weight<DType::kQ8_0, offsetof(BlockQ8_0, qs), 6>;

template <DType kType>
void dot_with_one_wrong_weight(const DotTask& task) {
  right().dot[static_cast<size_t>(kType)](task);
  // As if one weight of the second row were twice as large as it is.
  std::vector<float> row(static_cast<size_t>(task.columns));
  dequantize_row(kType, task.weights + task.row_bytes, row.data(), task.columns);
  size_t at = 0;
  while (std::abs(row[at]) < 0.05f) ++at;
  for (int64_t t = 0; t < task.tokens; ++t) {
    float x = 0;
    if (info(kType).quantized) {
      const ActBlock& block = static_cast<const ActBlock*>(task.x)[t * task.x_stride + static_cast<int64_t>(at) / 256];
      x = block.d[at % 256 / 32] * static_cast<float>(block.q[at % 256]);
    } else {
      x = static_cast<const float*>(task.x)[t * task.x_stride + static_cast<int64_t>(at)];
    }
    task.y[t * task.y_stride + 1] += row[at] * x;
  }
}
void quantize_down(const float* x, int64_t n, ActBlock* blocks) {
  right().quantize(x, n, blocks);
  blocks[0].q[3] = static_cast<int8_t>(blocks[0].q[3] - (blocks[0].q[3] > -127 ? 1 : -1));
}
void rms_norm_without_epsilon_and_mean(const float* x, const float* weight, int64_t n, float eps, float* y) {
  right().rms_norm(x, weight, n, eps, y);
  for (int64_t i = 0; i < n; ++i) y[i] *= 1.001f;
}
void add_all_but_the_last(float* x, const float* delta, int64_t n) { right().add(x, delta, n - 1); }
void silu_without_mul(const float* gate, const float*, int64_t n, float* y) { right().silu_mul(gate, gate, n, y); }
void rotate_the_other_way(float* head, const float* cos_sin, int dim, RopeLayout layout) {
  right().rotate(head, cos_sin, dim,
                 layout == RopeLayout::kInterleaved ? RopeLayout::kHalfSplit : RopeLayout::kInterleaved);
}
void store_truncated(const KvStoreTask& task) {
  right().store_kv(task);
  static_cast<uint16_t*>(task.out)[(task.n - 1) * task.step] ^= 1;
}
void store_as_if_together(const KvStoreTask& task) {
  KvStoreTask together = task;
  together.step = 1;
  right().store_kv(together);
}
void attend_without_the_last(const AttentionTask& task) {
  AttentionTask shorter = task;
  const int32_t before = *task.positions - 1;
  shorter.positions = &before;
  right().attention.attend(shorter);
}
void merge_with_a_fault(const AttentionTask& token, const AttentionTask& part, float* state) {
  right().attention.merge(token, part, state);
  token.out[token.head_dim - 1] *= 1.0001f;
}

// The sign of the second row's third weight.
void bf16_panel_with_one_wrong_weight(const DotTask& task) {
  const auto panels = static_cast<size_t>((task.rows + kPanelRows - 1) / kPanelRows);
  std::vector<std::byte> weights(task.weights, task.weights + panels * kPanelRows * task.row_bytes);
  weights[(kPanelRows + 1) * 4 + 1] ^= std::byte{0x80};
  DotTask wrong = task;
  wrong.weights = weights.data();
  right().floats.of(DType::kBF16).dot(wrong);
}

struct Fault {
  const char* kernel;
  void (*break_it)(CpuKernels&);
  WeightLayout layout = WeightLayout::kPanels;
};
const Fault kFaults[] = {
    {"dot Q4_K", [](CpuKernels& k) { k.panel_dot[static_cast<size_t>(DType::kQ4_K)] = kWrongQ4_K; }},
    {"dot Q4_K",
     [](CpuKernels& k) { k.dot[static_cast<size_t>(DType::kQ4_K)] = dot_with_one_wrong_weight<DType::kQ4_K>; },
     WeightLayout::kStored},
    {"dot Q6_K", [](CpuKernels& k) { k.panel_dot[static_cast<size_t>(DType::kQ6_K)] = kWrongQ6_K; }},
    {"dot Q6_K",
     [](CpuKernels& k) { k.dot[static_cast<size_t>(DType::kQ6_K)] = dot_with_one_wrong_weight<DType::kQ6_K>; },
     WeightLayout::kStored},
    {"dot Q8_0", [](CpuKernels& k) { k.panel_dot[static_cast<size_t>(DType::kQ8_0)] = kWrongQ8_0; }},
    {"dot Q8_0",
     [](CpuKernels& k) { k.dot[static_cast<size_t>(DType::kQ8_0)] = dot_with_one_wrong_weight<DType::kQ8_0>; },
     WeightLayout::kStored},
    {"dot BF16",
     [](CpuKernels& k) { k.dot[static_cast<size_t>(DType::kBF16)] = dot_with_one_wrong_weight<DType::kBF16>; },
     WeightLayout::kStored},
    {"dot BF16", [](CpuKernels& k) { k.floats.of(DType::kBF16).dot = bf16_panel_with_one_wrong_weight; }},
    {"quantize", [](CpuKernels& k) { k.quantize = quantize_down; }},
    {"rms_norm", [](CpuKernels& k) { k.rms_norm = rms_norm_without_epsilon_and_mean; }},
    {"add", [](CpuKernels& k) { k.add = add_all_but_the_last; }},
    {"silu_mul", [](CpuKernels& k) { k.silu_mul = silu_without_mul; }},
    {"rotate", [](CpuKernels& k) { k.rotate = rotate_the_other_way; }},
    {"store_kv F16", [](CpuKernels& k) { k.store_kv = store_truncated; }},
    {"store_kv F16", [](CpuKernels& k) { k.store_kv = store_as_if_together; }},
    {"attention F16", [](CpuKernels& k) { k.attention.attend = attend_without_the_last; }},
    {"attention F16", [](CpuKernels& k) { k.attention.merge = merge_with_a_fault; }},
};

TEST(ParityGate, CatchesEachKernelMadeWrongAndTakesTheNextLevels) {
  SampleData data;
  for (const Fault& fault : kFaults) {
    KernelLevel broken{"broken", right()};
    fault.break_it(broken.table);
    const std::vector<KernelLevel> levels = {broken, {"baseline", right()}};
    const auto gated = gate_kernels(levels, data.sample, fault.layout);
    ASSERT_TRUE(gated.is_ok()) << gated.status().message();
    for (const KernelChoice& choice : gated->choices) {
      const bool wrong = choice.kernel == fault.kernel;
      EXPECT_EQ(choice.level, wrong ? "baseline" : "broken") << fault.kernel << ": " << choice.kernel;
      EXPECT_EQ(choice.rejected.size(), wrong ? 1u : 0u) << choice.kernel;
      if (wrong) {
        EXPECT_EQ(choice.rejected[0].level, "broken");
      }
    }
    // The whole table is right again.
    EXPECT_EQ(std::memcmp(gated->table.dot, right().dot, sizeof right().dot), 0) << fault.kernel;
    EXPECT_EQ(std::memcmp(gated->table.panel_dot, right().panel_dot, sizeof right().panel_dot), 0) << fault.kernel;
    EXPECT_EQ(gated->table.floats.of(DType::kBF16).dot, right().floats.of(DType::kBF16).dot) << fault.kernel;
    EXPECT_EQ(gated->table.attention.attend, right().attention.attend);
    EXPECT_EQ(gated->table.attention.merge, right().attention.merge);
    EXPECT_EQ(gated->table.rms_norm, right().rms_norm);

    const auto refused = gate_kernels({&broken, 1}, data.sample, fault.layout);
    EXPECT_EQ(refused.status().code(), StatusCode::kInternal);
    EXPECT_NE(refused.status().message().find(fault.kernel), std::string::npos) << refused.status().message();
  }
}

// A backend that was made through the gate computes with what the gate chose, and says so.
TEST(ParityGate, ABackendUsesWhatPassed) {
  SampleData data;
  KernelLevel broken{"broken", right()};
  broken.table.panel_dot[static_cast<size_t>(DType::kQ8_0)] = kWrongQ8_0;
  const std::vector<KernelLevel> levels = {broken, {"baseline", right()}};
  BackendConfig config;
  config.threads = 1;
  config.parity = data.sample;
  config.kernel_levels = levels;
  const auto gated = make_backend(config);
  ASSERT_TRUE(gated.is_ok()) << gated.status().message();
  EXPECT_NE((*gated)->describe().find("dot Q8_0 from baseline"), std::string::npos) << (*gated)->describe();
  const auto plain = make_backend({"cpu", "baseline", 1, {}, {}, {}});
  ASSERT_TRUE(plain.is_ok());

  Random random(9);
  Matrix x = Matrix::random(random, 3, kHidden), y(3, 40), z(3, 40);
  for (const WeightRef& weight : data.sample.matrices) {
    if (weight.matrix.dtype != DType::kQ8_0) continue;
    (*(*gated)->make_linear({{weight}}))->forward((*gated)->ops(), x.view(), y.view());
    (*(*plain)->make_linear({{weight}}))->forward((*plain)->ops(), x.view(), z.view());
    EXPECT_EQ(y.data, z.data);
  }
}

}  // namespace
}  // namespace ferrum
