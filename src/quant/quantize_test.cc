#include "quant/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "io/gguf.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

// Written by tools/make_quant_vectors.py from an independent implementation.
const Gguf& vectors() {
  static const auto file = Gguf::open(FERRUM_SOURCE_DIR "/tests/data/quant/vectors.gguf");
  EXPECT_TRUE(file.is_ok()) << file.status().message();
  return **file;
}

template <typename T>
std::vector<T> tensor(const std::string& name) {
  const GgufTensor* t = vectors().find_tensor(name);
  EXPECT_NE(t, nullptr) << name;
  if (t == nullptr) return {};
  std::vector<T> out(t->bytes / sizeof(T));
  std::memcpy(out.data(), t->view.data, t->bytes);
  return out;
}

std::vector<DType> quantized_types() {
  std::vector<DType> out;
  for (const DTypeInfo& t : all_dtypes()) {
    if (t.quantized) out.push_back(t.dtype);
  }
  return out;
}

std::vector<float> uniform_row(int64_t n, float low, float high, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> row(static_cast<size_t>(n));
  for (float& x : row) x = low + (high - low) * static_cast<float>(random()) * 0x1p-32f;
  return row;
}

std::vector<float> round_trip(DType dtype, const std::vector<float>& row) {
  const auto n = static_cast<int64_t>(row.size());
  std::vector<std::byte> blocks(bytes_of(dtype, n));
  const Status status = quantize_row(dtype, row.data(), blocks.data(), n);
  EXPECT_TRUE(status.is_ok()) << status.message();
  std::vector<float> out(row.size());
  dequantize_row(dtype, blocks.data(), out.data(), n);
  return out;
}

class EveryQuantizedType : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Quant, EveryQuantizedType, testing::ValuesIn(quantized_types()),
                         [](const auto& p) { return std::string(to_string(p.param)); });

TEST_P(EveryQuantizedType, DecodesBitForBitAsThePythonPackage) {
  const std::string name(to_string(GetParam()));
  const auto blocks = tensor<std::byte>(name + ".blocks");
  const auto expected = tensor<uint32_t>(name + ".floats");
  ASSERT_EQ(blocks.size(), bytes_of(GetParam(), static_cast<int64_t>(expected.size())));
  std::vector<float> floats(expected.size());
  dequantize_row(GetParam(), blocks.data(), floats.data(), static_cast<int64_t>(floats.size()));
  for (size_t i = 0; i < floats.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(floats[i]), expected[i]) << "element " << i << ": " << floats[i];
  }
}

TEST(Quantize, RoundsBitForBitAsThePythonPackage) {
  const auto rows = tensor<float>("rows");
  for (DType dtype : {DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                      DType::kMXFP4}) {
    const auto expected = tensor<std::byte>(std::string(to_string(dtype)) + ".coded");
    std::vector<std::byte> coded(bytes_of(dtype, static_cast<int64_t>(rows.size())));
    ASSERT_EQ(coded.size(), expected.size());
    const Status status = quantize_row(dtype, rows.data(), coded.data(), static_cast<int64_t>(rows.size()));
    ASSERT_TRUE(status.is_ok()) << status.message();
    for (size_t i = 0; i < coded.size(); ++i) {
      ASSERT_EQ(coded[i], expected[i]) << to_string(dtype) << " block "
                                       << i / static_cast<size_t>(info(dtype).block_bytes) << " byte "
                                       << i % static_cast<size_t>(info(dtype).block_bytes);
    }
  }
}

// Uniform values in [-1, 1] rounded to a grid of spacing s err by s / sqrt(12) in the root mean square. s follows from
// the format: the range that a group's levels have to span (2, or 1 to either side of zero) over their number. What the
// stored scales' own rounding adds is bounded by `slack`.
struct GridBound {
  DType dtype;
  double spacing;
  double slack;
};

