#include "io/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#include "base/quote.h"
#include "io/file_sink.h"
#include "io/gguf.h"
#include "io/gguf_parse.h"
#include "io/gguf_split.h"

namespace ferrum {
namespace {

uint64_t round_up(uint64_t n, uint64_t alignment) { return (n + alignment - 1) / alignment * alignment; }

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put_string(std::string& out, std::string_view text) {
  put(out, static_cast<uint64_t>(text.size()));
  out += text;
}

// Appends `value` as the file type Narrow; false if that changes it.
template <typename Narrow, typename Wide>
bool put_number(std::string& out, Wide value) {
  put(out, static_cast<Narrow>(value));
  if constexpr (std::is_integral_v<Wide>)
    return std::in_range<Narrow>(value);
  else
    return !std::isfinite(value) || std::isfinite(static_cast<Narrow>(value));
}

// False if the value does not fit the type. Wide is uint64_t, int64_t, double, bool or std::string.
template <typename Wide>
bool put_element(std::string& out, GgufType type, const Wide& value) {
  if constexpr (std::is_same_v<Wide, uint64_t>) {
    if (type == GgufType::kUint8) return put_number<uint8_t>(out, value);
    if (type == GgufType::kUint16) return put_number<uint16_t>(out, value);
    if (type == GgufType::kUint32) return put_number<uint32_t>(out, value);
    if (type == GgufType::kUint64) return put_number<uint64_t>(out, value);
  } else if constexpr (std::is_same_v<Wide, int64_t>) {
    if (type == GgufType::kInt8) return put_number<int8_t>(out, value);
    if (type == GgufType::kInt16) return put_number<int16_t>(out, value);
    if (type == GgufType::kInt32) return put_number<int32_t>(out, value);
    if (type == GgufType::kInt64) return put_number<int64_t>(out, value);
  } else if constexpr (std::is_same_v<Wide, double>) {
    if (type == GgufType::kFloat32) return put_number<float>(out, value);
    if (type == GgufType::kFloat64) return put_number<double>(out, value);
  } else if constexpr (std::is_same_v<Wide, bool>) {
    if (type == GgufType::kBool) return put_number<uint8_t>(out, static_cast<uint64_t>(value));
  } else {
    if (type == GgufType::kString) {
      put_string(out, value);
      return true;
    }
  }
  return false;
}

bool put_value(std::string& out, const GgufValue& value) {
  put(out, static_cast<uint32_t>(value.type));
  return std::visit(
      [&](const auto& held) {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_arithmetic_v<Held> || std::is_same_v<Held, std::string>) {
          return put_element<Held>(out, value.type, held);
        } else {
          if (value.type != GgufType::kArray) return false;
          put(out, static_cast<uint32_t>(value.element_type));
          put(out, static_cast<uint64_t>(held.size()));
          for (const typename Held::value_type& element : held) {
            if (!put_element<typename Held::value_type>(out, value.element_type, element)) return false;
          }
          return true;
        }
      },
      value.data);
}

using Sink = std::function<Status(const void* data, size_t bytes)>;

}  // namespace

class GgufWriter::Part {
 public:
  std::vector<const Entry*> entries;
  std::span<const Tensor> tensors;
  uint64_t alignment = kGgufDefaultAlignment;

  Status write(const Sink& sink) const {
    FERRUM_ASSIGN_OR_RETURN(const std::string head, header());
    FERRUM_RETURN_IF_ERROR(sink(head.data(), head.size()));
    const std::string zeros(static_cast<size_t>(alignment), '\0');
    for (const Tensor& tensor : tensors) {
      FERRUM_RETURN_IF_ERROR(sink(tensor.view.data, static_cast<size_t>(tensor.bytes)));
      const uint64_t padding = round_up(tensor.bytes, alignment) - tensor.bytes;
      FERRUM_RETURN_IF_ERROR(sink(zeros.data(), static_cast<size_t>(padding)));
    }
    return Status::ok();
  }

