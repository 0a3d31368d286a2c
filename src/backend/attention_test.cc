// Attention of backend "cpu" against the reference, and its independence of how a prompt is cut and who is in the
// batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/kv_layout.h"
#include "backend/test_support.h"
#include "ops/kv_dtype.h"

namespace ferrum {
namespace {

using testing_support::available_isas;
using testing_support::gamma;
using testing_support::make_cpu;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::Random;
using testing_support::random_stored;
using testing_support::same_bits;
using testing_support::Stored;

struct Shape {
  int heads, kv_heads, head_dim, block_size, window;
  DType dtype;
};

void PrintTo(const Shape& s, std::ostream* out) {
  *out << s.heads << "/" << s.kv_heads << " heads of " << s.head_dim << ", blocks of " << s.block_size << ", window "
       << s.window << ", " << to_string(s.dtype);
}

// Sequences in one paged cache whose blocks are dealt out in random order.
struct Paged {
  Paged(Random& random, const Shape& s, const std::vector<int>& lengths)
      : shape(s), k(cache(random, s, lengths)), v(cache(random, s, lengths)) {
    std::vector<int32_t> free(static_cast<size_t>(blocks_for(s, lengths)));
    std::iota(free.begin(), free.end(), 0);
    std::shuffle(free.begin(), free.end(), random);
    for (int length : lengths) {
      tables.emplace_back();
      for (int p = 0; p < length; p += s.block_size) {
        tables.back().push_back(free.back());
        free.pop_back();
      }
    }
    std::uniform_real_distribution<float> scale(0.005f, 0.03f);
    for (auto* scales : {&k_scale, &v_scale}) {
      scales->resize(static_cast<size_t>(has_kv_scales(s.dtype) ? k.rows : 0));
      for (float& x : *scales) x = scale(random);
    }
  }
  static int64_t blocks_for(const Shape& s, const std::vector<int>& lengths) {
    int64_t blocks = 3;
    for (int length : lengths) blocks += (length + s.block_size - 1) / s.block_size;
    return blocks;
  }
  static Stored cache(Random& random, const Shape& s, const std::vector<int>& lengths) {
    Stored m = random_stored(random, s.dtype, blocks_for(s, lengths) * s.kv_heads * s.block_size, s.head_dim);
    if (s.dtype == DType::kI8) {
      for (std::byte& b : m.bytes) b = static_cast<std::byte>(static_cast<int>(random() % 255) - 127);
    }
    return m;
  }
  KvLayer layer() {
    const int64_t blocks = k.rows / (shape.kv_heads * shape.block_size);
    KvLayer kv{View(k.bytes.data(), shape.dtype, {blocks, shape.kv_heads, shape.block_size, shape.head_dim}),
               View(v.bytes.data(), shape.dtype, {blocks, shape.kv_heads, shape.block_size, shape.head_dim})};
    if (has_kv_scales(shape.dtype)) {
      kv.k_scale = View(k_scale.data(), DType::kF32, {blocks, shape.kv_heads, shape.block_size});
      kv.v_scale = View(v_scale.data(), DType::kF32, {blocks, shape.kv_heads, shape.block_size});
    }
    return kv;
  }
  int64_t slot(size_t sequence, int64_t position) const {
    return int64_t{tables[sequence][static_cast<size_t>(position / shape.block_size)]} * shape.block_size +
           position % shape.block_size;
  }
  std::vector<float> read(const Stored& m, KvPlace place, const std::vector<float>& scales, int64_t scale_index) const {
    std::vector<float> x(static_cast<size_t>(shape.head_dim));
    for (size_t d = 0; d < x.size(); ++d) {
      const int64_t at = place.first + static_cast<int64_t>(d) * place.step;
      dequantize_row(m.dtype, m.bytes.data() + bytes_of(m.dtype, at), &x[d], 1);
      if (!scales.empty()) x[d] *= scales[static_cast<size_t>(scale_index)];
    }
    return x;
  }
  int64_t row(int64_t slot, int64_t head) const {
    return (slot / shape.block_size * shape.kv_heads + head) * shape.block_size + slot % shape.block_size;
  }
  std::vector<float> k_at(size_t sequence, int64_t position, int64_t head) {
    const int64_t at = slot(sequence, position);
    return read(k, k_place(layer().k, at, head), k_scale, row(at, head));
  }
  std::vector<float> v_at(size_t sequence, int64_t position, int64_t head) {
    const int64_t at = slot(sequence, position);
    return read(v, v_place(layer().v, at, head), v_scale, row(at, head));
  }
  // NaN in all of K and V of a position.
  void poison(int64_t position) {
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      const int64_t at = slot(0, position);
      for (const auto& [bytes, place] : {std::pair{k.bytes.data(), k_place(layer().k, at, h)},
                                         std::pair{v.bytes.data(), v_place(layer().v, at, h)}}) {
        for (int64_t d = 0; d < shape.head_dim; ++d) {
          std::memset(bytes + bytes_of(shape.dtype, place.first + d * place.step), 0xff, bytes_of(shape.dtype, 1));
        }
      }
      if (has_kv_scales(shape.dtype)) {
        k_scale[static_cast<size_t>(row(at, h))] = v_scale[static_cast<size_t>(row(at, h))] = NAN;
      }
    }
  }

