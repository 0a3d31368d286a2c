// Storing K and V and attending to them, against the reference: every KV type, group size, window; and the same bits
// whoever is in the batch and whether spans are computed apart.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cuda/cuda_test_support.h"
#include "backend/kv_layout.h"
#include "backend/qkv_for_test.h"
#include "ops/kv_dtype.h"

namespace ferrum {
namespace {

using testing_support::cuda_backends;
using testing_support::gamma;
using testing_support::make_emulated_cuda;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::OnDevice;
using testing_support::qkv_args;
using testing_support::QkvCase;
using testing_support::QkvInput;
using testing_support::QkvResult;
using testing_support::Random;
using testing_support::random_floats;
using testing_support::same_bits;

struct Shape {
  int heads, kv_heads, head_dim, block_size, window;
  DType dtype;
};

std::string text(const Shape& s) {
  return std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + " heads of " + std::to_string(s.head_dim) +
         ", blocks of " + std::to_string(s.block_size) + ", window " + std::to_string(s.window) + ", " +
         std::string(to_string(s.dtype));
}

struct Token {
  size_t sequence;
  int position;
};

// Sequences of random K and V whose blocks are dealt out in random order.
struct Sequences {
  Sequences(Random& random, const Shape& s, const std::vector<int>& lengths) : shape(s) {
    for (int length : lengths) num_blocks += static_cast<int>((length + s.block_size - 1) / s.block_size);
    std::vector<int32_t> free(static_cast<size_t>(num_blocks));
    std::iota(free.begin(), free.end(), 0);
    std::shuffle(free.begin(), free.end(), random);
    for (size_t i = 0; i < lengths.size(); ++i) {
      tables.emplace_back();
      for (int p = 0; p < lengths[i]; ++p) {
        if (p % s.block_size == 0) {
          tables.back().push_back(free.back());
          free.pop_back();
        }
        tokens.push_back({i, p});
      }
    }
    const auto count = static_cast<int64_t>(tokens.size());
    k = Matrix::random(random, count, int64_t{s.kv_heads} * s.head_dim);
    v = Matrix::random(random, count, int64_t{s.kv_heads} * s.head_dim);
  }
  const float* row_of(const Matrix& m, Token t, int kv_head) const {
    size_t row = 0;
    while (tokens[row].sequence != t.sequence) ++row;
    return m.data.data() + (static_cast<int64_t>(row) + t.position) * m.stride_ + int64_t{kv_head} * shape.head_dim;
  }

