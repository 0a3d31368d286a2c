#include "engine/kv_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <variant>

#include "base/quote.h"
#include "io/file_sink.h"

namespace ferrum {
namespace {

constexpr uint64_t kMagic = 0x564b4d5552524546u;  // "FERRUMKV"
constexpr uint32_t kVersion = 1;

// The file's first bytes; docs/kv-file.md. Little-endian, as everything that Ferrum runs on.
struct Header {
  uint64_t magic = kMagic;
  uint32_t version = kVersion;
  uint32_t header_bytes = 0;
  PrefixHash model, owner;
  char arithmetic[32] = {};
  uint32_t dtype = 0;  // the number of GGUF
  uint32_t block_size = 0, layers = 0, kv_heads = 0, head_dim = 0, window = 0;
  uint64_t block_bytes = 0;
  uint64_t blocks = 0;   // of the text
  uint64_t missing = 0;  // of them, at the front: not in the file
  uint64_t tokens_checksum = 0;
  uint64_t reserved = 0;
  uint64_t checksum = 0;  // of all before
};
static_assert(sizeof(Header) == 152 && offsetof(Header, arithmetic) == 48 && offsetof(Header, block_bytes) == 104 &&
              std::is_trivially_copyable_v<Header>);

constexpr size_t kChecksumBytes = sizeof(uint64_t);

// Each section has a key of its own, so that two which changed places are found.
uint64_t checksum(std::span<const std::byte> bytes, uint64_t section) { return siphash128(bytes, {section, 0}).low; }
constexpr uint64_t kHeaderSection = 0, kTokensSection = 1, kFirstBlockSection = 2;

uint64_t header_checksum(const Header& h) {
  return checksum(std::as_bytes(std::span(&h, 1)).first(offsetof(Header, checksum)), kHeaderSection);
}

Header header_of(const KvIdentity& id, const std::string& owner) {
  FERRUM_CHECK(id.arithmetic.size() < sizeof(Header::arithmetic), "the name of an arithmetic is too long");
  Header h;
  h.header_bytes = sizeof(Header);
  h.model = id.model;
  h.owner = siphash128(std::as_bytes(std::span(owner)), id.model);
  std::memcpy(h.arithmetic, id.arithmetic.data(), id.arithmetic.size());
  h.dtype = info(id.dtype).ggml_type;
  h.block_size = static_cast<uint32_t>(id.block_size);
  h.layers = static_cast<uint32_t>(id.layers);
  h.kv_heads = static_cast<uint32_t>(id.kv_heads);
  h.head_dim = static_cast<uint32_t>(id.head_dim);
  h.window = static_cast<uint32_t>(id.window);
  h.block_bytes = static_cast<uint64_t>(id.block_bytes);
  return h;
}

Status too_short(uint64_t size, uint64_t needed) {
  return corrupt("it ends after " + std::to_string(size) + " bytes; " + std::to_string(needed) +
                 " are needed: it was cut, save it again");
}

// What it was saved for is what we have.
Status check_identity(const Header& h, const Header& ours) {
  const auto differs = [](const char* what, const std::string& there, const std::string& here) {
    return invalid_argument("it was saved with " + std::string(what) + " " + there + ", here it is " + here +
                            ": use the same settings, or save it again");
  };
  const auto number = [&](const char* what, uint64_t there, uint64_t here) {
    return there == here ? Status::ok() : differs(what, std::to_string(there), std::to_string(here));
  };
  if (h.model != ours.model)
    return invalid_argument("it was saved with another model; KV fits only the model that it was computed with");
  if (h.owner != ours.owner) return invalid_argument("it belongs to another owner (cache salt)");
  if (std::memcmp(h.arithmetic, ours.arithmetic, sizeof(h.arithmetic)) != 0) {
    return differs("the arithmetic", ferrum::quoted({h.arithmetic, strnlen(h.arithmetic, sizeof(h.arithmetic))}),
                   ferrum::quoted(ours.arithmetic));
  }
  const auto type_name = [](uint32_t type) {
    const auto dtype = dtype_from_ggml(type);
    return dtype ? std::string(to_string(*dtype)) : std::to_string(type);
  };
  if (h.dtype != ours.dtype) return differs("KV of type", type_name(h.dtype), type_name(ours.dtype));
  FERRUM_RETURN_IF_ERROR(number("the block size", h.block_size, ours.block_size));
  FERRUM_RETURN_IF_ERROR(number("the number of layers", h.layers, ours.layers));
  FERRUM_RETURN_IF_ERROR(number("the number of KV heads", h.kv_heads, ours.kv_heads));
  FERRUM_RETURN_IF_ERROR(number("the size of a head", h.head_dim, ours.head_dim));
  FERRUM_RETURN_IF_ERROR(number("the sliding window", h.window, ours.window));
  return number("the bytes of a block", h.block_bytes, ours.block_bytes);
}

// blocks <= max_blocks, which an engine has in memory: no product below overflows.
Status check_sizes(const Header& h, const KvIdentity& id, uint64_t size, int64_t max_blocks) {
  if (h.blocks == 0 || h.missing >= h.blocks)
    return corrupt("it says that " + std::to_string(h.missing) + " of " + std::to_string(h.blocks) +
                   " blocks are missing");
  if (h.blocks > static_cast<uint64_t>(max_blocks)) {
    return capacity_exceeded("it holds a text of " + std::to_string(h.blocks) + " blocks; this KV cache has " +
                             std::to_string(max_blocks) + ": give the engine more KV memory");
  }
  const uint64_t needed =
      sizeof(Header) + h.blocks * h.block_size * sizeof(TokenId) + (h.blocks - h.missing) * SavedKv::stride(id);
  if (size < needed) return too_short(size, needed);
  if (size > needed) return corrupt("it has " + std::to_string(size - needed) + " bytes too many");
  return Status::ok();
}

Status check_tokens(const std::vector<TokenId>& tokens, int64_t vocab_size) {
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocab_size) return corrupt("it has the token id " + std::to_string(token));
  }
  return Status::ok();
}

