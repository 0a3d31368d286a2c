#include "config/key_table.h"

#include <initializer_list>

#include "types/queue_policy.h"
#include "types/sampling.h"

namespace ferrum {
namespace {

using enum Effect;

constexpr double kMaxTokens = 1 << 30;     // positions are int32
constexpr double kMaxBlocks = 2147483647;  // blocks are int32

// A row of the table, put together by what it holds.
class Row {
 public:
  Row(std::string_view name, std::string_view flag, std::string_view toml, std::string_view help) {
    key_.name = name;
    key_.flag = flag;
    key_.toml = toml;
    key_.help = help;
  }

  Row& boolean(std::string_view fallback) { return typed(KeyType::kBool, fallback); }
  Row& integer(double low, double high, std::string_view fallback) {
    key_.low = low;
    key_.high = high;
    return typed(KeyType::kInt, fallback);
  }
  Row& number(double low, double high, std::string_view fallback) {
    key_.low = low;
    key_.high = high;
    return typed(KeyType::kFloat, fallback);
  }
  Row& choice(std::initializer_list<std::string_view> choices, std::string_view fallback) {
    key_.choices = choices;
    return typed(KeyType::kChoice, fallback);
  }
  Row& list() { return typed(KeyType::kList, ""); }
  Row& text(std::string_view fallback) { return typed(KeyType::kText, fallback); }

  Row& affects(std::initializer_list<Effect> effects) {
    key_.affects = effects;
    return *this;
  }
  Row& spelling(std::string_view other, std::string_view meaning) {
    key_.spellings.emplace_back(other, meaning);
    return *this;
  }
  Row& alias(std::string_view name) {
    key_.aliases.push_back(name);
    return *this;
  }
  Row& experimental() {
    key_.stability = Stability::kExperimental;
    return *this;
  }
  Row& diagnostic() {
    key_.stability = Stability::kDiagnostic;
    return *this;
  }
  Row& server() {
    key_.scope = KeyScope::kServer;
    return *this;
  }
  Row& secret() {
    key_.secret = true;
    return *this;
  }
  Row& needs(Part part) {
    key_.part = part;
    return *this;
  }

  operator KeySpec() const { return key_; }  // NOLINT: rows are written where keys are wanted

