#include "config/keys.h"

namespace ferrum {
namespace {

using enum KeyType;
using enum Effect;
using enum Stability;

constexpr double kCount = 1e12;             // of counts without a natural bound
constexpr double kPebi = 1125899906842624;  // of sizes in bytes: 1 PiB

std::vector<KeySpec> make_keys() {
  return {
      // Where and how it computes.
      {"FERRUM_BACKEND", "--backend", "engine.backend", kChoice, 0, 0, {"auto", "cpu", "cuda", "reference"}, "auto",
       {kPerformance}, kStable, "Which implementation computes; auto takes a GPU where one can be used", ""},
      {"FERRUM_CPU_ISA", "--isa", "cpu.isa", kChoice, 0, 0, {"auto", "baseline", "avx2", "avx512"}, "auto",
       {kPerformance}, kStable, "Instruction set of the cpu backend; one the machine lacks is an error", ""},
      {"FERRUM_THREADS", "--threads", "cpu.threads", kInt, 0, 1024, {}, "0",
       {kPerformance}, kStable, "Compute threads; 0 = the physical cores this process may use", ""},
      {"FERRUM_DTYPE", "--dtype", "engine.dtype", kChoice, 0, 0, {"fp16", "bf16", "fp32"}, "",
       {kCorrectness, kPerformance, kMemory}, kStable, "Type of activations; default: what the backend computes best in", ""},
      {"FERRUM_LOG_LEVEL", "--log-level", "log.level", kChoice, 0, 0, {"trace", "debug", "info", "warn", "error", "off"},
       "info", {kDiagnostics}, kStable, "How much is written to standard error", ""},

      // Memory.
      {"FERRUM_MAX_MODEL_LEN", "--context", "memory.context", kInt, 1, kCount, {}, "",
       {kMemory}, kStable, "Tokens per sequence, prompt and answer together; default: the model's, or what fits", ""},
      {"FERRUM_KV_CAPACITY", "--kv-capacity", "memory.kv_capacity", kInt, 1, kCount, {}, "",
       {kMemory}, kStable, "Tokens per sequence that the KV cache can hold; at most the model's context is used", ""},
      {"FERRUM_KV_DTYPE", "--kv-dtype", "memory.kv_dtype", kChoice, 0, 0, {"fp16", "bf16", "fp32", "int8", "fp8"}, "",
       {kCorrectness, kPerformance, kMemory}, kStable, "Element type of the KV cache; default: fp16", ""},
      {"FERRUM_KV_MAX_BLOCKS", "--kv-blocks", "memory.kv_blocks", kInt, 1, kCount, {}, "",
       {kMemory}, kStable, "Blocks of the KV cache; default: from sequences, context and memory", ""},
      {"FERRUM_KV_MEMORY_FRACTION", "--kv-memory-fraction", "memory.kv_fraction", kFloat, 0.01, 0.95, {}, "0.5",
       {kMemory}, kStable, "Share of the free memory that the KV cache may take by default", ""},
      {"FERRUM_BLOCK_SIZE", "--block-size", "memory.block_size", kInt, 1, 4096, {}, "16",
       {kPerformance, kMemory}, kStable, "Tokens per block of the KV cache", ""},
      {"FERRUM_PAGED_KV", "--paged-kv", "memory.paged_kv", kBool, 0, 0, {}, "true",
       {kPerformance, kMemory}, kStable, "KV cache in blocks shared by all sequences; false: contiguous, one sequence only",
       "FERRUM_METAL_PAGED_KV"},
      {"FERRUM_PREFIX_CACHE", "--prefix-cache", "memory.prefix_cache", kBool, 0, 0, {}, "",
       {kCorrectness, kPerformance, kMemory}, kStable, "Reuse the KV of prompts that begin alike", ""},

      // Scheduling.
      {"FERRUM_PAGED_MAX_SEQS", "--max-seqs", "scheduler.max_seqs", kInt, 1, 4096, {}, "",
       {kPerformance, kMemory}, kStable, "Sequences that run at once; default: from the workload and the machine", ""},
      {"FERRUM_MAX_BATCHED_TOKENS", "--max-batched-tokens", "scheduler.max_batched_tokens", kInt, 1, 1 << 20, {}, "",
       {kPerformance, kMemory}, kStable, "Token budget of one step; default: 64 per sequence, within the KV cache", ""},
      {"FERRUM_MAX_WAITING", "--max-waiting", "scheduler.max_waiting", kInt, 0, 1 << 20, {}, "256",
       {kPerformance}, kStable, "Requests that may wait for a place; further ones are refused with 429", ""},
      {"FERRUM_ACTIVE_DECODE_PREFILL_CHUNK", "--active-decode-prefill-chunk", "scheduler.active_decode_prefill_chunk",
       kInt, 0, 1 << 20, {}, "", {kPerformance}, kExperimental,
       "Prompt tokens per step while others decode; default: the step's budget", ""},
      {"FERRUM_SCHED_PREFILL_FIRST_UNTIL_ACTIVE", "--prefill-first-until-active", "scheduler.prefill_first_until_active",
       kInt, 0, 4096, {}, "", {kPerformance}, kExperimental,
       "Prompts before decoding until this many sequences are active", ""},
      {"FERRUM_SCHED_PROMPT_TOKEN_ESTIMATE", "--prompt-token-estimate", "scheduler.prompt_token_estimate", kBool, 0, 0, {},
       "false", {kPerformance}, kExperimental, "Admit by the prompt's tokens instead of the whole request's", ""},

      // CUDA attention and graphs.
      {"FERRUM_USE_VLLM_PAGED_ATTN", "--vllm-paged-attn", "cuda.vllm_paged_attn", kBool, 0, 0, {}, "",
       {kPerformance}, kExperimental, "Paged attention in vLLM's layout (CUDA builds that contain it)", ""},
      {"FERRUM_VLLM_PAGED_ATTN_V1_SHORT", "--vllm-paged-attn-v1-short", "cuda.vllm_paged_attn_v1_short", kBool, 0, 0, {},
       "", {kPerformance}, kExperimental, "The one-pass decode kernel for short contexts", ""},
      {"FERRUM_FA_LAYOUT_VARLEN", "--fa-layout-varlen", "cuda.fa_layout_varlen", kBool, 0, 0, {}, "false",
       {kPerformance, kMemory}, kExperimental, "FlashAttention's layout for mixed batches", ""},
      {"FERRUM_FA2_SOURCE", "--fa2-source", "cuda.fa2_source", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "FlashAttention 2 built in from source", ""},
      {"FERRUM_FA2_DIRECT_FFI", "--fa2-direct-ffi", "cuda.fa2_direct_ffi", kBool, 0, 0, {}, "",
       {kPerformance}, kDiagnostic, "FlashAttention 2 through a shim library", ""},
      {"FERRUM_FA2_DIRECT_FFI_SHIM", "--fa2-direct-ffi-shim", "cuda.fa2_direct_ffi_shim", kText, 0, 0, {}, "",
       {kPerformance}, kDiagnostic, "Path of that shim library", ""},
      {"FERRUM_CUDA_GRAPH", "--cuda-graph", "cuda.graph", kBool, 0, 0, {}, "",
       {kPerformance, kCorrectness}, kExperimental, "Decode steps as captured CUDA graphs", ""},
      {"FERRUM_GREEDY_ARGMAX", "--greedy-argmax", "cuda.greedy_argmax", kBool, 0, 0, {}, "",
       {kPerformance, kCorrectness}, kExperimental, "Greedy tokens are chosen on the device", ""},

      // Mixture of experts.
      {"FERRUM_VLLM_MOE", "--vllm-moe", "moe.vllm_marlin", kBool, 0, 0, {}, "",
       {kPerformance}, kExperimental, "Marlin expert kernels (CUDA builds that contain them)", ""},
      {"FERRUM_VLLM_MOE_PAIR_IDS", "--vllm-moe-pair-ids", "moe.pair_ids", kBool, 0, 0, {}, "",
       {kPerformance}, kExperimental, "Routing by pair ids", ""},
      {"FERRUM_VLLM_MOE_ZERO_WS", "--vllm-moe-zero-ws", "moe.zero_workspace", kBool, 0, 0, {}, "false",
       {kCorrectness, kPerformance}, kDiagnostic, "Clear the expert workspace before each use", ""},
      {"FERRUM_MOE_DEVICE_ROUTE", "--moe-device-route", "moe.device_route", kBool, 0, 0, {}, "",
       {kPerformance}, kExperimental, "Routing without a round trip to the host", ""},
      {"FERRUM_MOE_HOST_ROUTE", "--moe-host-route", "moe.host_route", kBool, 0, 0, {}, "false",
       {kPerformance}, kDiagnostic, "Routing on the host, whatever else is chosen", ""},
      {"FERRUM_MOE_GRAPH", "--moe-graph", "moe.graph", kBool, 0, 0, {}, "false",
       {kPerformance, kCorrectness}, kExperimental, "Decode of mixture-of-experts models as captured graphs", ""},
      {"FERRUM_MOE_BATCHED", "--moe-batched", "moe.batched", kBool, 0, 0, {}, "true",
       {kPerformance}, kExperimental, "Experts compute all rows of a decode step together", ""},
      {"FERRUM_MOE_BATCH_THRESHOLD", "--moe-batch-threshold", "moe.batch_threshold", kInt, 1, 4096, {}, "4",
       {kPerformance}, kExperimental, "Rows from which they do", ""},
      {"FERRUM_MOE_BLOCK_SIZE", "--moe-block-size", "moe.block_size", kInt, 8, 64, {}, "",
       {kPerformance}, kExperimental, "Rows per expert block: 8, 16, 32, 48 or 64; default: by padding", ""},
      {"FERRUM_MOE_LARGE_M_BLOCK_SIZE", "--moe-large-m-block-size", "moe.large_m_block_size", kInt, 8, 64, {}, "",
       {kPerformance}, kExperimental, "The same for large batches", ""},
      {"FERRUM_MOE_LARGE_M_MIN_PAIRS", "--moe-large-m-min-pairs", "moe.large_m_min_pairs", kInt, 1, kCount, {}, "",
       {kPerformance}, kExperimental, "Token-expert pairs from which a batch is large", ""},
      {"FERRUM_QWEN_UNIFIED_PREFILL", "--qwen-unified-prefill", "moe.unified_prefill", kBool, 0, 0, {}, "true",
       {kPerformance}, kExperimental, "Prompt chunks of several sequences in one pass", ""},

      // Diagnostics.
      {"FERRUM_DECODE_OP_PROFILE", "--decode-op-profile", "profile.decode_ops", kBool, 0, 0, {}, "false",
       {kDiagnostics}, kDiagnostic, "Time each operation of decode steps", ""},
      {"FERRUM_PREFILL_OP_PROFILE", "--prefill-op-profile", "profile.prefill_ops", kBool, 0, 0, {}, "false",
       {kDiagnostics}, kDiagnostic, "Time each operation of steps that read prompts", ""},
      {"FERRUM_DECODE_LAYER_PROFILE", "--decode-layer-profile", "profile.decode_layers", kBool, 0, 0, {}, "false",
       {kDiagnostics}, kDiagnostic, "Time each layer of decode steps", ""},
      {"FERRUM_MOE_PROFILE", "--moe-profile", "profile.moe", kBool, 0, 0, {}, "false",
       {kDiagnostics}, kDiagnostic, "Time the phases of the expert blocks", ""},
      {"FERRUM_MOE_LOAD_TRACE", "--moe-load-trace", "profile.moe_load", kBool, 0, 0, {}, "false",
       {kDiagnostics}, kDiagnostic, "Log how expert weights are loaded", ""},

      // GPU kernel profile (gpu_profile.h).
      {"FERRUM_WIDE_Q4K_DISABLE", "--wide-q4k-disable", "kernels.q4k_legacy", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q4_K: the one-warp kernel", ""},
      {"FERRUM_WIDE_Q4K", "--wide-q4k", "kernels.q4k_wide", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q4_K: 128 threads per row", ""},
      {"FERRUM_VECTORIZED_Q4K", "--vectorized-q4k", "kernels.q4k_vectorized", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q4_K: 32 threads with vector loads", ""},
      {"FERRUM_HW_DP4A_Q4K", "--hw-dp4a-q4k", "kernels.q4k_hw_dp4a", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q4_K: half-warp integer dot products", ""},
      {"FERRUM_DP4A_Q4K", "--dp4a-q4k", "kernels.q4k_dp4a", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q4_K: multi-warp integer dot products", ""},
      {"FERRUM_MWV_Q4K", "--mwv-q4k", "kernels.q4k_mwv", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q4_K: multi-warp, float32 activations", ""},
      {"FERRUM_HW_DP4A_Q6K", "--hw-dp4a-q6k", "kernels.q6k_hw_dp4a", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q6_K: half-warp integer dot products", ""},
      {"FERRUM_DP4A_Q6K", "--dp4a-q6k", "kernels.q6k_dp4a", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q6_K: integer dot products", ""},
      {"FERRUM_MWV_Q6K", "--mwv-q6k", "kernels.q6k_mwv", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Q6_K: multi-warp, float32 activations", ""},
      {"FERRUM_MWV_WARPS", "--mwv-warps", "kernels.mwv_warps", kInt, 1, 8, {}, "3",
       {kPerformance}, kExperimental, "Warps per block of the multi-warp kernels", ""},
      {"FERRUM_BATCHED_PREFILL", "--batched-prefill", "kernels.batched_prefill", kBool, 0, 0, {}, "true",
       {kPerformance}, kExperimental, "Prompt chunks go through matrix kernels", ""},
      {"FERRUM_HGEMM_DECODE", "--hgemm-decode", "kernels.hgemm_decode", kBool, 0, 0, {}, "false",
       {kPerformance, kMemory}, kExperimental, "Half-precision matrix products for one row", ""},
      {"FERRUM_FUSED_GATE_UP", "--fused-gate-up", "kernels.fused_gate_up", kBool, 0, 0, {}, "",
       {kPerformance}, kExperimental, "Gate, up and SwiGLU in one kernel; default: with half-warp Q4_K", ""},
      {"FERRUM_FP8_PREFILL", "--fp8-prefill", "kernels.fp8_prefill", kBool, 0, 0, {}, "",
       {kCorrectness, kPerformance}, kExperimental, "FP8 weights for prompts; default: from sm_89 on", ""},
      {"FERRUM_FP8_DECODE", "--fp8-decode", "kernels.fp8_decode", kBool, 0, 0, {}, "",
       {kCorrectness, kPerformance}, kExperimental, "FP8 weights for batched decode; default: as for prompts", ""},
      {"FERRUM_W4A16_INTERLEAVED", "--w4a16-interleaved", "kernels.w4a16_interleaved", kBool, 0, 0, {}, "false",
       {kPerformance}, kExperimental, "Column-interleaved 4-bit weights on tensor cores, from sm_70 on", ""},
      // What the machine is taken for, instead of what it is.
      {"FERRUM_VRAM_BYTES", "--vram", "hardware.vram", kBytes, 0, kPebi, {}, "",
       {kMemory}, kDiagnostic, "Memory of the accelerator to plan for, as in 24G; default: what it has", ""},
  };
}

}  // namespace

std::string_view to_string(Stability stability) {
  switch (stability) {
    case kStable: return "stable";
    case kExperimental: return "experimental";
    case kDiagnostic: return "diagnostic";
  }
  return "unknown";
}

const std::vector<KeySpec>& all_keys() {
  static const std::vector<KeySpec> keys = make_keys();
  return keys;
}

const KeySpec* find_key(std::string_view name) {
  for (const KeySpec& key : all_keys()) {
    if (key.name == name || (!key.alias.empty() && key.alias == name)) return &key;
  }
  return nullptr;
}

const KeySpec* find_toml_key(std::string_view path) {
  for (const KeySpec& key : all_keys()) {
    if (key.toml == path) return &key;
  }
  return nullptr;
}

}  // namespace ferrum
