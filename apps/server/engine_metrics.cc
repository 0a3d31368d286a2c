#include "apps/server/engine_metrics.h"

namespace ferrum {
namespace {

template <auto kMember>
int64_t get(const EngineStats& stats) {
  return static_cast<int64_t>(stats.*kMember);
}

template <auto kMember>
int64_t of_draft_model(const EngineStats& stats) {
  return static_cast<int64_t>(stats.draft_model.*kMember);
}

template <auto kMember>
int64_t of_expert_cache(const EngineStats& stats) {
  return stats.expert_cache.*kMember;
}

using S = EngineStats;
constexpr const char *kTotals = "totals", *kPrefix = "prefix_cache", *kExperts = "expert_cache";

constexpr EngineMetric kMetrics[] = {
    {"vllm:num_requests_running", false, "Sequences in the running batch.", nullptr, nullptr, get<&S::running>},
    {"vllm:num_requests_waiting", false, "Requests waiting for a place in the batch.", nullptr, nullptr,
     get<&S::waiting>},
    {"vllm:prompt_tokens", true, "Prompt tokens computed.", kTotals, "prompt_tokens", get<&S::prompt_tokens>},
    {"vllm:generation_tokens", true, "Tokens generated.", kTotals, "generated_tokens", get<&S::generated_tokens>},
    {"vllm:num_preemptions", true, "Sequences that gave up their KV blocks to others.", kTotals, "preemptions",
     get<&S::preemptions>},
    {"ferrum:requests_finished", true, "Requests that ended, for whatever reason.", kTotals, "requests_finished",
     get<&S::requests_finished>},
    {"ferrum:requests_timed_out", true, "Of them: those whose time was up.", kTotals, "requests_timed_out",
     get<&S::requests_timed_out>},
    {"ferrum:kv_swapped_out_blocks", true, "KV blocks copied to swap space.", kTotals, "swapped_out",
     get<&S::swapped_out>},
    {"ferrum:kv_swapped_in_blocks", true, "KV blocks copied back instead of being computed again.", kTotals,
     "swapped_in", get<&S::swapped_in>},
    {"ferrum:draft_model_passes", true, "Forward passes of the draft model.", nullptr, nullptr,
     of_draft_model<&DraftWork::passes>},
    {"ferrum:draft_model_tokens", true, "Tokens that the draft model computed.", nullptr, nullptr,
     of_draft_model<&DraftWork::tokens>},
    {"ferrum:draft_model_failures", true, "Steps in which the draft model failed.", nullptr, nullptr,
     of_draft_model<&DraftWork::failures>},
    {"vllm:spec_decode_num_drafts", true, "Rows that verified guesses.", nullptr, nullptr, get<&S::drafts>},
    {"vllm:spec_decode_num_draft_tokens", true, "Guesses that were verified.", nullptr, nullptr,
     get<&S::drafted_tokens>},
    {"vllm:spec_decode_num_accepted_tokens", true, "Tokens gained by right guesses.", nullptr, nullptr,
     get<&S::accepted_tokens>},
    {"ferrum:engine_steps", true, "Forward passes.", kTotals, "steps", get<&S::steps>},
    {"vllm:prefix_cache_queries", true, "Tokens looked for in the prefix cache, in full blocks.", kPrefix,
     "queried_tokens", get<&S::prefix_queried_tokens>},
    // vLLM counts tokens here; the requests that found some are ferrum:prefix_cache_hit_requests.
    {"vllm:prefix_cache_hits", true, "Of them: found, so that their prefill was saved.", kPrefix,
     "saved_prefill_tokens", get<&S::prefix_saved_tokens>},
    {"ferrum:prefix_cache_hit_requests", true, "Admissions that found a part of their text.", kPrefix, "hits",
     get<&S::prefix_hits>},
    {"ferrum:prefix_cache_miss_requests", true, "Admissions that found nothing.", kPrefix, "misses",
     get<&S::prefix_misses>},
    {"ferrum:prefix_cache_evictions", true, "Blocks that could be found and were taken for other content.", kPrefix,
     "evictions", get<&S::prefix_evictions>},
    {"ferrum:prefix_cache_entries", false, "Blocks that can be found.", kPrefix, "entries", get<&S::prefix_entries>},
    {"ferrum:prefix_cache_bytes", false, "Their KV, in bytes.", kPrefix, "bytes", get<&S::prefix_bytes>},
    {"ferrum:expert_cache_hits", true, "Experts that a step needed and that were in memory, by layers.", kExperts,
     "hits", of_expert_cache<&ExpertCacheCounts::hits>},
    {"ferrum:expert_cache_misses", true, "Experts that a step needed and that had to be read.", kExperts, "misses",
     of_expert_cache<&ExpertCacheCounts::misses>},
    {"ferrum:expert_cache_read_bytes", true, "Bytes of the model file that were read for them.", kExperts, "bytes_read",
     of_expert_cache<&ExpertCacheCounts::bytes_read>},
    {"ferrum:expert_cache_slots", false, "Experts that have a place in memory; 0: all of them, there is no cache.",
     kExperts, "slots", of_expert_cache<&ExpertCacheCounts::slots>},
};

}  // namespace

std::span<const EngineMetric> engine_metrics() { return kMetrics; }

}  // namespace ferrum