TEST(Quantize, RoundTripErrorFollowsTheStep) {
  const GridBound bounds[] = {
      {DType::kQ4_0, 1.0 / 8, 1.15},  // one side is cut at 7/8: the values in the last half step err more
      {DType::kQ4_1, 2.0 / 15, 1.02},  {DType::kQ5_0, 1.0 / 16, 1.10},  {DType::kQ5_1, 2.0 / 31, 1.02},
      {DType::kQ8_0, 1.0 / 127, 1.02}, {DType::kQ8_K, 1.0 / 127, 1.02}, {DType::kQ2_K, 2.0 / 3, 1.10},
      {DType::kQ3_K, 1.0 / 4, 1.10},   {DType::kQ4_K, 2.0 / 15, 1.05},  {DType::kQ5_K, 2.0 / 31, 1.10},
      {DType::kQ6_K, 1.0 / 32, 1.05},
  };
  const auto row = uniform_row(256 * 64, -1.0f, 1.0f, 7);
  for (const GridBound& bound : bounds) {
    const auto back = round_trip(bound.dtype, row);
    double sum = 0;
    for (size_t i = 0; i < row.size(); ++i) sum += std::pow(static_cast<double>(row[i]) - back[i], 2);
    const double rms = std::sqrt(sum / static_cast<double>(row.size()));
    const double ideal = bound.spacing / std::sqrt(12.0);
    EXPECT_LT(rms, ideal * bound.slack) << to_string(bound.dtype);
    // 16 uniform values span 15/17 of the range on average, and the search may cut outliers.
    EXPECT_GT(rms, ideal * 0.6) << to_string(bound.dtype) << ": better than the grid allows, so the bound is not one";
  }
}

// The non-uniform grids: no gap of kIq4Values is wider than 24/127 of the extreme, of MXFP4's above half of 8/12.
TEST(Quantize, RoundTripErrorOfNonUniformGrids) {
  const auto row = uniform_row(256 * 16, -1.0f, 1.0f, 8);
  for (DType dtype : {DType::kIQ4_NL, DType::kIQ4_XS}) {
    const auto back = round_trip(dtype, row);
    for (size_t i = 0; i < row.size(); ++i) {
      // The search may move the scale by a tenth; at the upper end 113 is the last level of 127.
      EXPECT_LE(std::fabs(row[i] - back[i]), 0.5 * 24 / 127 * 1.1 + 14.0 / 127) << to_string(dtype) << " " << i;
    }
  }
  const auto back = round_trip(DType::kMXFP4, row);
  for (size_t i = 0; i < row.size(); ++i) {
    // The block's top level is 6 in units where the extreme is below 8: up to a quarter of the extreme is cut.
    EXPECT_LE(std::fabs(row[i] - back[i]), std::max(0.25, 0.5 * 2.0 / 4)) << i;
  }
}

// The types whose elements are rounded against the scales as stored. The others follow the reference, which rounds
// before the scale itself is rounded to half precision; RoundsBitForBitAsThePythonPackage covers them.
class TypeRoundedToStoredScale : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Quant, TypeRoundedToStoredScale,
                         testing::Values(DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,
                                         DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4),
                         [](const auto& p) { return std::string(to_string(p.param)); });

// Each element has the code nearest to it among those its group can express: an independent check of the packing, since
// a bit in the wrong place gives another code.
TEST_P(TypeRoundedToStoredScale, NoOtherCodeOfTheGroupIsNearer) {
  const DType dtype = GetParam();
  const int64_t n = 256 * 8;
  const auto row = uniform_row(n, -2.0f, 1.0f, 9);
  std::vector<std::byte> blocks(bytes_of(dtype, n));
  ASSERT_TRUE(quantize_row(dtype, row.data(), blocks.data(), n).is_ok());
  std::vector<float> back(row.size()), other(row.size());
  dequantize_row(dtype, blocks.data(), back.data(), n);
  // Flip every bit of the file in turn. Where that changes exactly one element, it was a bit of that element's code.
  int codes_checked = 0;
  const int64_t block_elements = info(dtype).block_elements;
  const auto block_bytes = static_cast<size_t>(info(dtype).block_bytes);
  for (size_t bit = 0; bit < blocks.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1u << (bit % 8));
    const size_t block = bit / 8 / block_bytes;
    const size_t first = block * static_cast<size_t>(block_elements);
    blocks[bit / 8] ^= mask;
    dequantize_row(dtype, blocks.data() + block * block_bytes, other.data() + first, block_elements);
    blocks[bit / 8] ^= mask;
    int changed = 0;
    size_t where = 0;
    for (size_t i = first; i < first + static_cast<size_t>(block_elements); ++i) {
      if (other[i] == back[i]) continue;
      ++changed;
      where = i;
    }
    if (changed != 1) continue;
    ++codes_checked;
    EXPECT_LE(std::fabs(row[where] - back[where]), std::fabs(row[where] - other[where]) * 1.00001f + 1e-7f) << where;
  }
  EXPECT_GE(codes_checked, n);
}

