// The ops of every backend against numbers made elsewhere: tests/data/backend (float64, by
// tools/make_backend_goldens.py) and, where it exists, ../shared/testdata/goldens (vLLM's PyTorch implementation, by
// its own test tolerances).
#include <gtest/gtest.h>

#include <cmath>

#include "backend/kv_layout.h"
#include "backend/npy_test_support.h"
#include "backend/test_support.h"

namespace ferrum {
namespace {

using testing_support::available_isas;
using testing_support::floats;
using testing_support::gamma;
using testing_support::ints;
using testing_support::linear_tolerance;
using testing_support::make_cpu;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::Npy;
using testing_support::read_npy;
using testing_support::Stored;
namespace fs = std::filesystem;

const fs::path kOwn = fs::path(FERRUM_SOURCE_DIR) / "tests/data/backend";
const fs::path kShared = fs::path(FERRUM_SOURCE_DIR) / "../shared/testdata/goldens";

std::vector<std::unique_ptr<Backend>> every_backend() {
  std::vector<std::unique_ptr<Backend>> all;
  all.push_back(make_reference());
  for (const std::string& isa : available_isas()) all.push_back(make_cpu(isa));
  return all;
}

Matrix load_matrix(const fs::path& path) {
  const Npy npy = read_npy(path);
  int64_t cols = 1;
  for (size_t i = 1; i < npy.shape.size(); ++i) cols *= npy.shape[i];
  Matrix m(npy.dim(0), cols);
  m.data = npy.floats();
  return m;
}

void expect_near(const std::vector<float>& y, const std::vector<float>& expected, double absolute, double relative,
                 const std::string& what) {
  ASSERT_EQ(y.size(), expected.size()) << what;
  for (size_t i = 0; i < y.size(); ++i) {
    ASSERT_NEAR(y[i], expected[i], absolute + relative * std::abs(expected[i])) << what << ", element " << i;
  }
}

TEST(OwnGoldens, LinearOfEveryQuantisedType) {
  for (const DTypeInfo& type : all_dtypes()) {
    if (!type.quantized || type.dtype == DType::kQ8_K) continue;  // the gguf package does not read Q8_K
    const std::string name = "linear_" + std::string(type.name);
    const Npy w = read_npy(kOwn / (name + "_w.npy"));
    Matrix x = load_matrix(kOwn / (name + "_x.npy")), expected = load_matrix(kOwn / (name + "_y.npy"));
    Stored stored{type.dtype, w.dim(0), x.cols_, std::vector<std::byte>(w.bytes.size())};
    std::memcpy(stored.bytes.data(), w.bytes.data(), w.bytes.size());
    for (const auto& backend : every_backend()) {
      const auto linear = backend->make_linear({{{.name = name, .matrix = stored.view(), .bias = {}}}}).value();
      Matrix y(2, 3);
      linear->forward(backend->ops(), x.view(), y.view());
      for (int64_t t = 0; t < 2; ++t) {
        for (int64_t r = 0; r < 3; ++r) {
          const float exact = expected.row(t)[r];
          ASSERT_NEAR(y.row(t)[r], exact, linear_tolerance(stored, r, x.row(t), 0, exact))
              << name << ", " << backend->describe();
          if (backend->name() != "reference") continue;
          // No activations are quantised: what remains is the rounding of unpacked weights and of the result.
          double magnitude = 0;
          const std::vector<float> values = stored.values(r);
          for (size_t i = 0; i < values.size(); ++i) magnitude += std::abs(values[i] * x.row(t)[i]);
          ASSERT_NEAR(y.row(t)[r], exact, gamma(4) * magnitude) << name;
        }
      }
    }
  }
}

// Tokens of one sequence in a paged cache of F32 whose blocks stand in reverse order.
struct Sequence {
  Sequence(int tokens, int heads, int kv_heads, int head_dim)
      : kv_heads_(kv_heads), head_dim_(head_dim), k(cache_size(tokens), 0.0f), v(k) {
    const int blocks = (tokens + 15) / 16;
    batch.max_blocks = blocks;
    for (int b = 0; b < blocks; ++b) batch.block_tables.push_back(blocks - 1 - b);
    for (int t = 0; t < tokens; ++t) {
      batch.positions.push_back(t);
      batch.slots.push_back(batch.block_tables[static_cast<size_t>(t / 16)] * 16 + t % 16);
      batch.token_rows.push_back(0);
    }
    batch.tokens = batch.positions;
    batch.rows.push_back(
        {.seq = 0, .q_begin = 0, .q_len = tokens, .kv_len = tokens, .logit_begin = 0, .logit_count = 0});
    batch.cu_q = {0, tokens};
    batch.kv_lens = {tokens};
    args.kv.k = View(k.data(), DType::kF32, {blocks, kv_heads, 16, head_dim});
    args.kv.v = View(v.data(), DType::kF32, {blocks, kv_heads, 16, head_dim});
    args.num_heads = heads;
    args.num_kv_heads = kv_heads;
    args.head_dim = head_dim;
    args.slots = ints(batch.slots);
  }
  size_t cache_size(int tokens) const { return static_cast<size_t>((tokens + 15) / 16 * 16 * kv_heads_ * head_dim_); }
  // Appends what K has in the cache.
  void read_k(int64_t slot, int64_t head, std::vector<float>& to) const {
    const KvPlace place = k_place(args.kv.k, slot, head);
    for (int d = 0; d < head_dim_; ++d) to.push_back(k[static_cast<size_t>(place.first + d * place.step)]);
  }
  std::vector<float> attend(Backend& backend, int window, float scale) {
    const DeviceBatch device = backend.upload(batch).value();
    AttentionPlan plan;
    plan.batch = &device;
    plan.num_heads = args.num_heads;
    plan.num_kv_heads = args.num_kv_heads;
    plan.head_dim = args.head_dim;
    plan.sliding_window = window;
    plan.scale = scale;
    Matrix out(device.num_tokens, int64_t{args.num_heads} * args.head_dim);
    backend.ops().attention(plan, args.q, args.kv, out.view());
    return out.data;
  }
  int kv_heads_, head_dim_;
  std::vector<float> k, v;
  Batch batch;
  QkvArgs args;
};

TEST(OwnGoldens, Attention) {
  for (int window : {0, 7}) {
    const std::string name = "attention_w" + std::to_string(window) + "_";
    Matrix expected = load_matrix(kOwn / (name + "out.npy"));
    for (const auto& backend : every_backend()) {
      Matrix q = load_matrix(kOwn / (name + "q.npy")), k = load_matrix(kOwn / (name + "k.npy")),
             v = load_matrix(kOwn / (name + "v.npy")), no_rope(37, 0);
      Sequence s(37, 6, 2, 16);
      s.args.q = q.view();
      s.args.k = k.view();
      s.args.v = v.view();
      s.args.cos_sin = no_rope.view();
      backend->ops().norm_rope_store(s.args);
      // Scores of at most about 10 in 16 products, weights summing to 1, values of at most 4: some 50 u.
      expect_near(s.attend(*backend, window, 0.25f), expected.data, 1e-5, 0, backend->describe());
    }
  }
}

TEST(OwnGoldens, RopeInBothLayouts) {
  const std::vector<float> given = read_npy(kOwn / "rope_positions.npy").floats();
  const std::vector<int32_t> positions(given.begin(), given.end());
  const std::vector<float> inv_freq = read_npy(kOwn / "rope_inv_freq.npy").floats();
  for (const auto& backend : every_backend()) {
    for (const RopeLayout layout : {RopeLayout::kInterleaved, RopeLayout::kHalfSplit}) {
      Matrix q = load_matrix(kOwn / "rope_x.npy"), k = q, v = q, cos_sin(5, 8);
      backend->ops().rope_cos_sin(ints(positions), floats(inv_freq), 1.0f, cos_sin.view());
      Sequence s(5, 2, 2, 12);
      s.args.q = q.view();
      s.args.k = k.view();
      s.args.v = v.view();
      s.args.cos_sin = cos_sin.view();
      s.args.rope_dim = 8;
      s.args.layout = layout;
      backend->ops().norm_rope_store(s.args);
      const bool interleaved = layout == RopeLayout::kInterleaved;
      Matrix expected = load_matrix(kOwn / (interleaved ? "rope_interleaved.npy" : "rope_half_split.npy"));
      expect_near(q.data, expected.data, 1e-6, 1e-6, backend->describe());
      for (int t = 0; t < 5; ++t) {  // K of token t, head 1, as stored
        std::vector<float> stored;
        s.read_k(t, 1, stored);
        for (size_t d = 0; d < 12; ++d) EXPECT_NEAR(stored[d], expected.row(t)[12 + d], 1e-6);
      }
    }
  }
}

TEST(OwnGoldens, NormAndSilu) {
  Matrix x = load_matrix(kOwn / "rms_norm_x.npy"), gate_up = load_matrix(kOwn / "silu_mul_in.npy");
  const std::vector<float> weight = read_npy(kOwn / "rms_norm_weight.npy").floats();
  for (const auto& backend : every_backend()) {
    Matrix y(4, 40);
    backend->ops().rms_norm(x.view(), floats(weight), 1e-5f, y.view());
    expect_near(y.data, read_npy(kOwn / "rms_norm_out.npy").floats(), 0, gamma(6), backend->describe());
    backend->ops().silu_mul(gate_up.view(), y.view());
    expect_near(y.data, read_npy(kOwn / "silu_mul_out.npy").floats(), 0, gamma(9), backend->describe());
  }
}

class SharedGoldens : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kShared)) GTEST_SKIP() << kShared << " is absent";
  }
};

