#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/dtype.h"
#include "tensor/float16.h"
#include "tensor/view.h"

namespace ferrum {
namespace {

TEST(DType, NamesAndNumbersRoundTrip) {
  for (const DTypeInfo& t : all_dtypes()) {
    EXPECT_EQ(dtype_from_ggml(t.ggml_type), t.dtype);
    EXPECT_EQ(dtype_from_name(t.name), t.dtype);
    EXPECT_EQ(ggml_type_name(t.ggml_type), t.name);
  }
  EXPECT_EQ(dtype_from_name("q4_k"), DType::kQ4_K);
  EXPECT_FALSE(dtype_from_name("q4_").has_value());
  EXPECT_FALSE(dtype_from_ggml(16).has_value());
  EXPECT_EQ(ggml_type_name(16), "IQ2_XXS");
  EXPECT_EQ(ggml_type_name(4242), "");
}

TEST(DType, BytesRefuseOverflowAndPartialBlocks) {
  EXPECT_EQ(checked_bytes(DType::kQ4_K, 512), 288);
  EXPECT_FALSE(checked_bytes(DType::kQ4_K, 128).has_value());
  EXPECT_FALSE(checked_bytes(DType::kF32, -1).has_value());
  EXPECT_FALSE(checked_bytes(DType::kF64, std::numeric_limits<int64_t>::max()).has_value());
}

// The compiler's _Float16 conversions are an implementation we did not write.
TEST(Float16, EveryHalfConvertsLikeTheCompiler) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const auto bits = static_cast<uint16_t>(h);
    _Float16 expected_half;
    std::memcpy(&expected_half, &bits, 2);
    const auto expected = static_cast<float>(expected_half);
    const float got = f16_to_f32(bits);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(got));
    } else {
      ASSERT_EQ(got, expected) << h;
      ASSERT_EQ(f32_to_f16(got), bits);
    }
  }
}

TEST(Float16, RoundingOfFloatsIsLikeTheCompilers) {
  uint32_t state = 1;
  for (int i = 0; i < 2000000; ++i) {
    state = state * 1664525u + 1013904223u;
    float f;
    std::memcpy(&f, &state, 4);
    if (std::isnan(f)) continue;
    const auto half = static_cast<_Float16>(f);
    uint16_t expected;
    std::memcpy(&expected, &half, 2);
    ASSERT_EQ(f32_to_f16(f), expected) << f;
  }
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie, to even
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);  // tie, to even
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(View, SlicesKeepTheRowStride) {
  float data[12];
  for (int i = 0; i < 12; ++i) data[i] = static_cast<float>(i);
  const View v(data, DType::kF32, {3, 4});
  const View c = v.columns(1, 2);
  EXPECT_EQ(c.row<float>(2)[0], 9.0f);
  EXPECT_FALSE(c.is_contiguous());
  EXPECT_EQ(v.first_rows(2).rows(), 2);
  EXPECT_EQ(describe(c), "[3, 2] F32");
}

TEST(Buffer, HostMemoryIsAlignedZeroedAndRefusedAsAValue) {
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{100}, size_t{3} << 20}) {
    auto buffer = Buffer::host(bytes);
    ASSERT_TRUE(buffer.is_ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 64, 0u);
    for (size_t i = 0; i < bytes; i += 97) EXPECT_EQ(static_cast<char*>(buffer->data())[i], 0);
  }
  EXPECT_EQ(Buffer::host(size_t{1} << 60).status().code(), StatusCode::kCapacity);
}

}  // namespace
}  // namespace ferrum