  Shape shape;
  Stored k, v;
  std::vector<float> k_scale, v_scale;
  std::vector<std::vector<int32_t>> tables;
};

struct Token {
  size_t sequence;
  int position;
};

// Rows are runs of one sequence's tokens.
Batch batch_of(const Paged& paged, const std::vector<Token>& tokens) {
  Batch batch;
  for (const auto& table : paged.tables) batch.max_blocks = std::max(batch.max_blocks, static_cast<int>(table.size()));
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (t == 0 || tokens[t].sequence != tokens[t - 1].sequence) {
      batch.rows.push_back({.seq = tokens[t].sequence,
                            .q_begin = static_cast<int>(t),
                            .q_len = 0,
                            .kv_len = 0,
                            .logit_begin = 0,
                            .logit_count = 0});
      batch.cu_q.push_back(static_cast<int32_t>(t));
      std::vector<int32_t> table = paged.tables[tokens[t].sequence];
      table.resize(static_cast<size_t>(batch.max_blocks), 0);
      batch.block_tables.insert(batch.block_tables.end(), table.begin(), table.end());
      batch.kv_lens.push_back(0);
    }
    batch.rows.back().q_len += 1;
    batch.rows.back().kv_len = batch.kv_lens.back() = tokens[t].position + 1;
    batch.tokens.push_back(0);
    batch.slots.push_back(0);
    batch.positions.push_back(tokens[t].position);
    batch.token_rows.push_back(static_cast<int32_t>(batch.rows.size()) - 1);
  }
  batch.cu_q.push_back(static_cast<int32_t>(tokens.size()));
  return batch;
}

std::vector<float> attend(Backend& backend, Paged& paged, const std::vector<Token>& tokens, View q, float scale) {
  const Batch batch = batch_of(paged, tokens);
  const DeviceBatch device = backend.upload(batch).value();
  AttentionPlan plan;
  plan.batch = &device;
  plan.num_heads = paged.shape.heads;
  plan.num_kv_heads = paged.shape.kv_heads;
  plan.head_dim = paged.shape.head_dim;
  plan.block_size = paged.shape.block_size;
  plan.sliding_window = paged.shape.window;
  plan.scale = scale;
  Matrix out(q.dim(0), q.dim(1));
  std::fill(out.data.begin(), out.data.end(), NAN);
  backend.ops().attention(plan, q, paged.layer(), out.view());
  return out.data;
}

// How far one head's output may be from the reference.
//
// A score is a chain of D fused multiply-adds and at most two scales: off by at most e = gamma(D + 2) * scale *
// max_j sum |q k_j|. A weight exp(s - m) is then off by a factor exp(2 e), by the rounding of s - m (u times the range
// R of the scores), by 4 u of exp itself and u of a scale; each of C chunks that are merged multiplies once more with
// an exponential of a difference of maxima: R u + 5 u. Numerator and denominator both carry this. A chain of up to 512
// values rounds 512 times, the weights' sum in lanes 512 / 16 + 4 times, a merge twice; the division takes two
// roundings and the reference's result one. All of it is relative to sum w_j |v_j|, which is at most max |v|.
double tolerance(Paged& paged, Token token, const float* q, int64_t kv_head, double scale) {
  const int window = paged.shape.window;
  const int64_t first = window > 0 ? std::max(0, token.position - window + 1) : 0;
  const auto positions = static_cast<double>(std::min<int64_t>(512, token.position - first + 1));
  const double merges = static_cast<double>(token.position / 512 - first / 512 + 1);
  double largest_dot = 0, largest_v = 0;
  for (int64_t p = first; p <= token.position; ++p) {
    double dot = 0;
    for (size_t d = 0; const float k : paged.k_at(token.sequence, p, kv_head)) dot += std::abs(q[d++] * k);
    largest_dot = std::max(largest_dot, scale * dot);
    for (const float v : paged.v_at(token.sequence, p, kv_head)) {
      largest_v = std::max(largest_v, static_cast<double>(std::abs(v)));
    }
  }
  const double u = 0x1p-24, range = 2 * largest_dot;
  const double weight = 2 * gamma(paged.shape.head_dim + 2) * largest_dot + (1 + merges) * (u * range + 5 * u);
  return (std::expm1(2 * weight) + gamma(positions + 2 * merges) + gamma(positions / 16 + 4 + 2 * merges) + 3 * u) *
         largest_v;
}

