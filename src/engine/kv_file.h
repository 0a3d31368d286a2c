// The KV of a text in a file, so that it need not be computed again. docs/kv-file.md describes the format.
//
// Nothing in a file is trusted: its sizes are checked against what this engine has and against each other before memory
// is taken, and every section against its checksum before it is used. Checksums find accidents; whoever can write the
// file can also put any numbers into it, which change what the model says and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/gguf.h"
#include "kv/prefix_hash.h"
#include "tensor/dtype.h"
#include "types/ids.h"

namespace ferrum {

// What must be the same where KV is saved and where it is read.
struct KvIdentity {
  PrefixHash model;        // model_fingerprint()
  std::string arithmetic;  // what computes it and how it lies in a block, at most 31 bytes: "cpu/1"
  DType dtype = DType::kF16;
  int block_size = 0;  // tokens
  int layers = 0, kv_heads = 0, head_dim = 0;
  int window = 0;           // tokens that a position sees; 0 = all
  int64_t block_bytes = 0;  // of one block over all layers
  int64_t vocab_size = 0;   // token ids are below; not in the file, the fingerprint covers it
};

// Counts the ways in which this build's backends have computed KV and arranged it in blocks: raise it with every change
// that gives other bytes, so that files of before are refused.
inline constexpr int kKvArithmetic = 1;

// Covers what the KV of a text depends on: the metadata but for the vocabulary, and of each tensor its name, type and
// shape and samples of its bytes. A model that was trained further has other weights everywhere, so samples tell it.
PrefixHash model_fingerprint(const Gguf& file);

// The KV of a text of whole blocks.
struct SavedKv {
  std::vector<TokenId> tokens;    // block_size for each block
  int missing = 0;                // blocks at the front that fell out of the sliding window and are not in `blocks`
  std::vector<std::byte> blocks;  // block_bytes and room for a checksum each

  // The KV of block `index` of the text, which is not one of the missing.
  std::byte* block(int index, const KvIdentity& identity);
  const std::byte* block(int index, const KvIdentity& identity) const;
  static size_t stride(const KvIdentity& identity);  // bytes of `blocks` that a block takes
};

// Replaces the file as a whole, readable by its owner alone. owner: who may read it back, such as a cache salt. Fills
// in the checksums in kv.blocks.
Status write_kv_file(const std::string& path, const KvIdentity& identity, const std::string& owner, SavedKv& kv);

// kNotFound: no such file. kInvalidArgument: it is of another model, type, block size or owner, or of a version that is
// not known. kCapacity: it holds more than max_blocks. kCorrupt: it contradicts itself.
Result<SavedKv> read_kv_file(const std::string& path, const KvIdentity& identity, const std::string& owner,
                             int64_t max_blocks);

// The same to anything that takes bytes piece by piece, and from anything that gives `size` of them; false = no more.
using KvSink = std::function<Status(std::span<const std::byte>)>;
Status write_kv(const KvSink& sink, const KvIdentity& identity, const std::string& owner, SavedKv& kv);
using KvSource = std::function<bool(std::span<std::byte>)>;
Result<SavedKv> read_kv(const KvSource& source, uint64_t size, const KvIdentity& identity, const std::string& owner,
                        int64_t max_blocks);

}  // namespace ferrum