TEST_P(EveryQuantizedType, ZerosStayZeroAndConstantsNearlyConstant) {
  const std::vector<float> zeros(512, 0.0f);
  EXPECT_EQ(round_trip(GetParam(), zeros), zeros);
  // Not smaller: Q6_K stores the extreme over 32 * 128 in half precision, whose subnormals have few digits.
  const float tolerance = GetParam() == DType::kMXFP4 ? 0.25f : 0.09f;  // 8 * 2^k is cut to 6 * 2^k
  for (float value : {0.5f, -0.5f, 0.03f, 1000.0f}) {
    const auto back = round_trip(GetParam(), std::vector<float>(512, value));
    for (float x : back) EXPECT_NEAR(x, value, std::fabs(value) * tolerance) << to_string(GetParam());
  }
}

TEST_P(EveryQuantizedType, RefusesWhatItCannotHold) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    std::vector<float> row(512, 1.0f);
    row[300] = bad;
    std::vector<std::byte> blocks(bytes_of(GetParam(), 512));
    const Status status = quantize_row(GetParam(), row.data(), blocks.data(), 512);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("value 300"), std::string::npos) << status.message();
  }
}

// Every quantiser takes any finite row without leaving the numbers: no NaN comes back. Run under UBSan this also shows
// that no conversion overflows.
TEST_P(EveryQuantizedType, ExtremeRowsStayFinite) {
  std::mt19937 random(11);
  const float scales[] = {65504.0f, 1.0f, 1e-4f, 6e-8f, 1e-20f, 1e-38f, 1e-44f};
  for (float scale : scales) {
    for (int kind = 0; kind < 4; ++kind) {
      std::vector<float> row(512);
      for (size_t i = 0; i < row.size(); ++i) {
        const float u = static_cast<float>(random()) * 0x1p-31f - 1.0f;
        row[i] = scale * (kind == 0   ? u
                          : kind == 1 ? std::fabs(u)
                          : kind == 2 ? -std::fabs(u)
                                      : (i % 97 == 0 ? u : 0.0f));
      }
      for (float x : round_trip(GetParam(), row)) {
        ASSERT_TRUE(std::isfinite(x));
        ASSERT_LE(std::fabs(x), 2.5f * scale + 1e-7f);
      }
    }
  }
}

TEST(Quantize, HalfPrecisionScalesBoundTheValues) {
  std::vector<float> row(256, 0.0f);
  row[3] = 65505.0f;
  std::vector<std::byte> out(4096);
  for (DType dtype : {DType::kF16, DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kIQ4_XS}) {
    EXPECT_FALSE(quantize_row(dtype, row.data(), out.data(), 256).is_ok()) << to_string(dtype);
  }
  row[3] = 3e38f;
  EXPECT_TRUE(quantize_row(DType::kMXFP4, row.data(), out.data(), 256).is_ok());
  EXPECT_TRUE(quantize_row(DType::kQ8_K, row.data(), out.data(), 256).is_ok());
}