 private:
  Row& typed(KeyType type, std::string_view fallback) {
    key_.type = type;
    key_.fallback = fallback;
    return *this;
  }
  KeySpec key_;
};

std::vector<KeySpec> compute_keys() {
  return {
      Row("FERRUM_BACKEND", "--backend", "engine.backend",
          "Which implementation computes; auto is the CPU as long as the kernels for GPUs are not proved on one")
          .choice({"auto", "cpu", "reference", "cuda"}, "auto")
          .affects({kPerformance}),
      Row("FERRUM_CPU_ISA", "--isa", "cpu.isa", "Instruction set of the cpu backend; one the machine lacks is an error")
          .choice({"auto", "baseline", "neon", "avx2", "avx512"}, "auto")
          .affects({kPerformance}),
      Row("FERRUM_THREADS", "--threads", "cpu.threads", "Compute threads; 0 = the cores this process may use")
          .integer(0, 1024, "0")
          .affects({kPerformance}),
      Row("FERRUM_MMAP_ONLY", "--mmap-only", "cpu.mmap_only",
          "Compute on the weights as the file has them; false: they are copied, rearranged for speed")
          .boolean("false")
          .affects({kCorrectness, kPerformance, kMemory}),
      Row("FERRUM_BF16_PRODUCTS", "--bf16-products", "cpu.bf16_products",
          "How BF16 weights are multiplied: rounded (activations rounded to BF16, by the processor's own instruction), "
          "exact "
          "(float32), or auto: rounded where the processor can")
          .choice({"auto", "rounded", "exact"}, "auto")
          .affects({kCorrectness, kPerformance}),
      Row("FERRUM_DTYPE", "--dtype", "engine.dtype", "Type of activations; default: what the backend computes in")
          .choice({"fp16", "bf16", "fp32"}, "")
          .spelling("f16", "fp16")
          .spelling("f32", "fp32")
          .affects({kCorrectness, kPerformance, kMemory}),
      Row("FERRUM_PARITY_GATE", "--parity-gate", "engine.parity_gate",
          "Compare each kernel with the reference on a sample of the model before it is used")
          .boolean("true")
          .affects({kCorrectness, kPerformance}),
      Row("FERRUM_LOG_LEVEL", "--log-level", "log.level",
          "How much is written to standard error; default: info for serve, warn otherwise")
          .choice({"trace", "debug", "info", "warn", "error", "off"}, "")
          .affects({kDiagnostics}),
  };
}

std::vector<KeySpec> memory_keys() {
  return {
      Row("FERRUM_MAX_MODEL_LEN", "--context", "memory.context",
          "Tokens per sequence, prompt and answer together; default: the model's, or what fits")
          .integer(1, kMaxTokens, "")
          .affects({kMemory})
          .alias("FERRUM_CONTEXT"),
      Row("FERRUM_KV_CAPACITY", "--kv-capacity", "memory.kv_capacity",
          "Tokens per sequence for which there is KV cache, at most the model's; default: as the context")
          .integer(1, kMaxTokens, "")
          .affects({kMemory}),
      Row("FERRUM_KV_DTYPE", "--kv-dtype", "memory.kv_dtype", "Element type of the KV cache")
          .choice({"fp16", "bf16", "fp32", "int8", "fp8"}, "fp16")
          .spelling("f16", "fp16")
          .spelling("f32", "fp32")
          .affects({kCorrectness, kPerformance, kMemory}),
      Row("FERRUM_KV_MAX_BLOCKS", "--kv-blocks", "memory.kv_blocks",
          "Blocks of the KV cache; default: from sequences, context and memory")
          .integer(1, kMaxBlocks, "")
          .affects({kMemory})
          .alias("FERRUM_KV_BLOCKS"),
      Row("FERRUM_KV_MEMORY_FRACTION", "--kv-memory-fraction", "memory.kv_fraction",
          "Share of the free memory that the KV cache may take by default")
          .number(0.001, 1, "0.5")
          .affects({kMemory}),
      Row("FERRUM_SWAP_SPACE", "--swap-space", "memory.swap_space",
          "MiB of host memory for KV blocks that the cache must give up; 0: they are computed again")
          .integer(0, 1 << 30, "0")
          .affects({kPerformance, kMemory}),
      Row("FERRUM_EXPERT_CACHE", "--expert-cache", "memory.expert_cache",
          "MiB of memory for a model's experts; those beyond it are read from the file when they are needed; default: "
          "all, or what the other weights leave")
          .integer(1, 1 << 30, "")
          .affects({kPerformance, kMemory})
          .needs(Part::kMoe),
      Row("FERRUM_BLOCK_SIZE", "--block-size", "memory.block_size", "Tokens per block of the KV cache")
          .integer(1, 1024, "16")
          .affects({kPerformance, kMemory}),
      Row("FERRUM_PAGED_KV", "--paged-kv", "memory.paged_kv",
          "KV cache in blocks shared by all sequences; false: contiguous")
          .boolean("true")
          .affects({kPerformance, kMemory})
          .needs(Part::kContiguousKv)
          .alias("FERRUM_METAL_PAGED_KV"),
      Row("FERRUM_PREFIX_CACHE", "--prefix-cache", "memory.prefix_cache", "Reuse the KV of prompts that begin alike")
          .boolean("true")
          .affects({kCorrectness, kPerformance, kMemory}),
  };
}

std::vector<KeySpec> scheduler_keys() {
  return {
      Row("FERRUM_PAGED_MAX_SEQS", "--max-seqs", "scheduler.max_seqs",
          "Sequences that run at once; default: from the workload and the machine")
          .integer(1, 4096, "")
          .affects({kPerformance, kMemory})
          .alias("FERRUM_MAX_SEQS"),
      Row("FERRUM_MAX_BATCHED_TOKENS", "--max-batched-tokens", "scheduler.max_batched_tokens",
          "Token budget of one step; default: 64 per sequence, within the KV cache")
          .integer(1, kMaxBatchedTokens, "")
          .affects({kPerformance, kMemory}),
      Row("FERRUM_MAX_WAITING", "--max-waiting", "scheduler.max_waiting",
          "Requests that may wait for a place; further ones are refused")
          .integer(0, 1 << 20, "256")
          .affects({kPerformance}),
      Row("FERRUM_SCHED_POLICY", "--scheduling-policy", "scheduler.policy",
          "In which order requests are served: as they come, by their `priority`, or the API key first that was served "
          "least")
          .choice({"fcfs", "priority", "fair"}, "fcfs")
          .affects({kPerformance}),
      Row("FERRUM_SCHED_AGEING_SECONDS", "--priority-ageing-seconds", "scheduler.ageing_seconds",
          "Head start that one step of priority is worth: what came so much earlier is not overtaken; default: 60")
          .integer(1, kMaxAgeingSeconds, "")
          .affects({kPerformance}),
      Row("FERRUM_ACTIVE_DECODE_PREFILL_CHUNK", "--active-decode-prefill-chunk",
          "scheduler.active_decode_prefill_chunk",
          "Prompt tokens per step while other sequences decode; default: what the step's budget leaves")
          .integer(0, kMaxBatchedTokens, "")
          .affects({kPerformance})
          .experimental(),
      Row("FERRUM_SCHED_PREFILL_FIRST_UNTIL_ACTIVE", "--prefill-first-until-active",
          "scheduler.prefill_first_until_active", "Prompts go before decoding until this many sequences decode")
          .integer(0, 4096, "")
          .affects({kPerformance})
          .experimental(),
      Row("FERRUM_SCHED_PROMPT_TOKEN_ESTIMATE", "--prompt-token-estimate", "scheduler.prompt_token_estimate",
          "Admit a sequence only when its whole prompt fits into the free KV blocks")
          .boolean("false")
          .affects({kPerformance})
          .experimental(),
  };
}

std::vector<KeySpec> speculation_keys() {
  return {
      Row("FERRUM_SPECULATION", "--speculation", "speculation.mode",
          "How tokens are guessed ahead of the model; changes how many steps an answer takes, never its tokens; "
          "default: both with a draft model, else off")
          .choice({"off", "ngram", "draft", "both"}, "")
          .affects({kPerformance}),
      Row("FERRUM_DRAFT_MODEL", "--draft-model", "speculation.draft_model",
          "Model file (GGUF) with the vocabulary of the model, which guesses for it; the smaller, the faster; default: "
          "none")
          .text("")
          .affects({kPerformance, kMemory}),
      Row("FERRUM_SPECULATION_MAX_DRAFT", "--speculation-max-draft", "speculation.max_draft",
          "Tokens guessed at once, at most; how many are follows from how many were right")
          .integer(1, 32, "8")
          .affects({kPerformance}),
      Row("FERRUM_SPECULATION_COST", "--speculation-cost", "speculation.cost",
          "What a guess is taken to cost: as measured while running, or the usual, so that the number of guesses can "
          "be "
          "repeated")
          .choice({"measured", "usual"}, "measured")
          .affects({kPerformance}),
      Row("FERRUM_SPECULATION_NGRAM_MIN", "--speculation-ngram-min", "speculation.ngram_min",
          "Last tokens that must have occurred before, for ngram to guess what followed them; default: 2, or the "
          "maximum if that is less")
          .integer(1, 16, "")
          .affects({kPerformance}),
      Row("FERRUM_SPECULATION_NGRAM_MAX", "--speculation-ngram-max", "speculation.ngram_max",
          "Last tokens that ngram looks for first; default: 5, or the minimum if that is more")
          .integer(1, 16, "")
          .affects({kPerformance}),
  };
}

std::vector<KeySpec> server_keys() {
  return {
      Row("FERRUM_HOST", "--host", "server.host", "Address to listen on")
          .text("127.0.0.1")
          .affects({kDiagnostics})
          .server(),
      Row("FERRUM_PORT", "--port", "server.port", "Port to listen on; 0 = any free one")
          .integer(0, 65'535, "8080")
          .affects({kDiagnostics})
          .server(),
      Row("FERRUM_API_KEY", "--api-key", "server.api_key",
          "Keys of which clients must send one, separated by commas; better in the environment, where `ps` does not "
          "show them")
          .list()
          .affects({kDiagnostics})
          .server()
          .secret(),
      Row("FERRUM_SERVED_MODEL_NAME", "--served-model-name", "server.model_names",
          "Names that clients use for the model; default: the file's name")
          .list()
          .affects({kDiagnostics})
          .server(),
      Row("FERRUM_CORS_ORIGIN", "--cors-origin", "server.cors_origins", "Web origins that may call the server; * = any")
          .list()
          .affects({kDiagnostics})
          .server(),
      Row("FERRUM_ALLOWED_HOST", "--allowed-host", "server.allowed_hosts",
          "Further Host names that a server on a loopback address answers to")
          .list()
          .affects({kDiagnostics})
          .server(),
      Row("FERRUM_DRAIN_SECONDS", "--drain-seconds", "server.drain_seconds",
          "How long running answers may take to finish at shutdown")
          .integer(0, 86'400, "30")
          .affects({kDiagnostics})
          .server(),
      Row("FERRUM_WARM_UP", "--warm-up", "server.warm_up",
          "Compute a step before the server answers, so that the first request pays for no first time")
          .boolean("true")
          .affects({kPerformance})
          .server(),
      Row("FERRUM_ENABLE_PROMPT_EMBEDS", "--enable-prompt-embeds", "server.enable_prompt_embeds",
          "Take prompts that are input embeddings (prompt_embeds of /v1/completions)")
          .boolean("false")
          .affects({kDiagnostics})
          .server(),
      Row("FERRUM_REQUEST_TIMEOUT", "--request-timeout", "server.request_timeout",
          "Seconds that a request may take from its arrival to its last token; a request may ask for less; default: no "
          "limit")
          .integer(1, kMaxTimeoutSeconds, "")
          .affects({kPerformance})
          .server(),
      Row("FERRUM_QUEUE_TIMEOUT", "--queue-timeout", "server.queue_timeout",
          "Seconds that a request may wait for its first step; a request may ask for less; default: no limit")
          .integer(1, kMaxTimeoutSeconds, "")
          .affects({kPerformance})
          .server(),
      Row("FERRUM_MAX_CONNECTIONS", "--max-connections", "server.max_connections",
          "Connections that may be open at once; further ones are answered 503")
          .integer(1, 65'536, "1024")
          .affects({kPerformance, kMemory})
          .server(),
  };
}

std::vector<KeySpec> cuda_keys() {
  return {
      Row("FERRUM_USE_VLLM_PAGED_ATTN", "--vllm-paged-attn", "cuda.vllm_paged_attn",
          "Paged attention in vLLM's layout; default: with the preset, where it is compiled")
          .boolean("")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_VLLM_PAGED_ATTN_V1_SHORT", "--vllm-paged-attn-v1-short", "cuda.vllm_paged_attn_v1_short",
          "The one-pass decode kernel for short contexts; default: with vLLM's paged attention")
          .boolean("")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_FA_LAYOUT_VARLEN", "--fa-layout-varlen", "cuda.fa_layout_varlen",
          "FlashAttention's layout for mixed batches")
          .boolean("false")
          .affects({kPerformance, kMemory})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_FA2_SOURCE", "--fa2-source", "cuda.fa2_source", "FlashAttention 2 built in from source")
          .boolean("false")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_FA2_DIRECT_FFI", "--fa2-direct-ffi", "cuda.fa2_direct_ffi",
          "FlashAttention 2 through a shim library; default: where one is named")
          .boolean("")
          .affects({kPerformance})
          .diagnostic()
          .needs(Part::kCuda),
      Row("FERRUM_FA2_DIRECT_FFI_SHIM", "--fa2-direct-ffi-shim", "cuda.fa2_direct_ffi_shim",
          "Path of that shim library")
          .text("")
          .affects({kPerformance})
          .diagnostic()
          .needs(Part::kCuda),
      Row("FERRUM_CUDA_GRAPH", "--cuda-graph", "cuda.graph", "Decode steps as captured CUDA graphs")
          .boolean("false")
          .affects({kPerformance, kCorrectness})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_GREEDY_ARGMAX", "--greedy-argmax", "cuda.greedy_argmax",
          "Greedy tokens are chosen on the device; default: with the preset, where it is compiled")
          .boolean("")
          .affects({kPerformance, kCorrectness})
          .experimental()
          .needs(Part::kCuda),
  };
}

std::vector<KeySpec> moe_keys() {
  const auto block_size = [](std::string_view name, std::string_view flag, std::string_view toml,
                             std::string_view help) {
    return Row(name, flag, toml, help)
        .choice({"8", "16", "32", "48", "64"}, "")
        .affects({kPerformance})
        .experimental()
        .needs(Part::kCuda);
  };
  return {
      Row("FERRUM_VLLM_MOE", "--vllm-moe", "moe.vllm_marlin",
          "Marlin expert kernels; default: with the preset, where they are compiled")
          .boolean("")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_VLLM_MOE_PAIR_IDS", "--vllm-moe-pair-ids", "moe.pair_ids",
          "Routing by pair ids; default: with Marlin experts")
          .boolean("")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_VLLM_MOE_ZERO_WS", "--vllm-moe-zero-ws", "moe.zero_workspace",
          "Clear the expert workspace before each use")
          .boolean("false")
          .affects({kCorrectness, kPerformance})
          .diagnostic()
          .needs(Part::kCuda),
      Row("FERRUM_MOE_DEVICE_ROUTE", "--moe-device-route", "moe.device_route",
          "Routing without a round trip to the host; default: with the preset's Marlin experts")
          .boolean("")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_MOE_HOST_ROUTE", "--moe-host-route", "moe.host_route", "Routing on the host, whatever else is chosen")
          .boolean("false")
          .affects({kPerformance})
          .diagnostic()
          .needs(Part::kCuda),
      Row("FERRUM_MOE_GRAPH", "--moe-graph", "moe.graph", "Decode of mixture-of-experts models as captured graphs")
          .boolean("false")
          .affects({kPerformance, kCorrectness})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_MOE_BATCHED", "--moe-batched", "moe.batched",
          "The rows of an expert are gathered and computed together")
          .boolean("true")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kMoe),
      Row("FERRUM_MOE_BATCH_THRESHOLD", "--moe-batch-threshold", "moe.batch_threshold",
          "Rows of a step from which they are")
          .integer(1, 4096, "4")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kMoe),
      block_size("FERRUM_MOE_BLOCK_SIZE", "--moe-block-size", "moe.block_size",
                 "Rows per expert block; default: the largest that pads by at most 30 %"),
      block_size("FERRUM_MOE_LARGE_M_BLOCK_SIZE", "--moe-large-m-block-size", "moe.large_m_block_size",
                 "Rows per expert block of large batches routed on the device; default: as of small ones"),
      Row("FERRUM_MOE_LARGE_M_MIN_PAIRS", "--moe-large-m-min-pairs", "moe.large_m_min_pairs",
          "Token-expert pairs from which a batch is large")
          .integer(1, kMaxTokens, "1024")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
      Row("FERRUM_QWEN_UNIFIED_PREFILL", "--qwen-unified-prefill", "moe.unified_prefill",
          "Prompt chunks of several sequences in one pass")
          .boolean("true")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
  };
}