class Attention : public ::testing::TestWithParam<Shape> {};

TEST_P(Attention, StaysWithinTheDerivedBoundOfTheReference) {
  Random random(1);
  const Shape shape = GetParam();
  const std::vector<int> lengths = {1, 75, 16, 33, 1040};
  Paged paged(random, shape, lengths);
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  // A mixed batch: a prompt chunk, decoded tokens, a first token.
  std::vector<Token> tokens;
  for (int p = 20; p < 75; ++p) tokens.push_back({1, p});
  tokens.push_back({3, 32});
  tokens.push_back({0, 0});
  for (int p = 0; p < 16; ++p) tokens.push_back({2, p});
  for (int p = 1021; p < 1027; ++p) tokens.push_back({4, p});  // on both sides of a chunk's border
  Matrix q = Matrix::random(random, static_cast<int64_t>(tokens.size()), shape.heads * shape.head_dim, 24);
  const std::vector<float> expected = attend(*make_reference(), paged, tokens, q.view(), scale);
  std::vector<float> baseline;
  for (const std::string& isa : available_isas()) {
    const std::vector<float> out = attend(*make_cpu(isa), paged, tokens, q.view(), scale);
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (int h = 0; h < shape.heads; ++h) {
        const float* query = q.row(static_cast<int64_t>(t)) + h * shape.head_dim;
        const double allowed = tolerance(paged, tokens[t], query, h / (shape.heads / shape.kv_heads), scale);
        for (int d = 0; d < shape.head_dim; ++d) {
          const size_t i =
              (t * static_cast<size_t>(shape.heads) + static_cast<size_t>(h)) * static_cast<size_t>(shape.head_dim) +
              static_cast<size_t>(d);
          ASSERT_NEAR(out[i], expected[i], allowed) << isa << ", token " << t << ", head " << h << ", element " << d;
        }
      }
    }
    if (baseline.empty()) baseline = out;
    EXPECT_TRUE(same_bits(out, baseline)) << isa << " differs from " << available_isas()[0];
  }
}

TEST_P(Attention, ATokenIsTheSameBitsAloneInAChunkOrInABatch) {
  Random random(2);
  const Shape shape = GetParam();
  Paged paged(random, shape, {70, 50});
  std::vector<Token> prompt;
  for (int p = 0; p < 70; ++p) prompt.push_back({0, p});
  const int64_t width = shape.heads * shape.head_dim;
  Matrix q = Matrix::random(random, 120, width);
  for (const std::string& isa : available_isas()) {
    const auto backend = make_cpu(isa, 3);
    const std::vector<float> whole = attend(*backend, paged, prompt, q.view().first_rows(70), 0.2f);
    const auto expect_rows = [&](const std::vector<float>& out, size_t out_row, size_t row, size_t count,
                                 const char* how) {
      EXPECT_EQ(std::memcmp(&out[out_row * static_cast<size_t>(width)], &whole[row * static_cast<size_t>(width)],
                            count * static_cast<size_t>(width) * sizeof(float)),
                0)
          << isa << ": " << how << " from position " << row;
    };
    for (size_t chunk : {1, 7, 16, 64}) {
      for (size_t begin = 0; begin < 70; begin += chunk) {
        const size_t n = std::min(chunk, 70 - begin);
        View part = q.view();
        part.data = q.row(static_cast<int64_t>(begin));
        const std::vector<Token> tokens(prompt.begin() + static_cast<int64_t>(begin),
                                        prompt.begin() + static_cast<int64_t>(begin + n));
        expect_rows(attend(*backend, paged, tokens, part.first_rows(static_cast<int64_t>(n)), 0.2f), 0, begin, n,
                    "chunk");
      }
    }
    // Behind another sequence.
    std::vector<Token> both;
    for (int p = 0; p < 50; ++p) both.push_back({1, p});
    both.insert(both.end(), prompt.begin(), prompt.end());
    Matrix shifted(120, width);
    std::copy(q.data.begin(), q.data.begin() + 70 * width, shifted.data.begin() + 50 * width);
    expect_rows(attend(*backend, paged, both, shifted.view(), 0.2f), 50, 0, 70, "batch");
  }
}

