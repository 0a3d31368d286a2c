#include "apps/common/engine_settings.h"

#include "base/check.h"

namespace ferrum {

EngineOptions engine_options_from(const Settings& settings) {
  EngineOptions options;
  const auto integer = [&](const char* key, int& value) {
    if (const auto set = settings.get_int(key)) value = static_cast<int>(*set);
  };
  if (const auto backend = settings.get_text("FERRUM_BACKEND")) options.backend = *backend;
  if (const auto isa = settings.get_text("FERRUM_CPU_ISA")) options.isa = *isa;
  integer("FERRUM_THREADS", options.threads);
  integer("FERRUM_CONTEXT", options.max_model_len);
  integer("FERRUM_MAX_SEQS", options.max_seqs);
  integer("FERRUM_MAX_BATCHED_TOKENS", options.max_batched_tokens);
  integer("FERRUM_MAX_WAITING", options.max_waiting);
  integer("FERRUM_BLOCK_SIZE", options.block_size);
  if (const auto blocks = settings.get_int("FERRUM_KV_BLOCKS")) options.kv_blocks = *blocks;
  if (const auto share = settings.get_float("FERRUM_KV_MEMORY_FRACTION")) options.kv_memory_fraction = *share;
  if (const auto name = settings.get_text("FERRUM_KV_DTYPE")) {
    const auto dtype = dtype_from_name(*name);
    FERRUM_CHECK(dtype.has_value(), "the choices of FERRUM_KV_DTYPE are names of types");
    options.kv_dtype = *dtype;
  }
  return options;
}

}  // namespace ferrum