TEST(Quantize, PlainTypes) {
  const std::vector<float> row = {0.0f, 1.0f, -1.5f, 2.5f, 100.4f, -127.0f};
  EXPECT_EQ(round_trip(DType::kF32, row), row);
  EXPECT_EQ(round_trip(DType::kF64, row), row);
  EXPECT_EQ(round_trip(DType::kI8, row), (std::vector<float>{0, 1, -2, 2, 100, -127}));  // half to even
  for (DType dtype : {DType::kI16, DType::kI32, DType::kI64}) {
    EXPECT_EQ(round_trip(dtype, {1e4f, -3.0f}), (std::vector<float>{1e4f, -3.0f}));
  }
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(round_trip(DType::kF16, {inf, -inf}), (std::vector<float>{inf, -inf}));
  EXPECT_TRUE(std::isnan(round_trip(DType::kBF16, {std::nanf("")})[0]));
  std::byte out[16];
  const float bad[] = {128.0f, -129.0f, std::nanf("")};
  for (const float& x : bad) EXPECT_FALSE(quantize_row(DType::kI8, &x, out, 1).is_ok());
  const float two63 = 0x1p63f, minus_two63 = -0x1p63f;
  EXPECT_FALSE(quantize_row(DType::kI64, &two63, out, 1).is_ok());
  EXPECT_TRUE(quantize_row(DType::kI64, &minus_two63, out, 1).is_ok());
}

TEST(Quantize, PlainTypesDecodeWideNumbers) {
  const int64_t wide[] = {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()};
  float out[2];
  dequantize_row(DType::kI64, wide, out, 2);
  EXPECT_EQ(out[0], 0x1p63f);
  EXPECT_EQ(out[1], -0x1p63f);
  const double doubles[] = {0.1, 1e300};
  dequantize_row(DType::kF64, doubles, out, 2);
  EXPECT_EQ(out[0], 0.1f);
  EXPECT_EQ(out[1], std::numeric_limits<float>::infinity());
}

TEST(Activations, FollowTheirDefinition) {
  const auto row = uniform_row(512, -3.0f, 2.0f, 12);
  std::vector<ActBlock32> small(16);
  std::vector<BlockQ8_K> large(2);
  quantize_activations(row.data(), small.data(), 512);
  quantize_activations(row.data(), large.data(), 512);
  for (size_t i = 0; i < 512; ++i) {
    const ActBlock32& s = small[i / 32];
    const BlockQ8_K& l = large[i / 256];
    EXPECT_LE(std::fabs(row[i] - s.d * static_cast<float>(s.qs[i % 32])), s.d * 0.5001f);
    EXPECT_LE(std::fabs(row[i] - l.d * static_cast<float>(l.qs[i % 256])), l.d * 0.5001f);
  }
  for (const ActBlock32& s : small) {
    int sum = 0, extreme = 0;
    for (int8_t q : s.qs) {
      sum += q;
      extreme = std::max(extreme, std::abs(q));
    }
    EXPECT_EQ(s.sum, sum);
    EXPECT_EQ(extreme, 127);
  }
  for (const BlockQ8_K& l : large) {
    for (int g = 0; g < 16; ++g) {
      int sum = 0;
      for (int j = 0; j < 16; ++j) sum += l.qs[16 * g + j];
      EXPECT_EQ(l.bsums[g], sum);
    }
  }
}

TEST(Activations, ZerosAndTrouble) {
  std::vector<float> row(256, 0.0f);
  ActBlock32 blocks[8];
  quantize_activations(row.data(), blocks, 256);
  EXPECT_EQ(blocks[0].d, 0.0f);
  row[5] = 1e-31f;
  quantize_activations(row.data(), blocks, 256);
  EXPECT_EQ(blocks[0].d, 0.0f);
  for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    row[40] = bad;
    quantize_activations(row.data(), blocks, 256);
    EXPECT_EQ(blocks[0].d, 0.0f);
    EXPECT_TRUE(std::isnan(blocks[1].d));
    EXPECT_EQ(blocks[1].qs[8], 0);
    BlockQ8_K large;
    quantize_activations(row.data(), &large, 256);
    EXPECT_TRUE(std::isnan(large.d));
  }
}

}  // namespace
}  // namespace ferrum