TEST_F(SharedGoldens, RmsNorm) {
  Matrix x = load_matrix(kShared / "rmsnorm_f32_8x128/x.npy");
  const std::vector<float> weight = read_npy(kShared / "rmsnorm_f32_8x128/weight.npy").floats();
  const fs::path fused = kShared / "rmsnorm_fused_residual_f32_8x128";
  const std::vector<float> fused_weight = read_npy(fused / "weight.npy").floats();
  for (const auto& backend : every_backend()) {
    Matrix y(8, 128), residual = load_matrix(fused / "residual_in.npy"), delta = load_matrix(fused / "x.npy");
    backend->ops().rms_norm(x.view(), floats(weight), 1e-6f, y.view());
    expect_near(y.data, read_npy(kShared / "rmsnorm_f32_8x128/out.npy").floats(), 1e-5, 1e-5, backend->describe());
    backend->ops().add_rms_norm(residual.view(), delta.view(), floats(fused_weight), 1e-6f, y.view());
    expect_near(y.data, read_npy(fused / "out.npy").floats(), 1e-5, 1e-5, backend->describe());
    expect_near(residual.data, read_npy(fused / "residual_out.npy").floats(), 1e-5, 1e-5, backend->describe());
  }
}

// What Ops::route() writes, for so many tokens.
struct Routed {
  Routed(int64_t tokens, int experts, int top_k)
      : ids(static_cast<size_t>(tokens * top_k)), weights(ids.size()), load(static_cast<size_t>(experts + 1)) {
    args.spec.num_experts = experts;
    args.spec.top_k = top_k;
    args.out.ids = View(ids.data(), DType::kI32, {tokens, top_k});
    args.out.weights = View(weights.data(), DType::kF32, {tokens, top_k});
    args.load = View(load.data(), DType::kI64, {experts + 1});
  }
  std::vector<int32_t> ids;
  std::vector<float> weights;
  std::vector<int64_t> load;
  RouteArgs args;
};

