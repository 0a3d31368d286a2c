// Reads NumPy's .npy files (format 1.0, C order), for goldens.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/check.h"
#include "tensor/float16.h"

namespace ferrum::testing_support {

struct Npy {
  std::string descr;  // "<f4", "<i8", "|u1", "<u2"
  std::vector<int64_t> shape;
  std::string bytes;

  // f4 as it is, u2 as bfloat16, i8 converted.
  std::vector<float> floats() const {
    std::vector<float> out;
    const auto each = [&](auto zero, auto convert) {
      for (size_t at = 0; at < bytes.size(); at += sizeof zero) {
        std::memcpy(&zero, bytes.data() + at, sizeof zero);
        out.push_back(convert(zero));
      }
    };
    if (descr == "<f4")
      each(0.0f, [](float x) { return x; });
    else if (descr == "<u2")
      each(uint16_t{0}, bf16_to_f32);
    else if (descr == "<i8")
      each(int64_t{0}, [](int64_t x) { return static_cast<float>(x); });
    else
      FERRUM_CHECK(false, "npy type " + descr);
    return out;
  }
  int64_t dim(size_t i) const { return shape.at(i); }
};

inline Npy read_npy(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  FERRUM_CHECK(all.size() > 10 && all.compare(0, 6, "\x93NUMPY") == 0, path.string() + " is no .npy file");
  const size_t header = static_cast<uint8_t>(all[8]) + 256u * static_cast<uint8_t>(all[9]);
  const std::string text = all.substr(10, header);
  Npy npy;
  const size_t descr = text.find("'descr': '") + 10;
  npy.descr = text.substr(descr, text.find('\'', descr) - descr);
  size_t at = text.find("'shape': (") + 10;
  while (text[at] != ')') {
    size_t used = 0;
    npy.shape.push_back(std::stoll(text.substr(at), &used));
    at += used;
    while (text[at] == ',' || text[at] == ' ') ++at;
  }
  npy.bytes = all.substr(10 + header);
  return npy;
}

}  // namespace ferrum::testing_support
