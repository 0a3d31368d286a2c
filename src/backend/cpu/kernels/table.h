// The table of one instruction-set level; included once by each of the kernels_<level>.cc, after its vectors.
#pragma once

#include "backend/cpu/kernels/dot.h"
#include "backend/cpu/kernels/elementwise.h"
#include "backend/cpu/kernels/peak.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

// In kernels_<level>_attention.cc.
void attention(const AttentionTask& task);
void merge_attention(const AttentionTask& token, const AttentionTask& part, float* state);

// In kernels_<level>_panels.cc.
template <DType kType>
void panel_dot(const DotTask& task);

template <typename Format>
constexpr void set_dot(Kernels& k) {
  constexpr DType type = kDTypeOf<typename Format::Block>;
  k.dot[static_cast<size_t>(type)] = dot<Format>;
  k.panel_dot[static_cast<size_t>(type)] = panel_dot<type>;
}

// Evaluated by the compiler: no code of this level runs before the level is chosen.
constexpr Kernels make_kernels() {
  Kernels k;
  k.dot[static_cast<size_t>(DType::kF32)] = plain_dot<PlainF32>;
  k.dot[static_cast<size_t>(DType::kF16)] = plain_dot<PlainF16>;
  k.dot[static_cast<size_t>(DType::kBF16)] = plain_dot<PlainBF16>;
  set_dot<FormatQ4_0>(k);
  set_dot<FormatQ4_1>(k);
  set_dot<FormatQ5_0>(k);
  set_dot<FormatQ5_1>(k);
  set_dot<FormatQ8_0>(k);
  set_dot<FormatQ2_K>(k);
  set_dot<FormatQ3_K>(k);
  set_dot<FormatQ4_K>(k);
  set_dot<FormatQ5_K>(k);
  set_dot<FormatQ6_K>(k);
  set_dot<FormatQ8_K>(k);
  set_dot<FormatIQ4_NL>(k);
  set_dot<FormatIQ4_XS>(k);
  set_dot<FormatMXFP4>(k);
  k.quantize = quantize;
  k.rms_norm = rms_norm;
  k.add = add_row;
  k.silu_mul = silu_mul;
  k.rotate = rotate;
  k.store_kv = store_kv;
  k.attention = {attention, merge_attention};
  k.exp = exp_row;
  k.peak_int8 = peak_int8;
  k.peak_f32 = peak_f32;
  return k;
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
