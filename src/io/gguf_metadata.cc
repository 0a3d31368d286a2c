#include "io/gguf_metadata.h"

#include <array>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/quote.h"

namespace ferrum {
namespace {

struct TypeRow {
  std::string_view name;
  size_t bytes;
};
constexpr std::array<TypeRow, 13> kTypes = {{{"uint8", 1},
                                             {"int8", 1},
                                             {"uint16", 2},
                                             {"int16", 2},
                                             {"uint32", 4},
                                             {"int32", 4},
                                             {"float32", 4},
                                             {"bool", 1},
                                             {"string", 8},
                                             {"array", 12},
                                             {"uint64", 8},
                                             {"int64", 8},
                                             {"float64", 8}}};

constexpr uint64_t kMaxInt64 = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());

Status wrong_type(std::string_view key, const char* wanted, const GgufValue& value) {
  return corrupt("metadata key " + quoted(key) + " must be " + wanted + " but is " + value.type_name());
}

Status too_large(std::string_view key, uint64_t value) {
  return corrupt("metadata key " + quoted(key) + " holds " + std::to_string(value) +
                 ", more than a signed integer can");
}

}  // namespace

std::string_view to_string(GgufType type) {
  const auto index = static_cast<size_t>(type);
  return index < kTypes.size() ? kTypes[index].name : "unknown";
}

size_t gguf_type_bytes(GgufType type) {
  const auto index = static_cast<size_t>(type);
  return index < kTypes.size() ? kTypes[index].bytes : 0;
}

size_t GgufValue::array_size() const {
  return std::visit(
      [](const auto& held) -> size_t {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_arithmetic_v<Held> || std::is_same_v<Held, std::string>)
          return 0;
        else
          return held.size();
      },
      data);
}

std::string GgufValue::type_name() const {
  if (type != GgufType::kArray) return std::string(to_string(type));
  return "array of " + std::string(to_string(element_type));
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

bool GgufMetadata::add(std::string key, GgufValue value) {
  const auto [it, inserted] = values_.try_emplace(std::move(key), std::move(value));
  if (inserted) keys_.push_back(it->first);
  return inserted;
}

Result<std::optional<int64_t>> GgufMetadata::get_int(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<int64_t>();
  if (const auto* i = std::get_if<int64_t>(&value->data)) return std::optional(*i);
  const auto* u = std::get_if<uint64_t>(&value->data);
  if (u == nullptr) return wrong_type(key, "an integer", *value);
  if (*u > kMaxInt64) return too_large(key, *u);
  return std::optional(static_cast<int64_t>(*u));
}

Result<std::optional<double>> GgufMetadata::get_float(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<double>();
  if (const auto* d = std::get_if<double>(&value->data)) return std::optional(*d);
  return wrong_type(key, "a float", *value);
}

Result<std::optional<bool>> GgufMetadata::get_bool(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  if (const auto* b = std::get_if<bool>(&value->data)) return std::optional(*b);
  return wrong_type(key, "a bool", *value);
}

Result<std::optional<std::string>> GgufMetadata::get_string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (const auto* s = std::get_if<std::string>(&value->data)) return std::optional(*s);
  return wrong_type(key, "a string", *value);
}

Result<const std::vector<std::string>*> GgufMetadata::get_strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return static_cast<const std::vector<std::string>*>(nullptr);
  if (const auto* s = std::get_if<std::vector<std::string>>(&value->data)) return s;
  return wrong_type(key, "an array of strings", *value);
}

Result<std::optional<std::vector<int64_t>>> GgufMetadata::get_ints(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<int64_t>>();
  if (const auto* v = std::get_if<std::vector<int64_t>>(&value->data)) return std::optional(*v);
  const auto* v = std::get_if<std::vector<uint64_t>>(&value->data);
  if (v == nullptr) return wrong_type(key, "an array of integers", *value);
  std::vector<int64_t> out;
  out.reserve(v->size());
  for (uint64_t u : *v) {
    if (u > kMaxInt64) return too_large(key, u);
    out.push_back(static_cast<int64_t>(u));
  }
  return std::optional(std::move(out));
}

Result<std::optional<std::vector<double>>> GgufMetadata::get_floats(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<double>>();
  if (const auto* v = std::get_if<std::vector<double>>(&value->data)) return std::optional(*v);
  return wrong_type(key, "an array of floats", *value);
}

}  // namespace ferrum
