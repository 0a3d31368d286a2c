// Panels of 16 rows (cpu/panels.h) times activations, for one format and any number of tokens.
#pragma once

#include "backend/cpu/kernels/panel_many.h"
#include "backend/cpu/kernels/panel_one.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

template <typename Format>
static void panel_dot_of(const DotTask& task) {
  if (task.tokens > 1) return panels_of_many<Format>(task);
  for (int64_t row = 0; row < task.rows; row += kPanelRows) panel_of_one<Format>(task, row);
}

// By type, for the table.

template <DType kType>
void panel_dot(const DotTask& task);

#define FERRUM_PANEL_DOT(type)                          \
  template <>                                           \
  void panel_dot<DType::k##type>(const DotTask& task) { \
    panel_dot_of<Panel##type>(task);                    \
  }
FERRUM_PANEL_DOT(Q4_0)
FERRUM_PANEL_DOT(Q4_1)
FERRUM_PANEL_DOT(Q5_0)
FERRUM_PANEL_DOT(Q5_1)
FERRUM_PANEL_DOT(Q8_0)
FERRUM_PANEL_DOT(Q2_K)
FERRUM_PANEL_DOT(Q3_K)
FERRUM_PANEL_DOT(Q4_K)
FERRUM_PANEL_DOT(Q5_K)
FERRUM_PANEL_DOT(Q6_K)
FERRUM_PANEL_DOT(Q8_K)
FERRUM_PANEL_DOT(IQ4_NL)
FERRUM_PANEL_DOT(IQ4_XS)
FERRUM_PANEL_DOT(MXFP4)
#undef FERRUM_PANEL_DOT

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