  Shape shape;
  int num_blocks = 0;
  std::vector<std::vector<int32_t>> tables;
  std::vector<Token> tokens;  // all of them
  Matrix k{0, 0}, v{0, 0};
};

Batch batch_of(const Sequences& s, const std::vector<Token>& tokens, int max_blocks = 0) {
  Batch batch;
  batch.max_blocks = max_blocks;
  for (const auto& table : s.tables) batch.max_blocks = std::max(batch.max_blocks, static_cast<int>(table.size()));
  for (size_t t = 0; t < tokens.size(); ++t) {
    const std::vector<int32_t>& table = s.tables[tokens[t].sequence];
    if (t == 0 || tokens[t].sequence != tokens[t - 1].sequence) {
      Row row;
      row.q_begin = static_cast<int>(t);
      batch.rows.push_back(row);
      batch.cu_q.push_back(row.q_begin);
      batch.kv_lens.push_back(0);
      batch.block_tables.insert(batch.block_tables.end(), table.begin(), table.end());
      batch.block_tables.resize(batch.rows.size() * static_cast<size_t>(batch.max_blocks), 0);
    }
    const int position = tokens[t].position;
    batch.rows.back().q_len += 1;
    batch.rows.back().kv_len = batch.kv_lens.back() = position + 1;
    batch.tokens.push_back(0);
    batch.slots.push_back(table[static_cast<size_t>(position / s.shape.block_size)] * s.shape.block_size +
                          position % s.shape.block_size);
    batch.positions.push_back(position);
    batch.token_rows.push_back(static_cast<int32_t>(batch.rows.size()) - 1);
  }
  batch.cu_q.push_back(static_cast<int32_t>(tokens.size()));
  return batch;
}

// A cache on a backend.
struct Cache {
  Cache(Backend& backend, const Sequences& s) : shape(s.shape) {
    const int64_t rows = int64_t{s.num_blocks} * shape.kv_heads * shape.block_size;
    const size_t cache = bytes_of(shape.dtype, rows * shape.head_dim), scales = static_cast<size_t>(rows) * 4;
    for (Buffer* b : {&k, &v}) *b = backend.allocate(cache).value();
    for (Buffer* b : {&k_scale, &v_scale}) *b = backend.allocate(scales).value();
    const auto view = [&](const Buffer& b) {
      return View(b.data(), shape.dtype, {s.num_blocks, shape.kv_heads, shape.block_size, shape.head_dim});
    };
    layer.k = view(k);
    layer.v = view(v);
    if (!has_kv_scales(shape.dtype)) return;
    layer.k_scale = View(k_scale.data(), DType::kF32, {s.num_blocks, shape.kv_heads, shape.block_size});
    layer.v_scale = View(v_scale.data(), DType::kF32, {s.num_blocks, shape.kv_heads, shape.block_size});
  }
  Shape shape;
  Buffer k, v, k_scale, v_scale;
  KvLayer layer;
};

// Stores all of the sequences' K and V, unchanged.
void fill(Backend& backend, const Sequences& s, Cache& cache) {
  const Batch batch = batch_of(s, s.tokens);
  const DeviceBatch device = backend.upload(batch).value();
  OnDevice memory(backend);
  const auto count = static_cast<int64_t>(s.tokens.size());
  QkvArgs args;
  args.q = memory.matrix(Matrix(count, int64_t{s.shape.heads} * s.shape.head_dim));
  args.k = memory.matrix(s.k);
  args.v = memory.matrix(s.v);
  args.cos_sin = memory.matrix(Matrix(count, 0));
  args.num_heads = s.shape.heads;
  args.num_kv_heads = s.shape.kv_heads;
  args.head_dim = s.shape.head_dim;
  args.block_size = s.shape.block_size;
  args.kv = cache.layer;
  args.slots = device.slots;
  backend.ops().norm_rope_store(args);
}

std::vector<float> attend(Backend& backend, const Sequences& s, const Cache& cache, const std::vector<Token>& tokens,
                          const Matrix& q, int max_blocks = 0) {
  const Batch batch = batch_of(s, tokens, max_blocks);
  const DeviceBatch device = backend.upload(batch).value();
  OnDevice memory(backend);
  AttentionPlan plan;
  plan.batch = &device;
  plan.num_heads = s.shape.heads;
  plan.num_kv_heads = s.shape.kv_heads;
  plan.head_dim = s.shape.head_dim;
  plan.block_size = s.shape.block_size;
  plan.sliding_window = s.shape.window;
  plan.scale = 0.3f;
  const View out = memory.matrix(Matrix(q.rows_, q.cols_));
  backend.ops().attention(plan, memory.matrix(q), cache.layer, out);
  return memory.fetch(out);
}

// As in attention_test.cc, whose algorithm this is: a score is a chain of D fused operations and two or three factors:
// off by e = gamma(D + 3) * scale * sum |q k|. A weight is then off by a factor exp(2 e), u times the range R of the
// scores and 5 u of exp; each merge of C spans multiplies by an exponential once more: R u + 5 u; numerator and
// denominator carry this. A chain of up to 512 values rounds as often, the sum of weights 512 / 32 + 5 times, a merge
// twice; the division and the reference round once each, and INT8 scales once per value. All relative to max |v|.
double tolerance(const Sequences& s, Token token, const float* q, int kv_head) {
  const int first = s.shape.window > 0 ? std::max(0, token.position - s.shape.window + 1) : 0;
  const double positions = std::min(512, token.position - first + 1), merges = token.position / 512 - first / 512 + 1;
  double largest_dot = 0, largest_v = 0;
  for (int p = first; p <= token.position; ++p) {
    const float *k = s.row_of(s.k, {token.sequence, p}, kv_head), *v = s.row_of(s.v, {token.sequence, p}, kv_head);
    double dot = 0;
    for (int d = 0; d < s.shape.head_dim; ++d) {
      dot += std::abs(1.01 * q[d] * k[d]);  // stored in few bits, |k| may grow a little
      largest_v = std::max(largest_v, 1.01 * std::abs(v[d]));
    }
    largest_dot = std::max(largest_dot, 0.3 * dot);
  }
  const double u = 0x1p-24, range = 2 * largest_dot;
  const double weight = 2 * gamma(s.shape.head_dim + 3) * largest_dot + (1 + merges) * (u * range + 5 * u);
  return (std::expm1(2 * weight) + gamma(positions + 2 * merges) + gamma(positions / 32 + 6 + 2 * merges) + 4 * u) *
         largest_v;
}

void expect_attention(const Shape& shape, const std::vector<int>& lengths, const std::vector<Token>& tokens) {
  Random random(7);
  const Sequences s(random, shape, lengths);
  Matrix q = Matrix::random(random, static_cast<int64_t>(tokens.size()), int64_t{shape.heads} * shape.head_dim, 5);
  const auto reference = make_reference();
  Cache expected_cache(*reference, s);
  fill(*reference, s, expected_cache);
  const Batch batch = batch_of(s, tokens);
  DeviceBatch host = host_views(batch);
  Matrix expected(q.rows_, q.cols_);
  AttentionPlan plan{&host, shape.heads, shape.kv_heads, shape.head_dim, shape.block_size, shape.window, 0.3f};
  reference->ops().attention(plan, q.view(), expected_cache.layer, expected.view());
  for (const auto& backend : cuda_backends()) {
    Cache cache(*backend, s);
    fill(*backend, s, cache);
    const std::vector<float> out = attend(*backend, s, cache, tokens, q);
    ASSERT_EQ(out.size(), expected.data.size());
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (int h = 0; h < shape.heads; ++h) {
        const float* query = q.row(static_cast<int64_t>(t)) + h * shape.head_dim;
        const double bound = tolerance(s, tokens[t], query, h / (shape.heads / shape.kv_heads));
        for (int d = 0; d < shape.head_dim; ++d) {
          const size_t i = t * static_cast<size_t>(q.cols_) + static_cast<size_t>(h * shape.head_dim + d);
          ASSERT_NEAR(out[i], expected.data[i], bound)
              << text(shape) << ", " << backend->describe() << ", token " << t << ", head " << h << ", element " << d;
        }
      }
    }
  }
}

TEST(CudaAttention, IsWithinItsRoundingsForEveryTypeAndShape) {
  const std::vector<Token> tokens = {{0, 0}, {1, 36}, {2, 9}, {2, 10}, {2, 11}};
  for (DType dtype : {DType::kF16, DType::kBF16, DType::kF32, DType::kI8}) {
    for (const auto& [heads, kv_heads] : {std::pair{1, 1}, {4, 2}, {6, 2}, {4, 4}}) {
      expect_attention({heads, kv_heads, 16, 16, 0, dtype}, {1, 37, 12}, tokens);
    }
  }
  expect_attention({8, 1, 20, 5, 0, DType::kF16}, {1, 37, 12}, tokens);
  expect_attention({12, 1, 7, 16, 0, DType::kF32}, {1, 37, 12}, tokens);  // more heads than a block takes
  expect_attention({2, 1, 128, 16, 0, DType::kF16}, {1, 37, 12}, tokens);
  expect_attention({1, 1, 256, 16, 0, DType::kBF16}, {1, 37, 12}, tokens);
  for (int window : {1, 5, 16, 30}) expect_attention({2, 1, 8, 16, window, DType::kF32}, {1, 37, 12}, tokens);
}

TEST(CudaAttention, MergesTheSpansOfLongContexts) {
  const std::vector<Token> tokens = {{0, 1099}, {1, 511}, {1, 512}, {1, 513}};
  for (int window : {0, 100, 600}) expect_attention({2, 1, 8, 16, window, DType::kF32}, {1100, 514}, tokens);
}

TEST(CudaAttention, GivesTheSameBitsAloneAndWithOthersAndHoweverSpansAreShared) {
  Random random(8);
  const Shape shape{4, 2, 8, 16, 0, DType::kF16};
  const Sequences s(random, shape, {700, 30});
  const std::vector<Token> tokens = {{0, 500}, {0, 699}, {1, 29}};
  const Matrix q = Matrix::random(random, 3, 32);
  for (const auto& backend : cuda_backends()) {
    Cache cache(*backend, s);
    fill(*backend, s, cache);
    const std::vector<float> together = attend(*backend, s, cache, tokens, q);
    // So many blocks that the spans of these would not be computed apart.
    ASSERT_TRUE(cuda::split_spans(3, cuda::attention_spans(700)));
    ASSERT_FALSE(cuda::split_spans(3, cuda::attention_spans(16 * 32000)));
    EXPECT_TRUE(same_bits(attend(*backend, s, cache, tokens, q, 32000), together)) << backend->describe();
    for (size_t t = 0; t < tokens.size(); ++t) {
      Matrix one(1, 32);
      std::copy_n(q.data.begin() + static_cast<std::ptrdiff_t>(32 * t), 32, one.data.begin());
      const std::vector<float> alone = attend(*backend, s, cache, {tokens[t]}, one);
      EXPECT_TRUE(same_bits(alone, {together.begin() + static_cast<std::ptrdiff_t>(32 * t),
                                    together.begin() + static_cast<std::ptrdiff_t>(32 * t + 32)}));
    }
  }
}

// Blocks are reused: what a token does not see may be another's, or anything.
TEST(CudaAttention, NeverTouchesPositionsThatATokenDoesNotSee) {
  Random random(9);
  const Shape shape{2, 1, 8, 16, 6, DType::kF32};
  Sequences s(random, shape, {40});
  for (int p = 0; p < 40; ++p) {
    if (p > 15 && p <= 21) continue;
    std::fill_n(s.k.row(p), 8, NAN);
    std::fill_n(s.v.row(p), 8, NAN);
  }
  const Matrix q = Matrix::random(random, 1, 16);
  for (const auto& backend : cuda_backends()) {
    Cache cache(*backend, s);
    fill(*backend, s, cache);
    for (float x : attend(*backend, s, cache, {{0, 21}}, q)) EXPECT_TRUE(std::isfinite(x)) << backend->describe();
    for (float x : attend(*backend, s, cache, {{0, 22}}, q)) EXPECT_TRUE(std::isnan(x)) << backend->describe();
  }
}

// The values in a cache, row by row, wherever the backend keeps them.
std::vector<float> values_of(const std::vector<std::byte>& bytes, const View& view, const std::vector<float>& scales,
                             bool on_host, bool keys) {
  std::vector<float> all, flat(static_cast<size_t>(view.elements()));
  dequantize_row(view.dtype, bytes.data(), flat.data(), view.elements());
  for (int64_t slot = 0; slot < view.dim(0) * view.dim(2); ++slot) {
    for (int64_t h = 0; h < view.dim(1); ++h) {
      const KvPlace place = on_host && keys ? k_place(view, slot, h) : v_place(view, slot, h);
      const size_t row = static_cast<size_t>(v_place(view, slot, h).first / view.dim(3));
      for (int64_t d = 0; d < view.dim(3); ++d) {
        all.push_back(flat[static_cast<size_t>(place.first + d * place.step)] * (scales.empty() ? 1.0f : scales[row]));
      }
    }
  }
  return all;
}

QkvResult run_qkv(Backend& backend, const QkvCase& c, const QkvInput& in) {
  Sequences s = [&] {
    Random unused(1);
    return Sequences(unused, {c.heads, c.kv_heads, c.head_dim, 16, 0, c.dtype}, {80});
  }();
  Cache cache(backend, s);
  OnDevice memory(backend);
  const bool on_host = backend.name() == "reference";
  const View all = memory.matrix(in.qkv);
  QkvArgs args = qkv_args(c, all);
  if (c.norm) {
    args.q_norm = memory.vector(in.q_norm);
    args.k_norm = memory.vector(in.k_norm);
  }
  args.cos_sin = memory.matrix(in.cos_sin);
  args.kv = cache.layer;
  args.slots = memory.vector(in.slots);
  backend.ops().norm_rope_store(args);
  QkvResult result;
  const std::vector<float> after = memory.fetch(all);
  for (int64_t t = 0; t < in.qkv.rows_; ++t) {
    const auto row = after.begin() + t * in.qkv.stride_;
    result.q.insert(result.q.end(), row, row + args.q.dim(1));
  }
  const auto read = [&](const View& view, const View& scale, bool keys) {
    const std::vector<float> scales = scale.rank > 0 ? memory.fetch_as<float>(scale) : std::vector<float>{};
    return values_of(memory.fetch_as<std::byte>(view), view, scales, on_host, keys);
  };
  result.k = read(cache.layer.k, cache.layer.k_scale, true);
  result.v = read(cache.layer.v, cache.layer.v_scale, false);
  return result;
}

// As in ops_test.cc: the norm's roundings (a warp adds up: head_dim / 32 + 5, half of them, and 5 more), two products
// and their sum, of which one is fused: 2, the reference's result: 1; relative to |a c| + |b s|, at most sqrt(2) times
// the largest element. Storing in 16 bits rounds once more on either side. In INT8 an element that lies between two
// integers may fall on either: one step, 1 / 127 of the largest, besides the rounding of the scale.
TEST(CudaNormRopeStore, IsWithinTheRoundingsOfItsSteps) {
  Random random(6);
  for (const QkvCase& c : {QkvCase{RopeLayout::kInterleaved, 4, 2, 8, 8, false, DType::kF16},
                           QkvCase{RopeLayout::kHalfSplit, 3, 1, 24, 16, false, DType::kF32},
                           QkvCase{RopeLayout::kHalfSplit, 4, 4, 64, 64, true, DType::kBF16},
                           QkvCase{RopeLayout::kInterleaved, 5, 5, 20, 6, true, DType::kF32},
                           QkvCase{RopeLayout::kHalfSplit, 2, 1, 100, 70, true, DType::kI8},
                           QkvCase{RopeLayout::kInterleaved, 2, 1, 128, 0, true, DType::kF16}}) {
    const QkvInput in(random, c);
    const QkvResult expected = run_qkv(*make_reference(), c, in);
    const float largest = expected.largest();
    const double norm = c.norm ? (c.head_dim / 32 + 1 + 5) / 2.0 + 5 : 0;
    const double float_error = gamma(norm + 3) * 1.5 * largest;
    const double storing = c.dtype == DType::kF16 ? 0x1p-11 : c.dtype == DType::kBF16 ? 0x1p-8 : 0;
    const double step = c.dtype == DType::kI8 ? 1.001 * largest / 127 : 0;
    for (const auto& backend : cuda_backends()) {
      const QkvResult result = run_qkv(*backend, c, in);
      for (size_t i = 0; i < result.q.size(); ++i) ASSERT_NEAR(result.q[i], expected.q[i], float_error);
      for (size_t i = 0; i < result.k.size(); ++i) {
        ASSERT_NEAR(result.k[i], expected.k[i], float_error + step + 2 * storing * std::abs(expected.k[i]));
      }
      EXPECT_TRUE(same_bits(result.v, expected.v)) << backend->describe();
    }
  }
}

TEST(CudaNormRopeStore, AnInt8RowThatIsNotFiniteHasTheScaleNaNAndOneOfZerosZero) {
  Random random(10);
  Sequences s(random, {1, 1, 40, 16, 0, DType::kI8}, {3});
  s.k.row(0)[33] = NAN;
  s.k.row(1)[2] = INFINITY;
  std::fill_n(s.k.row(2), 40, 0.0f);
  for (const auto& backend : cuda_backends()) {
    Cache cache(*backend, s);
    fill(*backend, s, cache);
    OnDevice memory(*backend);
    const std::vector<float> scales = memory.fetch_as<float>(cache.layer.k_scale);
    EXPECT_TRUE(std::isnan(scales[0]) && std::isnan(scales[1])) << backend->describe();
    EXPECT_EQ(scales[2], 0.0f);
    const std::vector<int8_t> q = memory.fetch_as<int8_t>(cache.layer.k);
    EXPECT_EQ(std::vector<int8_t>(q.begin(), q.begin() + 120), std::vector<int8_t>(120, 0));
  }
}

}  // namespace
}  // namespace ferrum