  Status write_file(const std::string& path) const {
    FileSink file(path);
    FERRUM_RETURN_IF_ERROR(write([&file](const void* data, size_t bytes) { return file.write(data, bytes); }));
    return file.commit();
  }

 private:
  // Everything before the tensor data, padded.
  Result<std::string> header() const {
    std::string out(kGgufMagic, sizeof(kGgufMagic));
    put(out, kGgufVersion);
    put(out, static_cast<uint64_t>(tensors.size()));
    put(out, static_cast<uint64_t>(entries.size()));
    for (const Entry* entry : entries) {
      put_string(out, entry->key);
      if (put_value(out, entry->value)) continue;
      return invalid_argument("the value of metadata key " + quoted(entry->key) + " does not fit its type " +
                              entry->value.type_name());
    }
    uint64_t offset = 0;
    for (const Tensor& tensor : tensors) {
      put_string(out, tensor.name);
      put(out, static_cast<uint32_t>(tensor.view.rank));
      for (int i = tensor.view.rank - 1; i >= 0; --i) put(out, static_cast<uint64_t>(tensor.view.dim(i)));
      put(out, info(tensor.view.dtype).ggml_type);
      put(out, offset);
      offset += round_up(tensor.bytes, alignment);
    }
    out.resize(static_cast<size_t>(round_up(out.size(), alignment)), '\0');
    return out;
  }
};

void GgufWriter::set(std::string_view key, GgufValue value) {
  const auto it = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
  if (it != entries_.end())
    it->value = std::move(value);
  else
    entries_.push_back({std::string(key), std::move(value)});
}

void GgufWriter::set_uint32(std::string_view key, uint32_t value) {
  set(key, {GgufType::kUint32, {}, static_cast<uint64_t>(value)});
}
void GgufWriter::set_float32(std::string_view key, float value) {
  set(key, {GgufType::kFloat32, {}, static_cast<double>(value)});
}
void GgufWriter::set_bool(std::string_view key, bool value) { set(key, {GgufType::kBool, {}, value}); }
void GgufWriter::set_string(std::string_view key, std::string value) {
  set(key, {GgufType::kString, {}, std::move(value)});
}
void GgufWriter::set_strings(std::string_view key, std::vector<std::string> values) {
  set(key, {GgufType::kArray, GgufType::kString, std::move(values)});
}
void GgufWriter::set_int32s(std::string_view key, std::span<const int32_t> values) {
  set(key, {GgufType::kArray, GgufType::kInt32, std::vector<int64_t>(values.begin(), values.end())});
}
void GgufWriter::set_float32s(std::string_view key, std::span<const float> values) {
  set(key, {GgufType::kArray, GgufType::kFloat32, std::vector<double>(values.begin(), values.end())});
}

void GgufWriter::copy_metadata(const GgufMetadata& metadata) {
  for (const std::string& key : metadata.keys()) {
    if (!key.starts_with("split.")) set(key, *metadata.find(key));
  }
}

Status GgufWriter::add_tensor(std::string name, const ConstView& view) {
  const std::string what = "tensor " + quoted(name);
  if (name.empty() || name.size() > GgufLimits::kTensorNameBytes) {
    return invalid_argument(what + ": a name must have 1 to " + std::to_string(GgufLimits::kTensorNameBytes) +
                            " bytes");
  }
  if (names_.contains(name)) return invalid_argument(what + " was added twice");
  if (view.rank < 1 || view.rank > 4 || !view.is_contiguous()) {
    return invalid_argument(what + " must be contiguous and have 1 to 4 dimensions, not " + describe(view));
  }
  int64_t rows = 1;
  for (int i = 0; i < view.rank; ++i) {
    if (view.dim(i) < 1) return invalid_argument(what + " has an empty dimension: " + describe(view));
    if (i + 1 < view.rank) rows *= view.dim(i);
  }
  const auto row_bytes = checked_bytes(view.dtype, view.cols());
  if (!row_bytes.has_value()) {
    return invalid_argument(what + " has rows that are no whole blocks: " + describe(view));
  }
  names_.insert(name);
  tensors_.push_back({std::move(name), view, static_cast<uint64_t>(*row_bytes * rows)});
  return Status::ok();
}