void expect_same_choice(const Routed& routed, const fs::path& folder, double tolerance, const std::string& what) {
  const Npy ids = read_npy(folder / "topk_ids.npy");
  ASSERT_EQ(ids.descr, "<i4");
  std::vector<int32_t> wanted(ids.bytes.size() / sizeof(int32_t));
  std::memcpy(wanted.data(), ids.bytes.data(), ids.bytes.size());
  EXPECT_EQ(routed.ids, wanted) << what;
  expect_near(routed.weights, read_npy(folder / "topk_weights.npy").floats(), tolerance, tolerance, what);
}

// These files hold cos and sin of all positions; the rotation itself is what is tested here.
TEST_F(SharedGoldens, RopeWithScaledFrequencies) {
  struct Case {
    const char* folder;
    RopeLayout layout;
    double absolute, relative;  // its own
  };
  for (const Case& c : {Case{"long_rope_llama3_neox_f32_bands", RopeLayout::kHalfSplit, 1e-5, 1e-5},
                        Case{"long_rope_llama3_neox_f32_equal_factors", RopeLayout::kHalfSplit, 1e-5, 1e-5},
                        Case{"long_rope_yarn_neox_f32_truncate", RopeLayout::kHalfSplit, 1e-5, 1e-5},
                        Case{"long_rope_llama3_gptj_bf16_bands", RopeLayout::kInterleaved, 0.01, 0.016},
                        Case{"long_rope_yarn_neox_bf16", RopeLayout::kHalfSplit, 0.01, 0.016}}) {
    const fs::path folder = kShared / c.folder;
    Matrix cache = load_matrix(folder / "cos_sin_cache.npy");
    const std::vector<float> positions = read_npy(folder / "positions.npy").floats();
    const auto tokens = static_cast<int>(positions.size());
    Matrix cos_sin(tokens, cache.cols_);
    for (int t = 0; t < tokens; ++t) {
      const float* row = cache.row(static_cast<int64_t>(positions[static_cast<size_t>(t)]));
      std::copy(row, row + cache.cols_, cos_sin.row(t));
    }
    for (const auto& backend : every_backend()) {
      Matrix q = load_matrix(folder / "q_in.npy"), k = load_matrix(folder / "k_in.npy"), v = k;
      Sequence s(tokens, 2, 1, static_cast<int>(k.cols_));
      s.args.q = q.view();
      s.args.k = k.view();
      s.args.v = v.view();
      s.args.cos_sin = cos_sin.view();
      s.args.rope_dim = static_cast<int>(cache.cols_);
      s.args.layout = c.layout;
      backend->ops().norm_rope_store(s.args);
      const std::string what = std::string(c.folder) + ", " + backend->describe();
      expect_near(q.data, read_npy(folder / "q_out.npy").floats(), c.absolute, c.relative, what);
      std::vector<float> stored;
      for (int t = 0; t < tokens; ++t) s.read_k(t, 0, stored);  // one block
      expect_near(stored, read_npy(folder / "k_out.npy").floats(), c.absolute, c.relative, what);
    }
  }
}