std::vector<KeySpec> profile_keys() {
  const auto row = [](std::string_view name, std::string_view flag, std::string_view toml, std::string_view help,
                      Part part) {
    return Row(name, flag, toml, help).boolean("false").affects({kDiagnostics}).diagnostic().needs(part);
  };
  return {
      row("FERRUM_DECODE_OP_PROFILE", "--decode-op-profile", "profile.decode_ops",
          "Time each operation of decode steps", Part::kProfiler),
      row("FERRUM_PREFILL_OP_PROFILE", "--prefill-op-profile", "profile.prefill_ops",
          "Time each operation of steps that read prompts", Part::kProfiler),
      row("FERRUM_DECODE_LAYER_PROFILE", "--decode-layer-profile", "profile.decode_layers",
          "Time each layer of decode steps", Part::kProfiler),
      row("FERRUM_MOE_PROFILE", "--moe-profile", "profile.moe",
          "Time each operation of all steps, those of experts by phase", Part::kMoe),
      row("FERRUM_MOE_LOAD_TRACE", "--moe-load-trace", "profile.moe_load", "Log how expert weights are loaded",
          Part::kMoe),
      row("FERRUM_QWEN_UNIFIED_TRACE", "--qwen-unified-trace", "profile.unified",
          "Log the shape of each pass over several sequences", Part::kCuda),
  };
}

