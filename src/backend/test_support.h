// Random matrices of any stored type and other needs of this directory's tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/isa.h"
#include "backend/registry.h"
#include "quant/quantize.h"
#include "tensor/float16.h"

namespace ferrum::testing_support {

using Random = std::mt19937;

inline std::vector<float> random_floats(Random& random, int64_t n, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

// A float32 matrix that owns its memory. Rows lie `gap` elements further apart than they are long, as in a column
// slice.
struct Matrix {
  Matrix(int64_t rows, int64_t cols, int64_t gap = 0)
      : rows_(rows), cols_(cols), stride_(cols + gap), data(static_cast<size_t>(rows * (cols + gap)), 0.0f) {}
  static Matrix random(Random& random, int64_t rows, int64_t cols, int64_t gap = 0, float scale = 1.0f) {
    Matrix m(rows, cols, gap);
    m.data = random_floats(random, rows * (cols + gap), scale);
    return m;
  }
  View view() {
    View v(data.data(), DType::kF32, {rows_, cols_});
    v.row_stride = stride_;
    return v;
  }
  float* row(int64_t r) { return data.data() + r * stride_; }
  int64_t rows_, cols_, stride_;
  std::vector<float> data;
};

// Views of numbers that outlive them.
inline ConstView ints(const std::vector<int32_t>& v) {
  return ConstView(v.data(), DType::kI32, {static_cast<int64_t>(v.size())});
}
inline ConstView floats(const std::vector<float>& v) {
  return ConstView(v.data(), DType::kF32, {static_cast<int64_t>(v.size())});
}

// A stored matrix of any type.
struct Stored {
  DType dtype;
  int64_t rows, cols;
  std::vector<std::byte> bytes;

  const std::byte* row(int64_t r) const { return bytes.data() + static_cast<size_t>(r) * bytes_of(dtype, cols); }
  ConstView view() const { return ConstView(bytes.data(), dtype, {rows, cols}); }
  std::vector<float> values(int64_t r) const {
    std::vector<float> out(static_cast<size_t>(cols));
    dequantize_row(dtype, row(r), out.data(), cols);
    return out;
  }
};

// Where the scales of a block are: byte offsets of its f16 fields.
inline std::vector<size_t> f16_fields(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0: return {offsetof(BlockQ4_0, d)};
    case DType::kQ4_1: return {offsetof(BlockQ4_1, d), offsetof(BlockQ4_1, m)};
    case DType::kQ5_0: return {offsetof(BlockQ5_0, d)};
    case DType::kQ5_1: return {offsetof(BlockQ5_1, d), offsetof(BlockQ5_1, m)};
    case DType::kQ8_0: return {offsetof(BlockQ8_0, d)};
    case DType::kQ2_K: return {offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)};
    case DType::kQ3_K: return {offsetof(BlockQ3_K, d)};
    case DType::kQ4_K: return {offsetof(BlockQ4_K, d), offsetof(BlockQ4_K, dmin)};
    case DType::kQ5_K: return {offsetof(BlockQ5_K, d), offsetof(BlockQ5_K, dmin)};
    case DType::kQ6_K: return {offsetof(BlockQ6_K, d)};
    case DType::kIQ4_NL: return {offsetof(BlockIQ4_NL, d)};
    case DType::kIQ4_XS: return {offsetof(BlockIQ4_XS, d)};
    default: return {};
  }
}

// Sets every scale of the matrix' block number `block` to the float `value` (types with E8M0 scales: exponent 255).
inline void set_scales(Stored& m, size_t block, float value) {
  std::byte* p = m.bytes.data() + block * static_cast<size_t>(info(m.dtype).block_bytes);
  const uint16_t half = f32_to_f16(value);
  for (size_t at : f16_fields(m.dtype)) std::memcpy(p + at, &half, sizeof half);
  if (m.dtype == DType::kQ8_K) std::memcpy(p + offsetof(BlockQ8_K, d), &value, sizeof value);
  if (m.dtype == DType::kMXFP4) p[offsetof(BlockMXFP4, e)] = std::byte{255};
}

