// A cursor over untrusted bytes: every read is checked against what is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace ferrum {

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

  // A little-endian number; false, and nothing read, when too few bytes are left.
  template <typename T>
  requires std::is_arithmetic_v<T>
  bool read(T& value) {
    if (remaining() < sizeof(T)) return false;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }

  // The next `count` bytes in place; false, and nothing read, when fewer are left.
  bool read_bytes(uint64_t count, std::string_view& bytes) {
    if (count > remaining()) return false;
    bytes = {reinterpret_cast<const char*>(bytes_.data()) + position_, static_cast<size_t>(count)};
    position_ += static_cast<size_t>(count);
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace ferrum
