// What a model file is: `ferrum inspect`. Works for any GGUF file, also of architectures that Ferrum cannot run: that
// is when one needs it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/gguf.h"
#include "tensor/dtype.h"

namespace ferrum {

// As the metadata say; absent or mistyped keys are left empty, nothing is assumed of the architecture. Vectors have one
// element, or one per layer.
struct InspectCapabilities {
  std::string architecture, name;
  std::optional<int64_t> context_length, layers, hidden_size, head_dim, value_head_dim, vocab_size, sliding_window;
  std::optional<int64_t> experts, experts_used;
  std::vector<int64_t> ffn_size, heads, kv_heads;
  std::string rope;  // "base 10000, 64 dimensions, scaling yarn x4"
  std::string tokenizer_model, tokenizer_pre;
  bool chat_template = false;
  bool tool_template = false;                 // the chat template mentions tools
  std::optional<int64_t> kv_bytes_per_token;  // of all layers, in F16, without regard to windows
};

struct InspectTypeUse {
  DType dtype = DType::kF32;
  int64_t tensors = 0;
  int64_t parameters = 0;
  uint64_t bytes = 0;
};

struct InspectReport {
  std::shared_ptr<const Gguf> file;  // metadata and tensors
  int64_t parameters = 0;            // elements of all tensors
  uint64_t tensor_bytes = 0;
  double bits_per_weight = 0;  // 0 without tensors
  InspectCapabilities capabilities;
  std::vector<InspectTypeUse> types;   // most bytes first
  std::vector<std::string> obstacles;  // why Ferrum cannot run it; empty: it can (or measure() made the report)

  bool supported() const { return obstacles.empty(); }
};

// Sizes and capabilities, in a moment: obstacles are not looked for, which takes a tokenizer.
InspectReport measure(std::shared_ptr<const Gguf> file);
InspectReport inspect(std::shared_ptr<const Gguf> file);
// Opens the file (and all its parts). Fails only if it is no readable GGUF.
Result<InspectReport> inspect(const std::string& path);

// Aligned tables for people, control characters of the file escaped. Long values and arrays are abbreviated.
std::string render_table(const InspectReport& report);
// One JSON object, indented, always valid UTF-8. Strings are whole; of arrays the count and the first elements.
std::string render_json(const InspectReport& report);

// `ferrum inspect FILE [--json]`.
Result<std::string> inspect_file(const std::string& path, bool json);

}  // namespace ferrum
