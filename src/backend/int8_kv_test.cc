// The INT8 KV cache from store to attention: what is stored, that block sizes change nothing, and that a row that is
// not finite shows.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/kv_layout.h"
#include "backend/test_support.h"

namespace ferrum {
namespace {

using testing_support::every_level;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::Random;
using testing_support::same_bits;

constexpr int kHeads = 6, kKvHeads = 2, kHeadDim = 24;

// A sequence stored in blocks that stand in reverse order, without norm and rotation.
struct Cache {
  Cache(DType dtype, int tokens, int block) : block_size(block), blocks((tokens + block - 1) / block) {
    const int64_t rows = int64_t{blocks} * kKvHeads * block_size;
    k.resize(bytes_of(dtype, rows * kHeadDim));
    v = k;
    k_scale.resize(static_cast<size_t>(rows), 0.0f);
    v_scale = k_scale;
    const auto view = [&](std::vector<std::byte>& bytes) {
      return View(bytes.data(), dtype, {blocks, kKvHeads, block_size, kHeadDim});
    };
    const auto scales = [&](std::vector<float>& values) {
      return View(values.data(), DType::kF32, {blocks, kKvHeads, block_size});
    };
    layer = {view(k), view(v), scales(k_scale), scales(v_scale)};
    for (int b = 0; b < blocks; ++b) table.push_back(blocks - 1 - b);
  }
  Cache(const Cache&) = delete;

  int32_t slot(int position) const {
    return table[static_cast<size_t>(position / block_size)] * block_size + position % block_size;
  }
  void store(Ops& ops, Matrix keys, Matrix values) {
    Matrix q(keys.rows_, kHeads * kHeadDim), no_rope(keys.rows_, 0);
    std::vector<int32_t> slots;
    for (int p = 0; p < keys.rows_; ++p) slots.push_back(slot(p));
    QkvArgs args;
    args.q = q.view();
    args.k = keys.view();
    args.v = values.view();
    args.cos_sin = no_rope.view();
    args.num_heads = kHeads;
    args.num_kv_heads = kKvHeads;
    args.head_dim = kHeadDim;
    args.kv = layer;
    args.block_size = block_size;
    args.slots = ConstView(slots.data(), DType::kI32, {keys.rows_});
    ops.norm_rope_store(args);
  }
  std::vector<float> attend(Backend& backend, Matrix& q, int position) const {
    Batch batch;
    batch.rows.push_back(
        {.seq = 0, .q_begin = 0, .q_len = 1, .kv_len = position + 1, .logit_begin = 0, .logit_count = 0});
    batch.tokens = batch.token_rows = {0};
    batch.positions = {position};
    batch.slots = {slot(position)};
    batch.cu_q = {0, 1};
    batch.kv_lens = {position + 1};
    batch.block_tables = table;
    batch.max_blocks = blocks;
    const DeviceBatch device = backend.upload(batch).value();
    AttentionPlan plan;
    plan.batch = &device;
    plan.num_heads = kHeads;
    plan.num_kv_heads = kKvHeads;
    plan.head_dim = kHeadDim;
    plan.block_size = block_size;
    plan.scale = 0.2f;
    Matrix out(1, kHeads * kHeadDim);
    backend.ops().attention(plan, q.view(), layer, out.view());
    return out.data;
  }

  int block_size, blocks;
  std::vector<std::byte> k, v;
  std::vector<float> k_scale, v_scale;
  KvLayer layer;
  std::vector<int32_t> table;
};

std::vector<testing_support::Level> all_levels() {
  auto all = every_level(3);
  all.push_back({"reference", make_reference()});
  return all;
}

// Rounding to an integer moves x by half a step; the factor 127 / max, the product and the scale round x / d, which is
// at most 127, by 3 u more.
TEST(Int8Kv, StoresEachRowWithinHalfAStep) {
  Random random(1);
  Matrix keys = Matrix::random(random, 37, kKvHeads * kHeadDim),
         values = Matrix::random(random, 37, kKvHeads * kHeadDim);
  for (int d = 0; d < kHeadDim; ++d) {
    keys.row(3)[d] = 0.0f;
    keys.row(4)[d] *= 1e30f;
    keys.row(5)[d] *= 1e-20f;
  }
  std::vector<std::byte> first_k, first_v;
  for (const auto& [name, backend] : all_levels()) {
    Cache cache(DType::kI8, 37, 16);
    cache.store(backend->ops(), keys, values);
    for (int p = 0; p < 37; ++p) {
      for (int h = 0; h < kKvHeads; ++h) {
        const int64_t slot = cache.slot(p);
        const KvPlace place = k_place(cache.layer.k, slot, h);
        const float d = cache.k_scale[static_cast<size_t>(kv_scale_index(cache.layer.k_scale, slot, h))];
        const float* x = keys.row(p) + h * kHeadDim;
        for (int i = 0; i < kHeadDim; ++i) {
          const auto q = cache.layer.k.as<int8_t>()[place.first + i * place.step];
          ASSERT_NEAR(double{d} * q, x[i], double{d} * (0.5 + 127 * 4 * 0x1p-24)) << name << ", position " << p;
        }
      }
    }
    if (first_k.empty()) first_k = cache.k, first_v = cache.v;
    EXPECT_TRUE(cache.k == first_k && cache.v == first_v) << name << " stores other integers";
  }
}

TEST(Int8Kv, ARowThatIsNotFiniteShowsInTheTokensThatSeeItAndInNoOthers) {
  Random random(2);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const bool in_k : {true, false}) {
      Matrix keys = Matrix::random(random, 30, kKvHeads * kHeadDim), values = keys;
      Matrix q = Matrix::random(random, 1, kHeads * kHeadDim);
      (in_k ? keys : values).row(20)[kHeadDim + 7] = -bad;  // of the second KV head
      for (const auto& [name, backend] : all_levels()) {
        Cache cache(DType::kI8, 30, 16);
        cache.store(backend->ops(), keys, values);
        for (const float y : cache.attend(*backend, q, 19)) ASSERT_TRUE(std::isfinite(y)) << name;
        const std::vector<float> out = cache.attend(*backend, q, 29);
        for (size_t i = 0; i < out.size(); ++i) {
          const bool second = i / kHeadDim >= kHeads / kKvHeads;
          ASSERT_EQ(std::isnan(out[i]), second) << name << ", element " << i;
        }
      }
    }
  }
}

TEST(KvBlocks, AnyBlockSizeGivesTheSameBits) {
  Random random(3);
  Matrix keys = Matrix::random(random, 700, kKvHeads * kHeadDim),
         values = Matrix::random(random, 700, kKvHeads * kHeadDim);
  Matrix q = Matrix::random(random, 1, kHeads * kHeadDim);
  for (const DType dtype : {DType::kI8, DType::kF16, DType::kBF16, DType::kF32}) {
    std::vector<float> expected;
    for (const auto& [name, backend] : every_level(3)) {
      for (int block_size : {16, 1, 6, 8, 32, 48, 1024}) {
        Cache cache(dtype, 700, block_size);
        cache.store(backend->ops(), keys, values);
        const std::vector<float> out = cache.attend(*backend, q, 699);
        if (expected.empty()) expected = out;
        EXPECT_TRUE(same_bits(out, expected)) << name << ", " << to_string(dtype) << ", blocks of " << block_size;
      }
    }
  }
}

}  // namespace
}  // namespace ferrum
