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