// Overrides of the GPU's kernel profile (config/gpu_profile.h).
std::vector<KeySpec> kernel_keys() {
  const auto row = [](std::string_view name, std::string_view flag, std::string_view toml, std::string_view help,
                      std::string_view fallback) {
    return Row(name, flag, toml, help)
        .boolean(fallback)
        .affects({kCorrectness, kPerformance})
        .experimental()
        .needs(Part::kCuda);
  };
  return {
      row("FERRUM_WIDE_Q4K_DISABLE", "--wide-q4k-disable", "kernels.q4k_legacy", "Q4_K: the one-warp kernel", "false"),
      row("FERRUM_WIDE_Q4K", "--wide-q4k", "kernels.q4k_wide", "Q4_K: 128 threads per row", "false"),
      row("FERRUM_VECTORIZED_Q4K", "--vectorized-q4k", "kernels.q4k_vectorized", "Q4_K: 32 threads with vector loads",
          "false"),
      row("FERRUM_HW_DP4A_Q4K", "--hw-dp4a-q4k", "kernels.q4k_hw_dp4a", "Q4_K: half-warp integer dot products",
          "false"),
      row("FERRUM_DP4A_Q4K", "--dp4a-q4k", "kernels.q4k_dp4a", "Q4_K: multi-warp integer dot products", "false"),
      row("FERRUM_MWV_Q4K", "--mwv-q4k", "kernels.q4k_mwv", "Q4_K: multi-warp, float32 activations", "false"),
      row("FERRUM_HW_DP4A_Q6K", "--hw-dp4a-q6k", "kernels.q6k_hw_dp4a", "Q6_K: half-warp integer dot products",
          "false"),
      row("FERRUM_DP4A_Q6K", "--dp4a-q6k", "kernels.q6k_dp4a", "Q6_K: integer dot products", "false"),
      row("FERRUM_MWV_Q6K", "--mwv-q6k", "kernels.q6k_mwv", "Q6_K: multi-warp, float32 activations", "false"),
      Row("FERRUM_MWV_WARPS", "--mwv-warps", "kernels.mwv_warps", "Warps per block of the multi-warp kernels")
          .integer(1, 32, "3")
          .affects({kPerformance})
          .experimental()
          .needs(Part::kCuda),
      row("FERRUM_BATCHED_PREFILL", "--batched-prefill", "kernels.batched_prefill",
          "Prompt chunks go through matrix kernels", "true"),
      row("FERRUM_HGEMM_DECODE", "--hgemm-decode", "kernels.hgemm_decode", "Half-precision matrix products for one row",
          "false"),
      row("FERRUM_FUSED_GATE_UP", "--fused-gate-up", "kernels.fused_gate_up",
          "Gate, up and SwiGLU in one kernel; default: with half-warp Q4_K", ""),
      row("FERRUM_FP8_PREFILL", "--fp8-prefill", "kernels.fp8_prefill",
          "FP8 weights for prompts; default: from sm_89 on", ""),
      row("FERRUM_FP8_DECODE", "--fp8-decode", "kernels.fp8_decode",
          "FP8 weights for batched decode; default: as for prompts", ""),
      row("FERRUM_W4A16_INTERLEAVED", "--w4a16-interleaved", "kernels.w4a16_interleaved",
          "Column-interleaved 4-bit weights on tensor cores, from sm_70 on", "false"),
  };
}

}  // namespace

std::vector<KeySpec> make_key_table() {
  std::vector<KeySpec> table;
  for (auto part : {compute_keys, memory_keys, scheduler_keys, speculation_keys, server_keys, cuda_keys, moe_keys,
                    profile_keys, kernel_keys}) {
    for (KeySpec& key : part()) table.push_back(std::move(key));
  }
  return table;
}

}  // namespace ferrum
