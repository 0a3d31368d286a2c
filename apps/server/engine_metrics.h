// The counts of EngineStats, each declared once: as /metrics names it, and as /stats does.
#pragma once

#include <cstdint>
#include <span>

#include "engine/engine.h"

namespace ferrum {

struct EngineMetric {
  const char* name;  // of Prometheus, without "_total"; under vLLM's name where vLLM has it
  bool counter;      // else a gauge
  const char* help;
  const char *group, *key;  // where /stats has it; nullptr = only in /metrics
  int64_t (*value)(const EngineStats&);
};

std::span<const EngineMetric> engine_metrics();

}  // namespace ferrum
