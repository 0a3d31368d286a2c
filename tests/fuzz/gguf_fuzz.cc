// Any bytes as a GGUF model: parse, read all of it, describe it, write it again.
//
// Besides crashes and sanitizer reports, two properties are checked: every tensor lies inside the file, and a model
// that we accept, written by our writer, reads back with the same metadata and tensors.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "engine/inspect.h"
#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "quant/quantize.h"

namespace ferrum {
namespace {

using Bytes = std::vector<std::byte>;

// The first byte says how many parts the rest is: where it is 'S', the next three bytes are the length of the first of
// two. Otherwise everything, that byte included, is one file, so that plain GGUF files are seeds.
std::vector<GgufSource> sources_of(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  std::vector<GgufSource> sources;
  if (size < 4 || data[0] != 'S') {
    sources.push_back(GgufSource::from_vector("fuzz", Bytes(bytes, bytes + size)));
    return sources;
  }
  const size_t wanted = data[1] | size_t{data[2]} << 8 | size_t{data[3]} << 16;
  const size_t first = std::min(wanted, size - 4);
  sources.push_back(GgufSource::from_vector("fuzz 1", Bytes(bytes + 4, bytes + 4 + first)));
  sources.push_back(GgufSource::from_vector("fuzz 2", Bytes(bytes + 4 + first, bytes + size)));
  return sources;
}

// Decodes the first and the last row of each tensor: touches both ends of its bytes.
void read_tensors(const Gguf& file) {
  std::vector<float> row;
  for (const GgufTensor& tensor : file.tensors()) {
    const int64_t cols = tensor.view.cols();
    const size_t row_bytes = bytes_of(tensor.view.dtype, cols);
    FERRUM_CHECK(row_bytes * static_cast<size_t>(tensor.view.rows()) == tensor.bytes, "size of " + tensor.name);
    row.resize(static_cast<size_t>(cols));
    const auto* begin = static_cast<const std::byte*>(tensor.view.data);
    dequantize_row(tensor.view.dtype, begin, row.data(), cols);
    dequantize_row(tensor.view.dtype, begin + tensor.bytes - row_bytes, row.data(), cols);
  }
}

void check_round_trip(const Gguf& file) {
  GgufWriter writer;
  writer.copy_metadata(file);
  for (const GgufTensor& tensor : file.tensors()) {
    FERRUM_CHECK(writer.add_tensor(tensor.name, tensor.view).is_ok(), "cannot write " + tensor.name);
  }
  auto bytes = writer.to_bytes();
  FERRUM_CHECK(bytes.is_ok(), bytes.status().message());
  std::vector<GgufSource> sources;
  sources.push_back(GgufSource::from_vector("written", std::move(*bytes)));
  const auto again = Gguf::from_sources(std::move(sources));
  FERRUM_CHECK(again.is_ok(), again.status().message());
  FERRUM_CHECK((*again)->tensors().size() == file.tensors().size(), "tensors lost");
  for (const GgufTensor& tensor : file.tensors()) {
    const GgufTensor* other = (*again)->find_tensor(tensor.name);
    FERRUM_CHECK(other != nullptr && other->bytes == tensor.bytes && other->view.shape == tensor.view.shape &&
                     std::memcmp(other->view.data, tensor.view.data, tensor.bytes) == 0,
                 "another tensor " + tensor.name);
  }
}

}  // namespace
}  // namespace ferrum

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ferrum;
  auto file = Gguf::from_sources(sources_of(data, size));
  if (!file.is_ok()) return 0;
  read_tensors(**file);
  check_round_trip(**file);
  const InspectReport report = inspect(*file);
  if (render_table(report).empty() || render_json(report).empty()) __builtin_trap();
  return 0;
}
