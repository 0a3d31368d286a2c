#include "tools/random_gguf/random_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "quant/blocks.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): eight good bytes per step.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// Sum of four uniform bytes: nearly normal, of unit deviation, and the same on every machine (no libm).
float nearly_normal(uint32_t bits) {
  const int sum = static_cast<int>(bits & 255) + static_cast<int>((bits >> 8) & 255) +
                  static_cast<int>((bits >> 16) & 255) + static_cast<int>(bits >> 24);
  return static_cast<float>(sum - 510) * (1.0f / 147.8f);
}

void set_half(uint16_t& field, float value) { field = f32_to_f16(value); }

// Sets the scales of blocks of random bits. `spread` is the deviation that the type's values have at scale 1 (of the
// integers uniform bits make, times those of the sub-scales), `centre` the offset that makes their mean 0.
template <typename Block>
void set_scale(std::vector<std::byte>& bytes, float deviation, float spread) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(Block)) {
    uint16_t d = f32_to_f16(deviation / spread);
    std::memcpy(bytes.data() + at + offsetof(Block, d), &d, sizeof d);
  }
}

template <typename Block>
void set_scale_and_min(std::vector<std::byte>& bytes, float deviation, float spread, float centre) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, bytes.data() + at, sizeof block);
    set_half(block.d, deviation / spread);
    if constexpr (requires { block.dmin; }) {
      set_half(block.dmin, deviation / spread * centre);
    } else {
      set_half(block.m, -deviation / spread * centre);
    }
    std::memcpy(bytes.data() + at, &block, sizeof block);
  }
}

// E8M0 exponents are powers of two; the nearest one to deviation / 5.85 (of the doubled E2M1 values).
void set_exponents(std::vector<std::byte>& bytes, float deviation) {
  const int exponent = 128 + static_cast<int>(std::lround(std::log2(deviation / 5.85f)));
  for (size_t at = 0; at < bytes.size(); at += sizeof(BlockMXFP4)) bytes[at] = static_cast<std::byte>(exponent);
}

void set_scales(DType dtype, std::vector<std::byte>& bytes, float deviation) {
  switch (dtype) {
    case DType::kQ4_0: return set_scale<BlockQ4_0>(bytes, deviation, 4.6f);
    case DType::kQ5_0: return set_scale<BlockQ5_0>(bytes, deviation, 9.2f);
    case DType::kQ8_0: return set_scale<BlockQ8_0>(bytes, deviation, 74.0f);
    case DType::kQ4_1: return set_scale_and_min<BlockQ4_1>(bytes, deviation, 4.6f, 7.5f);
    case DType::kQ5_1: return set_scale_and_min<BlockQ5_1>(bytes, deviation, 9.2f, 15.5f);
    case DType::kQ2_K: return set_scale_and_min<BlockQ2_K>(bytes, deviation, 14.5f, 1.5f);
    case DType::kQ3_K: return set_scale<BlockQ3_K>(bytes, deviation, 43.0f);
    case DType::kQ4_K: return set_scale_and_min<BlockQ4_K>(bytes, deviation, 255.0f, 7.5f);
    case DType::kQ5_K: return set_scale_and_min<BlockQ5_K>(bytes, deviation, 520.0f, 15.5f);
    case DType::kQ6_K: return set_scale<BlockQ6_K>(bytes, deviation, 1370.0f);
    case DType::kIQ4_NL: return set_scale<BlockIQ4_NL>(bytes, deviation, 72.0f);
    case DType::kIQ4_XS: return set_scale<BlockIQ4_XS>(bytes, deviation, 1330.0f);
    case DType::kMXFP4: return set_exponents(bytes, deviation);
    default: FERRUM_CHECK(false, "random weights of a type that stores none");
  }
}

}  // namespace

bool is_weight_type(DType dtype) {
  if (dtype == DType::kQ8_K) return false;
  return info(dtype).quantized || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

std::vector<std::byte> random_weights(DType dtype, int64_t elements, float deviation, uint64_t seed) {
  std::vector<std::byte> bytes(bytes_of(dtype, elements));
  Random random(seed);
  if (!info(dtype).quantized) {
    const size_t width = bytes.size() / static_cast<size_t>(elements);
    for (int64_t i = 0; i < elements; ++i) {
      const float value = deviation * nearly_normal(static_cast<uint32_t>(random.next()));
      const uint32_t single = std::bit_cast<uint32_t>(value);
      const auto half = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
      const void* from = dtype == DType::kF32 ? static_cast<const void*>(&single) : &half;
      std::memcpy(bytes.data() + static_cast<size_t>(i) * width, from, width);
    }
    return bytes;
  }
  for (size_t at = 0; at < bytes.size(); at += 8) {
    const uint64_t word = random.next();
    std::memcpy(bytes.data() + at, &word, std::min<size_t>(8, bytes.size() - at));
  }
  set_scales(dtype, bytes, deviation);
  return bytes;
}

}  // namespace ferrum
