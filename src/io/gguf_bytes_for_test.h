// For tests: GGUF files put together field by field, so that each field can lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "io/gguf.h"

namespace ferrum {

class RawGguf {
 public:
  template <typename T>
  RawGguf& number(T value) {
    return raw({reinterpret_cast<const char*>(&value), sizeof(T)});
  }
  RawGguf& raw(std::string_view text) {
    const size_t end = bytes_.size();
    bytes_.resize(end + text.size());
    std::memcpy(bytes_.data() + end, text.data(), text.size());
    return *this;
  }
  RawGguf& string(std::string_view text) { return number<uint64_t>(text.size()).raw(text); }

  RawGguf& header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    return raw("GGUF").number(version).number(tensors).number(keys);
  }
  // A key with its type; the value follows.
  RawGguf& key(std::string_view name, GgufType type) { return string(name).number(static_cast<uint32_t>(type)); }
  RawGguf& array(std::string_view name, GgufType element, uint64_t count) {
    return key(name, GgufType::kArray).number(static_cast<uint32_t>(element)).number(count);
  }
  RawGguf& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    string(name).number(static_cast<uint32_t>(dims.size()));
    for (uint64_t dim : dims) number(dim);
    return number(type).number(offset);
  }
  RawGguf& align(size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  RawGguf& zeros(size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }

  const std::vector<std::byte>& bytes() const { return bytes_; }
  Result<std::shared_ptr<const Gguf>> open() const {
    std::vector<GgufSource> sources;
    sources.push_back(GgufSource::from_vector("hostile.gguf", bytes_));
    return Gguf::from_sources(std::move(sources));
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace ferrum
