// Any bytes as a KV file. What is accepted, written again, is the same file.
//
// The checksums would keep the fuzzer out, so those of the header and of the tokens are made right first where the
// first byte is odd.
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "engine/kv_file.h"

namespace ferrum {
namespace {

KvIdentity identity() {
  KvIdentity id;
  id.model = {1, 2};
  id.arithmetic = "cpu/1";
  id.dtype = DType::kF16;
  id.block_size = 2;
  id.layers = id.kv_heads = id.head_dim = 1;
  id.block_bytes = 8;
  id.vocab_size = 1000;
  return id;
}

using Bytes = std::vector<std::byte>;

Bytes written(SavedKv& kv) {
  Bytes bytes;
  const auto sink = [&](std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return Status::ok();
  };
  FERRUM_CHECK(write_kv(sink, identity(), "", kv).is_ok(), "a sink that takes everything");
  return bytes;
}

void put(Bytes& bytes, size_t at, uint64_t value) { std::memcpy(bytes.data() + at, &value, 8); }

// The header becomes right but for its sizes, and the tokens' checksum where there are as many as it says.
void repair(Bytes& bytes) {
  constexpr size_t kHeader = 152, kSizes = 112;
  if (bytes.size() < kHeader) return;
  SavedKv kv{{1, 2}, 0, Bytes(SavedKv::stride(identity()))};
  const Bytes good = written(kv);
  std::memcpy(bytes.data(), good.data(), kSizes);
  put(bytes, 136, 0);
  uint64_t blocks = 0;
  std::memcpy(&blocks, bytes.data() + kSizes, 8);
  if (blocks <= (bytes.size() - kHeader) / 8) {
    const auto tokens = std::span(bytes).subspan(kHeader, static_cast<size_t>(blocks) * 8);
    put(bytes, 128, siphash128(tokens, {1, 0}).low);
  }
  put(bytes, 144, siphash128(std::span(bytes).first(144), {0, 0}).low);
}

Result<SavedKv> read(const Bytes& bytes) {
  size_t at = 0;
  const auto source = [&](std::span<std::byte> to) {
    if (to.size() > bytes.size() - at) return false;
    std::memcpy(to.data(), bytes.data() + at, to.size());
    at += to.size();
    return true;
  };
  Result<SavedKv> kv = read_kv(source, bytes.size(), identity(), "", 10'000);
  FERRUM_CHECK(!kv.is_ok() || at == bytes.size(), "an accepted file is read to its end");
  return kv;
}

}  // namespace
}  // namespace ferrum

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ferrum;
  Bytes bytes(size > 0 ? size - 1 : 0);
  if (size > 1) std::memcpy(bytes.data(), data + 1, size - 1);
  if (size > 0 && data[0] % 2 == 1) repair(bytes);
  Result<SavedKv> kv = read(bytes);
  if (kv.is_ok()) FERRUM_CHECK(written(*kv) == bytes, "an accepted file is written again as it was");
  return 0;
}
