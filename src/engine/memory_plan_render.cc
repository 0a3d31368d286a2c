// The plan as a table and as JSON.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/memory.h"
#include "engine/memory_plan.h"

namespace ferrum {
namespace {

std::string line(const std::string& name, int64_t bytes, std::string_view kind, const std::string& detail) {
  char text[64];
  std::snprintf(text, sizeof text, "  %-24s %12s  %-10s ", name.c_str(), format_bytes(bytes).c_str(),
                std::string(kind).c_str());
  std::string out = text + detail;
  out.erase(out.find_last_not_of(' ') + 1);
  return out + "\n";
}

nlohmann::ordered_json to_json(const std::vector<MemoryPart>& parts) {
  auto list = nlohmann::ordered_json::array();
  for (const MemoryPart& part : parts) {
    list.push_back(
        {{"name", part.name}, {"kind", to_string(part.kind)}, {"bytes", part.bytes}, {"detail", part.detail}});
  }
  return list;
}

template <typename T>
nlohmann::ordered_json or_null(const std::optional<T>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

std::string streaming_text(const MemoryPlan& plan) {
  if (!plan.streaming) return "";
  const ExpertStreaming& s = *plan.streaming;
  char text[640];
  std::snprintf(text, sizeof text,
                "\nExperts: %d of %d of each layer have a place in memory (%s). With all used alike a token of one\n"
                "sequence reads %s from the file; with some used more, less.\n",
                s.places, s.experts, format_bytes(s.cache_bytes).c_str(), format_bytes(s.read_bytes_per_token).c_str());
  std::string out = text;
  if (s.tokens_per_second == 0) return out;
  std::snprintf(
      text, sizeof text,
      "Measured now: a token's experts of one layer take %.2f ms when they are in memory, %.2f ms when all have "
      "to\nbe read. One sequence is expected to generate %.2f tokens per second.\n",
      s.hit_seconds * 1e3, s.miss_seconds * 1e3, s.tokens_per_second);
  return out + text;
}

nlohmann::ordered_json streaming_json(const std::optional<ExpertStreaming>& s) {
  if (!s) return nullptr;
  return {{"experts", s->experts},
          {"places", s->places},
          {"cache_bytes", s->cache_bytes},
          {"read_bytes_per_token", s->read_bytes_per_token},
          {"hit_ms", s->hit_seconds * 1e3},
          {"miss_ms", s->miss_seconds * 1e3},
          {"tokens_per_second", s->tokens_per_second}};
}

}  // namespace

std::string render_table(const MemoryPlan& plan) {
  const EngineOptions& o = plan.options;
  std::string out = "Memory for " + std::to_string(o.max_seqs) + " sequences, context " +
                    std::to_string(o.max_model_len) + " of " + std::to_string(plan.model_context) +
                    " tokens, steps of " + std::to_string(o.max_batched_tokens) + " tokens\n\n";
  for (const MemoryPart& part : plan.parts) {
    out += line(part.name, part.bytes, part.bytes == 0 ? "" : to_string(part.kind), part.detail);
    if (part.name != "weights") continue;
    for (const MemoryPart& type : plan.weights) out += line("  " + type.name, type.bytes, "", "");
  }
  out += "\n";
  out += line("file pages", plan.total(MemoryKind::kFile), "", "mapped; shared, and read again under pressure");
  out += line("anonymous", plan.total(MemoryKind::kAnonymous), "", "");
  out += line("host memory together", plan.host_total(), "", "peak, all weights and the whole KV cache touched");
  if (plan.device_bytes) out += line("accelerator together", plan.total(MemoryKind::kDevice), "", "");
  if (plan.available) {
    out += line("free on this machine", *plan.available, "",
                "beside " + format_bytes(plan.resident_before) + " that this process has already");
  }
  if (plan.device_bytes) out += line("accelerator memory", *plan.device_bytes, "", "");
  out += streaming_text(plan);
  out += "\n";
  if (!plan.note.empty()) out += "Note: " + plan.note + "\n";
  if (plan.verdict.is_ok()) return out + "It fits.\n";
  out += "It does not fit: " + plan.verdict.message() + "\n";
  if (!plan.advice.empty()) out += "What fits instead:\n";
  for (const std::string& advice : plan.advice) out += "  - " + advice + "\n";
  return out;
}

std::string render_json(const MemoryPlan& plan) {
  const EngineOptions& o = plan.options;
  nlohmann::ordered_json out = {{"schema_version", 1},
                                {"fits", plan.verdict.is_ok()},
                                {"reason", plan.verdict.is_ok() ? nlohmann::ordered_json(nullptr)
                                                                : nlohmann::ordered_json(plan.verdict.message())},
                                {"advice", plan.advice},
                                {"note", plan.note},
                                {"max_sequences", o.max_seqs},
                                {"max_model_len", o.max_model_len},
                                {"max_batched_tokens", o.max_batched_tokens},
                                {"kv_dtype", to_string(o.kv_dtype)},
                                {"kv_blocks", o.kv_blocks},
                                {"block_size", o.block_size},
                                {"kv_bytes_per_token", plan.kv_bytes_per_token},
                                {"kv_bytes_per_block", plan.kv_bytes_per_block},
                                {"expert_streaming", streaming_json(plan.streaming)},
                                {"parts", to_json(plan.parts)},
                                {"weights_by_type", to_json(plan.weights)},
                                {"file_bytes", plan.total(MemoryKind::kFile)},
                                {"anonymous_bytes", plan.total(MemoryKind::kAnonymous)},
                                {"host_bytes", plan.host_total()},
                                {"device_bytes", plan.total(MemoryKind::kDevice)},
                                {"resident_before_bytes", plan.resident_before},
                                {"available_bytes", or_null(plan.available)},
                                {"device_memory_bytes", or_null(plan.device_bytes)}};
  return out.dump(2) + "\n";
}

}  // namespace ferrum
