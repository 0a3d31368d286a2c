// The report as JSON, for programs.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/inspect.h"

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownElements = 16;

Json or_null(const std::optional<int64_t>& value) { return value ? Json(*value) : Json(nullptr); }

// One number where all layers agree on it, else an array; null without any.
Json per_layer(const std::vector<int64_t>& values) {
  if (values.empty()) return nullptr;
  return values.size() == 1 ? Json(values[0]) : Json(values);
}

Json metadata_entry(const std::string& key, const GgufValue& value) {
  Json out = {{"key", key}, {"type", std::string(to_string(value.type))}};
  std::visit(
      [&out, &value](const auto& held) {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_arithmetic_v<Held> || std::is_same_v<Held, std::string>) {
          out["value"] = held;
        } else {
          out["element_type"] = std::string(to_string(value.element_type));
          out["count"] = held.size();
          Json first = Json::array();
          for (size_t i = 0; i < std::min(held.size(), kShownElements); ++i) {
            first.push_back(static_cast<typename Held::value_type>(held[i]));
          }
          out["first"] = std::move(first);
        }
      },
      value.data);
  return out;
}

Json capabilities_json(const InspectCapabilities& c) {
  return {{"architecture", c.architecture},
          {"name", c.name},
          {"context_length", or_null(c.context_length)},
          {"layers", or_null(c.layers)},
          {"hidden_size", or_null(c.hidden_size)},
          {"ffn_size", per_layer(c.ffn_size)},
          {"heads", per_layer(c.heads)},
          {"kv_heads", per_layer(c.kv_heads)},
          {"head_dim", or_null(c.head_dim)},
          {"value_head_dim", or_null(c.value_head_dim)},
          {"vocab_size", or_null(c.vocab_size)},
          {"sliding_window", or_null(c.sliding_window)},
          {"experts", or_null(c.experts)},
          {"experts_used", or_null(c.experts_used)},
          {"rope", c.rope},
          {"tokenizer", {{"model", c.tokenizer_model}, {"pre", c.tokenizer_pre}}},
          {"chat_template", c.chat_template},
          {"tools", c.tool_template},
          {"kv_bytes_per_token_f16", or_null(c.kv_bytes_per_token)}};
}

Json files_json(const Gguf& file) {
  Json out = Json::array();
  for (int part = 0; part < file.parts(); ++part) out.push_back(file.part_name(part));
  return out;
}

Json types_json(const InspectReport& report) {
  Json out = Json::array();
  for (const InspectTypeUse& use : report.types) {
    out.push_back({{"type", std::string(to_string(use.dtype))},
                   {"tensors", use.tensors},
                   {"parameters", use.parameters},
                   {"bytes", use.bytes}});
  }
  return out;
}

Json tensors_json(const Gguf& file) {
  Json out = Json::array();
  for (const GgufTensor& t : file.tensors()) {
    out.push_back({{"name", t.name},
                   {"type", std::string(to_string(t.view.dtype))},
                   {"shape", std::vector<int64_t>(t.view.shape.begin(), t.view.shape.begin() + t.view.rank)},
                   {"bytes", t.bytes},
                   {"offset", t.offset},
                   {"part", t.part}});
  }
  return out;
}

}  // namespace

std::string render_json(const InspectReport& report) {
  const Gguf& file = *report.file;
  Json metadata = Json::array();
  for (const std::string& key : file.keys()) metadata.push_back(metadata_entry(key, *file.find(key)));
  const Json out = {{"files", files_json(file)},
                    {"version", file.version()},
                    {"alignment", file.alignment()},
                    {"file_bytes", file.file_bytes()},
                    {"tensor_bytes", report.tensor_bytes},
                    {"parameters", report.parameters},
                    {"bits_per_weight", report.bits_per_weight},
                    {"supported", report.supported()},
                    {"obstacles", report.obstacles},
                    {"capabilities", capabilities_json(report.capabilities)},
                    {"types", types_json(report)},
                    {"metadata", std::move(metadata)},
                    {"tensors", tensors_json(file)}};
  // Names and values may hold any bytes; those that are not UTF-8 become U+FFFD.
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ferrum