// Per-head norm with weights stored less one, rotation of a part of the head, causal attention with shared KV heads.
TEST_F(SharedGoldens, NormRopeAndAttention) {
  struct Case {
    const char* folder;
    int head_dim, rope_dim;
    double base;
    float scale;
  };
  for (const Case& c : {Case{"dense_attention_f32_small", 8, 4, 1e4, 0.3535533905932738f},
                        Case{"dense_attention_f32_realdims", 256, 64, 1e7, 0.0625f}}) {
    const fs::path folder = kShared / c.folder;
    const std::vector<float> given = read_npy(folder / "positions.npy").floats();
    const std::vector<int32_t> positions(given.begin(), given.end());
    const auto tokens = static_cast<int>(positions.size());
    std::vector<float> inv_freq, q_norm = read_npy(folder / "q_norm_weight.npy").floats(),
                                 k_norm = read_npy(folder / "k_norm_weight.npy").floats();
    for (int i = 0; i < c.rope_dim; i += 2)
      inv_freq.push_back(static_cast<float>(std::pow(c.base, -1.0 * i / c.rope_dim)));
    for (float& w : q_norm) w += 1.0f;
    for (float& w : k_norm) w += 1.0f;
    for (const auto& backend : every_backend()) {
      Matrix q = load_matrix(folder / "q.npy"), k = load_matrix(folder / "k.npy"), v = load_matrix(folder / "v.npy");
      Matrix cos_sin(tokens, c.rope_dim);
      backend->ops().rope_cos_sin(ints(positions), floats(inv_freq), 1.0f, cos_sin.view());
      Sequence s(tokens, 4, 2, c.head_dim);
      s.args.q = q.view();
      s.args.k = k.view();
      s.args.v = v.view();
      s.args.q_norm = floats(q_norm);
      s.args.k_norm = floats(k_norm);
      s.args.norm_eps = 1e-6f;
      s.args.cos_sin = cos_sin.view();
      s.args.rope_dim = c.rope_dim;
      s.args.layout = RopeLayout::kHalfSplit;
      backend->ops().norm_rope_store(s.args);
      expect_near(s.attend(*backend, 0, c.scale), read_npy(folder / "attn.npy").floats(), 2e-4, 2e-4,
                  std::string(c.folder) + ", " + backend->describe());
    }
  }
}

