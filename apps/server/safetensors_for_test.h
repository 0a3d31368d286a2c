// Files in safetensors' format, right and wrong ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace ferrum {

inline std::string with_header(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + data;
}

// One tensor, whose data is all that follows.
inline std::string safetensors(const std::string& dtype, const std::vector<int64_t>& shape, const std::string& data) {
  std::string dims;
  for (const int64_t dim : shape) dims += (dims.empty() ? "" : ",") + std::to_string(dim);
  return with_header(R"({"x":{"dtype":")" + dtype + R"(","shape":[)" + dims + R"(],"data_offsets":[0,)" +
                         std::to_string(data.size()) + "]}}",
                     data);
}

inline std::string bytes_of_numbers(const std::vector<float>& numbers) {
  std::string bytes(numbers.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

inline std::string halves(const std::vector<float>& numbers, uint16_t (*half)(float)) {
  std::string bytes;
  for (const float number : numbers) {
    const uint16_t bits = half(number);
    bytes += static_cast<char>(bits & 255);
    bytes += static_cast<char>(bits >> 8);
  }
  return bytes;
}

}  // namespace ferrum