// One token of a long context: the chunks are cut among threads where there are few heads. And the same token at the
// end of a prompt's chunk, where they are not.
TEST_P(Attention, ALongContextIsTheSameBitsOnAnyNumberOfThreads) {
  Random random(5);
  const Shape shape = GetParam();
  Paged paged(random, shape, {2100});
  const int64_t width = shape.heads * shape.head_dim;
  Matrix q = Matrix::random(random, 12, width);
  std::vector<Token> tokens;
  for (int p = 2088; p < 2100; ++p) tokens.push_back({0, p});
  std::vector<float> last;
  for (const std::string& isa : available_isas()) {
    const std::vector<float> prompt = attend(*make_cpu(isa, 1), paged, tokens, q.view(), 0.2f);
    std::vector<float> alone(prompt.end() - width, prompt.end());
    if (last.empty()) last = alone;
    EXPECT_TRUE(same_bits(alone, last)) << isa;
    View query = q.view();
    query.data = q.row(11);
    for (int threads : {1, 2, 3, 7}) {
      const auto backend = make_cpu(isa, threads);
      EXPECT_TRUE(same_bits(attend(*backend, paged, {tokens.back()}, query.first_rows(1), 0.2f), last))
          << isa << ", " << threads << " threads";
    }
  }
}

class WindowedAttention : public Attention {};

TEST_P(WindowedAttention, AWindowHidesWhatLiesBeforeIt) {
  const Shape shape = GetParam();
  Random random(3);
  const int length = shape.window + 75;
  Paged paged(random, shape, {length});
  const std::vector<Token> token = {{0, length - 1}};
  Matrix q = Matrix::random(random, 1, shape.heads * shape.head_dim);
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(make_reference());
  for (const std::string& isa : available_isas()) backends.push_back(make_cpu(isa));
  for (const auto& backend : backends) {
    Paged poisoned = paged;
    const std::vector<float> before = attend(*backend, poisoned, token, q.view(), 0.2f);
    // NaN at all hidden positions of K and V; at one visible position afterwards.
    for (int64_t p = 0; p < length - shape.window; ++p) poisoned.poison(p);
    EXPECT_TRUE(same_bits(attend(*backend, poisoned, token, q.view(), 0.2f), before)) << backend->describe();
    poisoned.poison(length - shape.window);
    for (const float y : attend(*backend, poisoned, token, q.view(), 0.2f)) {
      ASSERT_TRUE(std::isnan(y)) << backend->describe() << " does not see the first position of the window";
    }
  }
}

constexpr Shape kUnlimited[] = {{8, 4, 8, 16, 0, DType::kF16},  {4, 1, 64, 16, 0, DType::kBF16},
                                {24, 2, 20, 5, 0, DType::kF32}, {3, 3, 80, 32, 0, DType::kI8},
                                {7, 1, 100, 12, 0, DType::kI8}, {50, 1, 16, 1, 0, DType::kF16}};
constexpr Shape kWindowed[] = {{4, 4, 24, 16, 5, DType::kF32},  {6, 2, 128, 16, 40, DType::kF16},
                               {9, 1, 40, 8, 16, DType::kBF16}, {2, 1, 16, 32, 17, DType::kF16},
                               {3, 3, 33, 16, 1, DType::kF16},  {5, 1, 32, 16, 30, DType::kI8},
                               {2, 2, 64, 24, 600, DType::kI8}, {6, 2, 24, 48, 513, DType::kF32}};
INSTANTIATE_TEST_SUITE_P(Unlimited, Attention, ::testing::ValuesIn(kUnlimited));
INSTANTIATE_TEST_SUITE_P(Windowed, Attention, ::testing::ValuesIn(kWindowed));
INSTANTIATE_TEST_SUITE_P(Windowed, WindowedAttention, ::testing::ValuesIn(kWindowed));

// Scores far apart and far from zero: the running maximum must keep exp from overflowing, whatever the order.
TEST(AttentionExtremes, LargeScoresDoNotOverflow) {
  Random random(4);
  for (const float factor : {1.0f, -1.0f}) {
    const Shape shape{2, 1, 16, 16, 0, DType::kF32};
    Paged paged(random, shape, {64});
    const std::vector<Token> token = {{0, 63}};
    Matrix q = Matrix::random(random, 1, 32, 0, 300.0f * factor);
    const std::vector<float> expected = attend(*make_reference(), paged, token, q.view(), 1.0f);
    for (const std::string& isa : available_isas()) {
      const std::vector<float> out = attend(*make_cpu(isa), paged, token, q.view(), 1.0f);
      for (size_t i = 0; i < out.size(); ++i) {
        ASSERT_NEAR(out[i], expected[i], tolerance(paged, token[0], q.row(0) + i / 16 * 16, 0, 1.0)) << isa;
      }
    }
  }
}

}  // namespace
}  // namespace ferrum