Result<uint64_t> GgufWriter::alignment() const {
  for (const Entry& entry : entries_) {
    if (entry.key.starts_with("split."))
      return invalid_argument("metadata key " + quoted(entry.key) + " is the writer's own");
    if (entry.key != kGgufAlignmentKey) continue;
    const auto* value = std::get_if<uint64_t>(&entry.value.data);
    if (value == nullptr || entry.value.type != GgufType::kUint32 || *value < 8 || !std::has_single_bit(*value)) {
      return invalid_argument("general.alignment must be a uint32, a power of two and at least 8");
    }
    return *value;
  }
  return kGgufDefaultAlignment;
}

Result<GgufWriter::Part> GgufWriter::whole() const {
  Part part;
  FERRUM_ASSIGN_OR_RETURN(part.alignment, alignment());
  for (const Entry& entry : entries_) part.entries.push_back(&entry);
  part.tensors = tensors_;
  return part;
}

Status GgufWriter::write(const std::string& path) const {
  FERRUM_ASSIGN_OR_RETURN(const Part part, whole());
  return part.write_file(path);
}

Result<std::vector<std::byte>> GgufWriter::to_bytes() const {
  FERRUM_ASSIGN_OR_RETURN(const Part part, whole());
  std::vector<std::byte> out;
  FERRUM_RETURN_IF_ERROR(part.write([&out](const void* data, size_t bytes) {
    const auto* begin = static_cast<const std::byte*>(data);
    out.insert(out.end(), begin, begin + bytes);
    return Status::ok();
  }));
  return out;
}

std::vector<std::span<const GgufWriter::Tensor>> GgufWriter::group_tensors(uint64_t max_bytes) const {
  std::vector<std::span<const Tensor>> groups;
  const std::span<const Tensor> all = tensors_;
  size_t begin = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i > begin && bytes + all[i].bytes > max_bytes) {
      groups.push_back(all.subspan(begin, i - begin));
      begin = i;
      bytes = 0;
    }
    bytes += all[i].bytes;
  }
  groups.push_back(all.subspan(begin));
  return groups;
}

Result<std::vector<std::string>> GgufWriter::write_split(const std::string& prefix, uint64_t max_part_bytes) const {
  FERRUM_ASSIGN_OR_RETURN(const Part all, whole());
  const auto groups = group_tensors(max_part_bytes);
  if (groups.size() > static_cast<size_t>(GgufLimits::kParts)) {
    return invalid_argument("the model would have " + std::to_string(groups.size()) + " parts; the limit is " +
                            std::to_string(GgufLimits::kParts) + ", use larger parts");
  }
  std::vector<std::string> paths;
  for (size_t i = 0; i < groups.size(); ++i) {
    const Entry own[] = {{kSplitNumberKey, {GgufType::kUint16, {}, static_cast<uint64_t>(i)}},
                         {kSplitCountKey, {GgufType::kUint16, {}, static_cast<uint64_t>(groups.size())}},
                         {kSplitTensorsKey, {GgufType::kInt32, {}, static_cast<int64_t>(tensors_.size())}},
                         {kGgufAlignmentKey, {GgufType::kUint32, {}, all.alignment}}};
    Part part;
    part.alignment = all.alignment;
    part.tensors = groups[i];
    if (i == 0) part.entries = all.entries;
    for (size_t k = 0; k < 3; ++k) part.entries.push_back(&own[k]);
    if (i > 0) part.entries.push_back(&own[3]);  // each part is aligned for itself
    paths.push_back(make_split_name(prefix, static_cast<int64_t>(i), static_cast<int64_t>(groups.size())));
    FERRUM_RETURN_IF_ERROR(part.write_file(paths.back()));
  }
  return paths;
}

}  // namespace ferrum