void close_file(std::FILE* file) { std::fclose(file); }
using File = std::unique_ptr<std::FILE, void (*)(std::FILE*)>;

}  // namespace

PrefixHash model_fingerprint(const Gguf& file) {
  PrefixHash hash;
  const auto absorb = [&hash](std::span<const std::byte> bytes) { hash = siphash128(bytes, hash); };
  const auto absorb_text = [&](std::string_view text) { absorb(std::as_bytes(std::span(text))); };
  for (const std::string& key : file.keys()) {
    absorb_text(key);
    std::visit(
        [&](const auto& value) {
          using T = std::decay_t<decltype(value)>;
          if constexpr (std::is_arithmetic_v<T>) absorb(std::as_bytes(std::span(&value, 1)));
          if constexpr (std::is_same_v<T, std::string>) absorb_text(value);
        },
        file.find(key)->data);
  }
  constexpr size_t kSample = 64;
  for (const GgufTensor& tensor : file.tensors()) {
    absorb_text(tensor.name);
    const uint64_t shape[] = {info(tensor.view.dtype).ggml_type, static_cast<uint64_t>(tensor.view.rank),
                              static_cast<uint64_t>(tensor.view.elements()), tensor.bytes};
    absorb(std::as_bytes(std::span(shape)));
    const std::span data(static_cast<const std::byte*>(tensor.view.data), tensor.bytes);
    const size_t length = std::min(kSample, data.size());
    for (const size_t begin : {size_t{0}, (data.size() - length) / 2, data.size() - length})
      absorb(data.subspan(begin, length));
  }
  return hash;
}

size_t SavedKv::stride(const KvIdentity& identity) {
  return static_cast<size_t>(identity.block_bytes) + kChecksumBytes;
}

std::byte* SavedKv::block(int index, const KvIdentity& identity) {
  return blocks.data() + static_cast<size_t>(index - missing) * stride(identity);
}

const std::byte* SavedKv::block(int index, const KvIdentity& identity) const {
  return const_cast<SavedKv*>(this)->block(index, identity);
}