// vLLM's choice of experts and their weights.
TEST_F(SharedGoldens, RoutersChoice) {
  struct Case {
    const char* folder;
    int experts, top_k;
    bool normalize;
  };
  for (const Case& c :
       {Case{"moe_router_topk_f32_small", 8, 2, true}, Case{"moe_router_topk_f32_small_norenorm", 8, 2, false},
        Case{"moe_router_topk_bf16_realratio", 256, 8, true}}) {
    const fs::path folder = kShared / c.folder;
    Matrix logits = load_matrix(folder / "logits.npy");
    Routed routed(logits.rows_, c.experts, c.top_k);
    routed.args.spec.normalize = c.normalize;
    routed.args.logits = logits.view();
    for (const auto& backend : every_backend()) {
      backend->ops().route(routed.args);
      expect_same_choice(routed, folder, 1e-5, c.folder);
    }
  }
}

// A whole block of Qwen's: router, experts, and the gated expert that all tokens share.
TEST_F(SharedGoldens, ExpertBlock) {
  for (const auto& [name, dtype, tolerance] : {std::tuple("moe_block_f32_small", DType::kF32, 1e-5),
                                               std::tuple("moe_block_bf16_small", DType::kBF16, 0.015)}) {
    const fs::path folder = kShared / name;
    const int64_t hidden = 64, ffn = 32, shared_ffn = 48, experts = 8;
    const auto stored = [&, type = dtype](const char* file, int64_t rows, int64_t cols) {
      const Npy npy = read_npy(folder / (std::string(file) + ".npy"));
      Stored m{type, rows, cols, std::vector<std::byte>(npy.bytes.size())};
      std::memcpy(m.bytes.data(), npy.bytes.data(), npy.bytes.size());
      return m;
    };
    const Stored gate = stored("gate_w", experts, hidden), shared_gate = stored("w_shared_gate", 1, hidden),
                 w13 = stored("w13", experts * 2 * ffn, hidden), w2 = stored("w2", experts * hidden, ffn),
                 shared_wide = stored("w_shared_gate_up", 2 * shared_ffn, hidden),
                 shared_down = stored("w_shared_down", hidden, shared_ffn);
    const auto part = [](const Stored& m, int64_t row, int64_t rows) {
      return WeightRef{"w", ConstView(m.row(row), m.dtype, {rows, m.cols}), {}};
    };
    ExpertsSpec spec;
    spec.top_k = 2;
    for (int64_t e = 0; e < experts; ++e) {
      spec.experts.push_back(
          {part(w13, e * 2 * ffn, ffn), part(w13, e * 2 * ffn + ffn, ffn), part(w2, e * hidden, hidden)});
    }
    Matrix x = load_matrix(folder / "x.npy"), logits(6, experts + 1), y(6, hidden), wide(6, 2 * shared_ffn),
           narrow(6, shared_ffn), shared(6, hidden);
    Routed routed(6, experts, 2);
    std::vector<float> shared_weights(6);
    routed.args.spec.normalize = true;
    routed.args.logits = logits.view();
    routed.args.out.shared = View(shared_weights.data(), DType::kF32, {6});
    for (const auto& backend : every_backend()) {
      Ops& ops = backend->ops();
      backend->make_linear({{part(gate, 0, experts), part(shared_gate, 0, 1)}})
          .value()
          ->forward(ops, x.view(), logits.view());
      ops.route(routed.args);
      expect_same_choice(routed, folder, tolerance, name);
      backend->make_experts(spec).value()->forward(ops, x.view(), routed.args.out, y.view());
      expect_near(y.data, read_npy(folder / "routed_out.npy").floats(), tolerance, tolerance, backend->describe());
      backend->make_linear({{part(shared_wide, 0, 2 * shared_ffn)}}).value()->forward(ops, x.view(), wide.view());
      ops.silu_mul(wide.view(), narrow.view());
      backend->make_linear({{part(shared_down, 0, hidden)}}).value()->forward(ops, narrow.view(), shared.view());
      ops.add_scaled(y.view(), shared.view(), ConstView(shared_weights.data(), DType::kF32, {6}));
      expect_near(y.data, read_npy(folder / "out.npy").floats(), tolerance, tolerance, backend->describe());
    }
  }
}

}  // namespace
}  // namespace ferrum