// Blocks of random bytes, hence every pattern a file can hold, with scales of random sign and a magnitude below 1.
inline Stored random_blocks(Random& random, DType dtype, int64_t rows, int64_t cols) {
  Stored m{dtype, rows, cols, std::vector<std::byte>(bytes_of(dtype, rows * cols))};
  for (std::byte& b : m.bytes) b = static_cast<std::byte>(random());
  std::uniform_real_distribution<float> scale(-1.0f, 1.0f);
  for (size_t b = 0; b < m.bytes.size() / static_cast<size_t>(info(dtype).block_bytes); ++b) {
    std::byte* p = m.bytes.data() + b * static_cast<size_t>(info(dtype).block_bytes);
    for (size_t at : f16_fields(dtype)) {
      const uint16_t half = f32_to_f16(scale(random));
      std::memcpy(p + at, &half, sizeof half);
    }
    if (dtype == DType::kQ8_K) {
      const float d = scale(random);
      std::memcpy(p, &d, sizeof d);
    }
    if (dtype == DType::kMXFP4) p[0] = static_cast<std::byte>(110 + random() % 20);
  }
  return m;
}

// Plain types hold normally distributed numbers (integers: rounded).
inline Stored random_plain(Random& random, DType dtype, int64_t rows, int64_t cols) {
  Stored m{dtype, rows, cols, std::vector<std::byte>(bytes_of(dtype, rows * cols))};
  const std::vector<float> values = random_floats(random, rows * cols, 3.0f);
  const auto fill = [&](auto convert) {
    using T = decltype(convert(0.0f));
    for (size_t i = 0; i < values.size(); ++i) {
      const T value = convert(values[i]);
      std::memcpy(m.bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
  };
  switch (dtype) {
    case DType::kF16: fill(f32_to_f16); break;
    case DType::kBF16: fill(f32_to_bf16); break;
    case DType::kF64: fill([](float v) { return static_cast<double>(v) * 1.0000001; }); break;
    case DType::kI8: fill([](float v) { return static_cast<int8_t>(v); }); break;
    case DType::kI16: fill([](float v) { return static_cast<int16_t>(100 * v); }); break;
    case DType::kI32: fill([](float v) { return static_cast<int32_t>(1000 * v); }); break;
    case DType::kI64: fill([](float v) { return static_cast<int64_t>(1000 * v); }); break;
    default: fill([](float v) { return v; }); break;
  }
  return m;
}

inline Stored random_stored(Random& random, DType dtype, int64_t rows, int64_t cols) {
  return info(dtype).quantized ? random_blocks(random, dtype, rows, cols) : random_plain(random, dtype, rows, cols);
}

// Weights as a file has them: normally distributed numbers, quantised.
inline Stored quantized(DType dtype, int64_t rows, int64_t cols, const std::vector<float>& values) {
  Stored m{dtype, rows, cols, std::vector<std::byte>(bytes_of(dtype, rows * cols))};
  const Status status = quantize_row(dtype, values.data(), m.bytes.data(), rows * cols);
  FERRUM_CHECK(status.is_ok(), status.message());
  return m;
}

inline Stored random_quantized(Random& random, DType dtype, int64_t rows, int64_t cols) {
  return quantized(dtype, rows, cols, random_floats(random, rows * cols, 0.05f));
}

inline std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (std::string_view name : isa_choices()) {
    if (isa_available(name)) names.emplace_back(name);
  }
  return names;
}

inline std::unique_ptr<Backend> make_cpu(const std::string& isa, int threads = 2, int max_tokens = 64,
                                         WeightLayout layout = WeightLayout::kPanels) {
  return make_backend(
             {.name = "cpu", .isa = isa, .threads = threads, .limits = {.max_tokens = max_tokens}, .layout = layout})
      .value();
}

inline constexpr WeightLayout kLayouts[] = {WeightLayout::kPanels, WeightLayout::kStored};
inline const char* name_of(WeightLayout layout) { return layout == WeightLayout::kPanels ? "panels" : "stored"; }

// Backend "cpu" on every instruction set this machine has, with its name.
struct Level {
  std::string isa;
  std::unique_ptr<Backend> backend;
};
inline std::vector<Level> every_level(int threads = 2, WeightLayout layout = WeightLayout::kPanels) {
  std::vector<Level> all;
  for (const std::string& isa : available_isas()) all.push_back({isa, make_cpu(isa, threads, 64, layout)});
  return all;
}

inline std::unique_ptr<Backend> make_reference() {
  return make_backend({.name = "reference", .isa = "auto", .threads = 1, .limits = {}}).value();
}

// Bits rather than values: tells -0 from 0, and NaN is equal to the same NaN.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// gamma_n = n u / (1 - n u): the relative error of n float32 roundings in a row, u = 2^-24 (Higham, "Accuracy and
// Stability of Numerical Algorithms", section 3.1).
inline double gamma(double n) { return n * 0x1p-24 / (1 - n * 0x1p-24); }

// The part of each weight that its format subtracts (dmin * min, or -m): what is left of a row, negated, when all
// integers of its blocks are zero. Empty for formats without one.
inline std::vector<float> offsets_of(const Stored& m, int64_t row) {
  Stored zeroed{m.dtype, 1, m.cols, std::vector<std::byte>(m.row(row), m.row(row) + bytes_of(m.dtype, m.cols))};
  const auto clear = [&](size_t at, size_t count) {
    const auto block_bytes = static_cast<size_t>(info(m.dtype).block_bytes);
    for (size_t b = 0; b < zeroed.bytes.size(); b += block_bytes) std::memset(zeroed.bytes.data() + b + at, 0, count);
  };
  switch (m.dtype) {
    case DType::kQ4_1: clear(offsetof(BlockQ4_1, qs), sizeof(BlockQ4_1::qs)); break;
    case DType::kQ5_1: clear(offsetof(BlockQ5_1, qh), sizeof(BlockQ5_1::qh) + sizeof(BlockQ5_1::qs)); break;
    case DType::kQ2_K: clear(offsetof(BlockQ2_K, qs), sizeof(BlockQ2_K::qs)); break;
    case DType::kQ4_K: clear(offsetof(BlockQ4_K, qs), sizeof(BlockQ4_K::qs)); break;
    case DType::kQ5_K: clear(offsetof(BlockQ5_K, qh), sizeof(BlockQ5_K::qh) + sizeof(BlockQ5_K::qs)); break;
    default: return {};
  }
  return zeroed.values(0);
}

// How far `cpu` may be from the reference for one output, by two causes:
//
// 1. Activations become d * q in groups of 32, d = max|x| / 127. Rounding to an integer moves x by at most d / 2; that
//    the factor 127 / max and the product x * factor are rounded moves x / d, which is at most 127, by 3 u more. Hence
//    |x - d q| <= d (1/2 + 127 * 4u), and the output moves by the sum of |w| times that.
// 2. Float roundings of the terms (D q_w) (d q_x) and m (d q_x), where w = D q_w - m. On panels: 3 in forming a term
//    (scale times integer scale, times the integer dot product, with the other half of a group), one in each running
//    fused multiply-add, of which there are n / 32 and, with an offset, one or two more per group of 32; 1 for the
//    bias. On stored rows: 3 in forming a term, 3 in adding chunks to the running sum, 1 for the offset, n / 256 + 1
//    running additions of two kinds, 4 in adding the lanes, 1 for the bias. The reference's unpacking of w adds 3. The
//    integer dot product is exact. Each term is off by at most gamma of that number; panels have the more of them.
// Plain float weights have the second cause only: in panels n fused multiply-adds in a row; on stored rows fewer, n /
// 64 additions in a running sum, 1 multiplication, 6 to add the sums and lanes; 1 bias. To both the reference's own
// rounding of the result is added, u |y|.
inline double linear_tolerance(const Stored& w, int64_t row, const float* x, float bias, double y) {
  const std::vector<float> values = w.values(row), offsets = offsets_of(w, row);
  const bool quantized = info(w.dtype).quantized;
  const auto n = static_cast<size_t>(w.cols);
  const double running = offsets.empty() ? 1 : w.dtype == DType::kQ2_K ? 3 : 2;  // additions per group of 32
  const double of_panels = 3 + running * static_cast<double>(n) / 32 + 1 + 3;
  const double of_stored = 3 + 3 + 1 + 2 * (static_cast<double>(n) / 256 + 1) + 4 + 1 + 3;
  const double roundings = quantized ? std::max(of_panels, of_stored) : static_cast<double>(n) + 1 + 1;
  double moved = 0, magnitude = std::abs(bias);
  for (size_t i = 0; i < n; ++i) {
    double d = 0;
    if (quantized) {
      float largest = 0;
      for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) largest = std::max(largest, std::abs(x[j]));
      d = largest / 127.0;
    }
    const double offset = offsets.empty() ? 0.0 : std::abs(offsets[i]);
    moved += std::abs(values[i]) * d * (0.5 + 127 * 4 * 0x1p-24);
    magnitude += (std::abs(values[i]) + 2 * offset) * (std::abs(x[i]) + d);
  }
  return moved + gamma(roundings) * magnitude + 0x1p-24 * std::abs(y);
}

}  // namespace ferrum::testing_support
