// Loops that are unrolled before the compiler looks at anything: it keeps an array in registers only if all its indices
// are constants by then, and `#pragma GCC unroll` comes too late for that where the elements are pairs of registers.
#pragma once

#include <utility>

namespace ferrum::FERRUM_ISA_NAMESPACE {

template <int kTheValue>
struct Index {
  static constexpr int kValue = kTheValue;
  FERRUM_MEMBER constexpr operator int() const { return kValue; }
};

template <typename Body, int... kIndices>
FERRUM_INLINE void repeat_for(const Body& body, std::integer_sequence<int, kIndices...>) {
  (body(Index<kIndices>{}), ...);
}

// body(i) for i = 0 .. kCount - 1. The body wants FERRUM_INLINE_BODY behind its parameters.
#define FERRUM_INLINE_BODY __attribute__((always_inline))
template <int kCount, typename Body>
FERRUM_INLINE void repeat(const Body& body) {
  repeat_for(body, std::make_integer_sequence<int, kCount>{});
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