Status write_kv(const KvSink& sink, const KvIdentity& id, const std::string& owner, SavedKv& kv) {
  Header h = header_of(id, owner);
  h.blocks = kv.tokens.size() / static_cast<size_t>(id.block_size);
  h.missing = static_cast<uint64_t>(kv.missing);
  FERRUM_CHECK(h.blocks > h.missing && kv.blocks.size() == (h.blocks - h.missing) * SavedKv::stride(id),
               "KV to be saved is not what its tokens say");
  h.tokens_checksum = checksum(std::as_bytes(std::span(kv.tokens)), kTokensSection);
  h.checksum = header_checksum(h);
  for (int i = kv.missing; i < static_cast<int>(h.blocks); ++i) {
    std::byte* const block = kv.block(i, id);
    const size_t bytes = static_cast<size_t>(id.block_bytes);
    const uint64_t sum = checksum({block, bytes}, kFirstBlockSection + static_cast<uint64_t>(i));
    std::memcpy(block + bytes, &sum, kChecksumBytes);
  }
  FERRUM_RETURN_IF_ERROR(sink(std::as_bytes(std::span(&h, 1))));
  FERRUM_RETURN_IF_ERROR(sink(std::as_bytes(std::span(kv.tokens))));
  return sink(kv.blocks);
}

Status write_kv_file(const std::string& path, const KvIdentity& id, const std::string& owner, SavedKv& kv) {
  FileSink file(path, FileAccess::kPrivate);
  const auto sink = [&](std::span<const std::byte> bytes) { return file.write(bytes.data(), bytes.size()); };
  FERRUM_RETURN_IF_ERROR(write_kv(sink, id, owner, kv));
  return file.commit();
}

Result<SavedKv> read_kv(const KvSource& source, uint64_t size, const KvIdentity& id, const std::string& owner,
                        int64_t max_blocks) {
  const auto read = [&](std::span<std::byte> bytes) {
    return source(bytes) ? Status::ok() : corrupt("it became shorter while it was read");
  };
  Header h;
  if (size < sizeof(h)) return too_short(size, sizeof(h));
  FERRUM_RETURN_IF_ERROR(read(std::as_writable_bytes(std::span(&h, 1))));
  if (h.magic != kMagic) return corrupt("it is not a KV file of Ferrum");
  if (h.version != kVersion) {
    return invalid_argument("it has version " + std::to_string(h.version) + " of the format; this build reads " +
                            std::to_string(kVersion) + ": save it again");
  }
  if (h.header_bytes != sizeof(h) || h.checksum != header_checksum(h)) return corrupt("its header is damaged");
  FERRUM_RETURN_IF_ERROR(check_identity(h, header_of(id, owner)));
  FERRUM_RETURN_IF_ERROR(check_sizes(h, id, size, max_blocks));

  SavedKv kv;
  kv.missing = static_cast<int>(h.missing);
  kv.tokens.resize(h.blocks * h.block_size);
  kv.blocks.resize((h.blocks - h.missing) * SavedKv::stride(id));
  FERRUM_RETURN_IF_ERROR(read(std::as_writable_bytes(std::span(kv.tokens))));
  if (h.tokens_checksum != checksum(std::as_bytes(std::span(kv.tokens)), kTokensSection))
    return corrupt("its tokens are damaged");
  FERRUM_RETURN_IF_ERROR(check_tokens(kv.tokens, id.vocab_size));
  FERRUM_RETURN_IF_ERROR(read(kv.blocks));
  for (int i = kv.missing; i < static_cast<int>(h.blocks); ++i) {
    const std::byte* const block = kv.block(i, id);
    const size_t bytes = static_cast<size_t>(id.block_bytes);
    uint64_t sum = 0;
    std::memcpy(&sum, block + bytes, kChecksumBytes);
    if (sum != checksum({block, bytes}, kFirstBlockSection + static_cast<uint64_t>(i)))
      return corrupt("block " + std::to_string(i) + " of " + std::to_string(h.blocks) + " is damaged");
  }
  return kv;
}

Result<SavedKv> read_kv_file(const std::string& path, const KvIdentity& id, const std::string& owner,
                             int64_t max_blocks) {
  const std::string name = ferrum::quoted(path, 4096);
  // Without waiting for the other end of a pipe, which is then refused.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const int error = errno;
  const File file(descriptor < 0 ? nullptr : fdopen(descriptor, "rb"), &close_file);
  if (file == nullptr) {
    const std::string what = "cannot open " + name + ": " + std::strerror(error);
    return error == ENOENT ? not_found(what) : io_error(what);
  }
  struct stat status {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
    return invalid_argument(name + " is not a regular file");
  const auto source = [&](std::span<std::byte> bytes) {
    return std::fread(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
  };
  Result<SavedKv> kv = read_kv(source, static_cast<uint64_t>(status.st_size), id, owner, max_blocks);
  if (!kv.is_ok()) return kv.status().with_context("the KV file " + name);
  return kv;
}

}  // namespace ferrum
