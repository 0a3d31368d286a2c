#include "io/gguf.h"

#include <algorithm>
#include <utility>

#include "base/quote.h"
#include "io/gguf_parse.h"
#include "io/gguf_split.h"
#include "io/mmap.h"

namespace ferrum {

struct Gguf::Loaded {
  GgufSource source;
  GgufPart part;
  SplitInfo split;

  static Result<Loaded> parse(GgufSource source) {
    const auto at = quoted(source.name, 4096);
    auto part = parse_gguf_part(source.bytes);
    if (!part.is_ok()) return part.status().with_context(at);
    auto split = read_split_info(part->metadata);
    if (!split.is_ok()) return split.status().with_context(at);
    return Loaded{std::move(source), std::move(*part), *split};
  }

  static Result<Loaded> map_file(const std::string& path) {
    FERRUM_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
    auto owner = std::make_shared<MappedFile>(std::move(file));
    const auto bytes = owner->bytes();
    return parse(GgufSource{path, bytes, std::move(owner), true});
  }
};

namespace {

// Where the tensor's bytes are, with the dimensions turned outermost first.
ConstView make_view(const GgufTensorInfo& info, const std::byte* data) {
  ConstView view;
  view.data = data;
  view.dtype = info.dtype;
  view.rank = info.rank;
  for (int i = 0; i < info.rank; ++i) {
    view.shape[static_cast<size_t>(i)] = info.dims[static_cast<size_t>(info.rank - 1 - i)];
  }
  view.row_stride = info.dims[0];
  return view;
}

// The file's name must say what its metadata say: the other parts are found by name.
Result<SplitName> check_split_name(const std::string& path, const SplitInfo& split) {
  const auto name = parse_split_name(path);
  if (name.has_value() && name->number == split.number && name->count == split.count) return *name;
  const std::string wanted = make_split_name("NAME", split.number, split.count);
  return invalid_argument(quoted(path, 4096) + " is part " + std::to_string(split.number + 1) + " of " +
                          std::to_string(split.count) + " of a split model, but is not called " + wanted +
                          "; rename it so that the other parts can be found beside it");
}

}  // namespace

GgufSource GgufSource::from_vector(std::string name, std::vector<std::byte> bytes) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  return {std::move(name), *owner, owner};
}

Result<std::shared_ptr<const Gguf>> Gguf::open(const std::string& path) {
  FERRUM_ASSIGN_OR_RETURN(Loaded named, Loaded::map_file(path));
  std::vector<Loaded> parts;
  const SplitInfo split = named.split;
  if (split.count == 1) {
    const auto name = parse_split_name(path);
    if (name.has_value() && name->count > 1) {
      return corrupt(quoted(path, 4096) + " is named as one of " + std::to_string(name->count) +
                     " parts, but has no split.count in its metadata; it was not made by gguf-split");
    }
    parts.push_back(std::move(named));
    return assemble(std::move(parts));
  }
  FERRUM_ASSIGN_OR_RETURN(const SplitName name, check_split_name(path, split));
  for (int64_t i = 0; i < split.count; ++i) {
    if (i == split.number) {
      parts.push_back(std::move(named));
      continue;
    }
    auto part = Loaded::map_file(make_split_name(name.prefix, i, split.count));
    if (!part.is_ok()) {
      return part.status().with_context("part " + std::to_string(i + 1) + " of " + std::to_string(split.count));
    }
    parts.push_back(std::move(*part));
  }
  return assemble(std::move(parts));
}

Result<std::shared_ptr<const Gguf>> Gguf::from_sources(std::vector<GgufSource> sources) {
  std::vector<Loaded> parts;
  for (GgufSource& source : sources) {
    if (reinterpret_cast<uintptr_t>(source.bytes.data()) % 8 != 0) {
      return invalid_argument(quoted(source.name) + ": the bytes must be 8-byte aligned in memory");
    }
    FERRUM_ASSIGN_OR_RETURN(Loaded part, Loaded::parse(std::move(source)));
    parts.push_back(std::move(part));
  }
  if (parts.empty()) return invalid_argument("a GGUF model needs at least one file");
  return assemble(std::move(parts));
}

Result<std::shared_ptr<const Gguf>> Gguf::assemble(std::vector<Loaded> parts) {
  std::shared_ptr<Gguf> gguf(new Gguf());
  gguf->version_ = parts[0].part.version;
  gguf->alignment_ = parts[0].part.alignment;
  const SplitInfo first = parts[0].split;
  for (size_t i = 0; i < parts.size(); ++i) {
    const SplitInfo& split = parts[i].split;
    const std::string at = quoted(parts[i].source.name, 4096);
    if (split.count != static_cast<int64_t>(parts.size()) || split.number != static_cast<int64_t>(i)) {
      return corrupt(at + " says it is part " + std::to_string(split.number + 1) + " of " +
                     std::to_string(split.count) + ", but was found as part " + std::to_string(i + 1) + " of " +
                     std::to_string(parts.size()));
    }
    if (split.tensors != first.tensors) {
      return corrupt(at + " belongs to a model of " + std::to_string(split.tensors) +
                     " tensors, the first part to one of " + std::to_string(first.tensors) +
                     "; the parts are of different models");
    }
    if (gguf->tensors_.size() + parts[i].part.tensors.size() > GgufLimits::kTensors) {
      return unsupported(at + ": the parts have more than " + std::to_string(GgufLimits::kTensors) +
                         " tensors together");
    }
    const std::byte* data = parts[i].source.bytes.data() + parts[i].part.data_begin;
    for (GgufTensorInfo& info : parts[i].part.tensors) {
      if (!gguf->tensor_index_.try_emplace(info.name, gguf->tensors_.size()).second) {
        return corrupt(at + ": tensor " + quoted(info.name) + " is in an earlier part too");
      }
      gguf->tensors_.push_back({std::move(info.name), make_view(info, data + info.offset), static_cast<int>(i),
                                info.offset, static_cast<size_t>(info.bytes), parts[i].source.mapped});
    }
  }
  if (first.tensors >= 0 && first.tensors != static_cast<int64_t>(gguf->tensors_.size())) {
    return corrupt(quoted(parts[0].source.name, 4096) + " announces " + std::to_string(first.tensors) +
                   " tensors in all parts, but they have " + std::to_string(gguf->tensors_.size()));
  }
  static_cast<GgufMetadata&>(*gguf) = std::move(parts[0].part.metadata);
  for (Loaded& part : parts) gguf->sources_.push_back(std::move(part.source));
  return std::shared_ptr<const Gguf>(std::move(gguf));
}

uint64_t Gguf::file_bytes() const {
  uint64_t total = 0;
  for (const GgufSource& source : sources_) total += source.bytes.size();
  return total;
}

uint64_t Gguf::file_offset(const GgufTensor& tensor) const {
  const std::byte* const begin = sources_[static_cast<size_t>(tensor.part)].bytes.data();
  return static_cast<uint64_t>(static_cast<const std::byte*>(tensor.view.data) - begin);
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace ferrum
