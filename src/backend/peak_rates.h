// What this processor can compute at most: the other half of a roofline, beside measure_read_bandwidth().
#pragma once

namespace ferrum {

// Operations per second of all threads together, a multiply-add counting as two.
struct PeakRates {
  double int8 = 0;  // 8-bit products summed in 32 bits: quantised weights
  double f32 = 0;   // fused multiply-adds where the processor has them
  double bf16 = 0;  // BF16 products summed in float32; 0 where the processor has no instruction for them
};

// The best of a few passes with the widest instructions that Ferrum's kernels know, whatever the backend was told to
// use. Matrix units (AMX) are not among them. Takes some tenths of a second.
PeakRates measure_peak_rates(int threads);

}  // namespace ferrum
