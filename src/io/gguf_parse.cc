#include "io/gguf_parse.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <new>
#include <set>
#include <utility>

#include "base/quote.h"
#include "io/byte_reader.h"
#include "io/gguf.h"

namespace ferrum {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers and tensors are read in place");

// The least bytes a key-value pair (key length, type, one byte of value) and a tensor info (name length, rank, type,
// offset) can take: bounds a count by the bytes that are there.
constexpr uint64_t kMinPairBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorInfoBytes = 8 + 4 + 4 + 8;

class PartParser {
 public:
  explicit PartParser(std::span<const std::byte> bytes) : reader_(bytes), file_bytes_(bytes.size()) {}

  Result<GgufPart> parse() {
    FERRUM_RETURN_IF_ERROR(parse_header());
    for (uint64_t i = 0; i < key_count_; ++i) FERRUM_RETURN_IF_ERROR(parse_pair(i));
    FERRUM_RETURN_IF_ERROR(read_alignment());
    for (uint64_t i = 0; i < tensor_count_; ++i) FERRUM_RETURN_IF_ERROR(parse_tensor_info(i));
    FERRUM_RETURN_IF_ERROR(place_tensors());
    return std::move(part_);
  }

 private:
  Status parse_header();
  Status check_magic(std::string_view magic) const;
  Status check_counts() const;
  Status parse_pair(uint64_t index);
  Status parse_value(const std::string& key, GgufValue& value);
  Status parse_scalar(const std::string& key, GgufValue& value);
  Status parse_array(const std::string& key, GgufValue& value);
  Status read_string(const std::string& what, uint64_t max_bytes, std::string& out);
  Status read_alignment();
  Status parse_tensor_info(uint64_t index);
  Status parse_shape(GgufTensorInfo& tensor, uint32_t rank);
  Status parse_type_and_size(GgufTensorInfo& tensor);
  Status place_tensors();
  Status check_overlap() const;

  // A number of the file's type T, widened to Wide.
  template <typename T, typename Wide>
  Status read_number(const std::string& key, GgufValue& value) {
    T number{};
    if (!reader_.read(number)) return truncated("the value of " + quoted(key));
    value.data = static_cast<Wide>(number);
    return Status::ok();
  }
  // The caller has checked that count elements are there.
  template <typename T, typename Wide>
  Status read_numbers(uint64_t count, GgufValue& value) {
    std::vector<Wide> numbers(static_cast<size_t>(count));
    for (Wide& number : numbers) {
      T narrow{};
      reader_.read(narrow);
      number = static_cast<Wide>(narrow);
    }
    value.data = std::move(numbers);
    return Status::ok();
  }
  Status read_bools(const std::string& key, uint64_t count, GgufValue& value);
  Status read_strings(const std::string& key, uint64_t count, GgufValue& value);

  Status truncated(const std::string& what) const {
    return corrupt("the file ends at byte " + std::to_string(file_bytes_) + " while reading " + what +
                   "; it is truncated or damaged, download it again");
  }

  ByteReader reader_;
  uint64_t file_bytes_;
  uint64_t tensor_count_ = 0;
  uint64_t key_count_ = 0;
  uint64_t array_elements_ = 0;  // so far, against GgufLimits
  uint64_t string_bytes_ = 0;
  std::set<std::string, std::less<>> tensor_names_;
  GgufPart part_;
};

Status PartParser::parse_header() {
  std::string_view magic;
  if (!reader_.read_bytes(sizeof(kGgufMagic), magic)) return truncated("the magic number");
  FERRUM_RETURN_IF_ERROR(check_magic(magic));
  uint32_t version = 0;
  if (!reader_.read(version)) return truncated("the version");
  if ((version & 0xffffu) == 0 && version != 0) {
    return unsupported("the file is big-endian (version field " + std::to_string(version) +
                       "); convert it to little endian with gguf_convert_endian.py of the gguf package");
  }
  if (version != 2 && version != 3) {
    return unsupported("GGUF version " + std::to_string(version) +
                       " is not supported, only 2 and 3; convert the model again");
  }
  part_.version = version;
  if (!reader_.read(tensor_count_) || !reader_.read(key_count_)) return truncated("the header's counts");
  return check_counts();
}

// A wrong magic number is mostly one of a few well-known mistakes.
Status PartParser::check_magic(std::string_view magic) const {
  if (magic == std::string_view(kGgufMagic, sizeof(kGgufMagic))) return Status::ok();
  const std::string start = "not a GGUF file: it starts with " + quoted(magic);
  if (magic == "vers") return corrupt(start + ", probably a Git LFS pointer; fetch the file itself with git lfs pull");
  if (magic == "<!DO" || magic == "<!do" || magic == "<htm")
    return corrupt(start + ", a web page; download the model again");
  if (magic == "lmgg" || magic == "fmgg" || magic == "tjgg") {
    return unsupported(start + ", a GGML file from before GGUF; convert the original model again");
  }
  return corrupt(start + " instead of 'GGUF'");
}

Status PartParser::check_counts() const {
  const auto check = [this](const char* what, uint64_t count, uint64_t least_bytes, uint64_t limit) -> Status {
    if (count > reader_.remaining() / least_bytes) {
      return corrupt("the header announces " + std::to_string(count) + " " + what + ", more than a file of " +
                     std::to_string(file_bytes_) + " bytes can hold");
    }
    if (count <= limit) return Status::ok();
    return unsupported("the header announces " + std::to_string(count) + " " + what + "; the limit is " +
                       std::to_string(limit));
  };
  FERRUM_RETURN_IF_ERROR(check("metadata keys", key_count_, kMinPairBytes, GgufLimits::kKeys));
  return check("tensors", tensor_count_, kMinTensorInfoBytes, GgufLimits::kTensors);
}

Status PartParser::read_string(const std::string& what, uint64_t max_bytes, std::string& out) {
  uint64_t length = 0;
  if (!reader_.read(length)) return truncated("the length of " + what);
  if (length > reader_.remaining()) {
    return corrupt(what + " at byte " + std::to_string(reader_.position()) + " claims " + std::to_string(length) +
                   " bytes, but " + std::to_string(reader_.remaining()) + " are left in the file");
  }
  if (length > max_bytes) {
    return unsupported(what + " is " + std::to_string(length) + " bytes long; the limit is " +
                       std::to_string(max_bytes));
  }
  string_bytes_ += length;
  if (string_bytes_ > GgufLimits::kStringBytes) {
    return unsupported("the strings up to " + what + " exceed " + std::to_string(GgufLimits::kStringBytes) + " bytes");
  }
  std::string_view text;
  reader_.read_bytes(length, text);
  out.assign(text);
  return Status::ok();
}

Status PartParser::parse_pair(uint64_t index) {
  const std::string which = "metadata key " + std::to_string(index + 1) + " of " + std::to_string(key_count_);
  std::string key;
  FERRUM_RETURN_IF_ERROR(read_string(which, GgufLimits::kKeyBytes, key));
  if (key.empty()) return corrupt(which + " is empty");
  GgufValue value;
  FERRUM_RETURN_IF_ERROR(parse_value(key, value));
  if (!part_.metadata.add(key, std::move(value))) return corrupt("metadata key " + quoted(key) + " appears twice");
  return Status::ok();
}

Status PartParser::parse_value(const std::string& key, GgufValue& value) {
  uint32_t type = 0;
  if (!reader_.read(type)) return truncated("the type of " + quoted(key));
  value.type = static_cast<GgufType>(type);
  if (gguf_type_bytes(value.type) == 0) {
    return corrupt("metadata key " + quoted(key) + " has the unknown type " + std::to_string(type));
  }
  return value.type == GgufType::kArray ? parse_array(key, value) : parse_scalar(key, value);
}

Status PartParser::parse_scalar(const std::string& key, GgufValue& value) {
  switch (value.type) {
    case GgufType::kUint8: return read_number<uint8_t, uint64_t>(key, value);
    case GgufType::kInt8: return read_number<int8_t, int64_t>(key, value);
    case GgufType::kUint16: return read_number<uint16_t, uint64_t>(key, value);
    case GgufType::kInt16: return read_number<int16_t, int64_t>(key, value);
    case GgufType::kUint32: return read_number<uint32_t, uint64_t>(key, value);
    case GgufType::kInt32: return read_number<int32_t, int64_t>(key, value);
    case GgufType::kUint64: return read_number<uint64_t, uint64_t>(key, value);
    case GgufType::kInt64: return read_number<int64_t, int64_t>(key, value);
    case GgufType::kFloat32: return read_number<float, double>(key, value);
    case GgufType::kFloat64: return read_number<double, double>(key, value);
    case GgufType::kString:
      value.data = std::string();
      return read_string("the value of " + quoted(key), GgufLimits::kStringBytes, std::get<std::string>(value.data));
    case GgufType::kBool: {
      uint8_t byte = 0;
      if (!reader_.read(byte)) return truncated("the value of " + quoted(key));
      if (byte > 1) return corrupt("metadata key " + quoted(key) + " is a bool of value " + std::to_string(byte));
      value.data = byte == 1;
      return Status::ok();
    }
    case GgufType::kArray: break;
  }
  return internal_error("not a scalar: " + quoted(key));
}

Status PartParser::parse_array(const std::string& key, GgufValue& value) {
  uint32_t type = 0;
  uint64_t count = 0;
  if (!reader_.read(type) || !reader_.read(count)) return truncated("the array " + quoted(key));
  value.element_type = static_cast<GgufType>(type);
  if (value.element_type == GgufType::kArray) {
    return unsupported("metadata key " + quoted(key) + " is an array of arrays");
  }
  const size_t least_bytes = gguf_type_bytes(value.element_type);
  if (least_bytes == 0) {
    return corrupt("metadata key " + quoted(key) + " is an array of the unknown type " + std::to_string(type));
  }
  if (count > reader_.remaining() / least_bytes) {
    return corrupt("metadata key " + quoted(key) + " claims " + std::to_string(count) + " elements of type " +
                   std::string(to_string(value.element_type)) + ", but " + std::to_string(reader_.remaining()) +
                   " bytes are left in the file");
  }
  array_elements_ += count;
  if (array_elements_ > GgufLimits::kArrayElements) {
    return unsupported("the arrays up to " + quoted(key) + " exceed " + std::to_string(GgufLimits::kArrayElements) +
                       " elements");
  }
  switch (value.element_type) {
    case GgufType::kUint8: return read_numbers<uint8_t, uint64_t>(count, value);
    case GgufType::kInt8: return read_numbers<int8_t, int64_t>(count, value);
    case GgufType::kUint16: return read_numbers<uint16_t, uint64_t>(count, value);
    case GgufType::kInt16: return read_numbers<int16_t, int64_t>(count, value);
    case GgufType::kUint32: return read_numbers<uint32_t, uint64_t>(count, value);
    case GgufType::kInt32: return read_numbers<int32_t, int64_t>(count, value);
    case GgufType::kUint64: return read_numbers<uint64_t, uint64_t>(count, value);
    case GgufType::kInt64: return read_numbers<int64_t, int64_t>(count, value);
    case GgufType::kFloat32: return read_numbers<float, double>(count, value);
    case GgufType::kFloat64: return read_numbers<double, double>(count, value);
    case GgufType::kBool: return read_bools(key, count, value);
    case GgufType::kString: return read_strings(key, count, value);
    case GgufType::kArray: break;
  }
  return internal_error("not an array: " + quoted(key));
}

Status PartParser::read_bools(const std::string& key, uint64_t count, GgufValue& value) {
  std::vector<bool> bools(static_cast<size_t>(count));
  for (size_t i = 0; i < bools.size(); ++i) {
    uint8_t byte = 0;
    reader_.read(byte);
    if (byte > 1)
      return corrupt("element " + std::to_string(i) + " of " + quoted(key) + " is a bool of value " +
                     std::to_string(byte));
    bools[i] = byte == 1;
  }
  value.data = std::move(bools);
  return Status::ok();
}

Status PartParser::read_strings(const std::string& key, uint64_t count, GgufValue& value) {
  const std::string what = "a string of " + quoted(key);  // once: the message's text costs more than the string
  std::vector<std::string> strings(static_cast<size_t>(count));
  for (std::string& s : strings) FERRUM_RETURN_IF_ERROR(read_string(what, GgufLimits::kStringBytes, s));
  value.data = std::move(strings);
  return Status::ok();
}

Status PartParser::read_alignment() {
  const GgufValue* value = part_.metadata.find(kGgufAlignmentKey);
  if (value == nullptr) return Status::ok();
  if (value->type != GgufType::kUint32) {
    return corrupt("metadata key 'general.alignment' must be uint32 but is " + value->type_name());
  }
  const uint64_t alignment = std::get<uint64_t>(value->data);
  // The specification wants a multiple of 8; anything less would misalign tensors of 64-bit elements.
  if (alignment < 8 || !std::has_single_bit(alignment)) {
    return corrupt("general.alignment is " + std::to_string(alignment) + "; it must be a power of two of at least 8");
  }
  part_.alignment = alignment;
  return Status::ok();
}

Status PartParser::parse_tensor_info(uint64_t index) {
  const std::string which = "tensor " + std::to_string(index + 1) + " of " + std::to_string(tensor_count_);
  GgufTensorInfo tensor;
  FERRUM_RETURN_IF_ERROR(read_string("the name of " + which, GgufLimits::kTensorNameBytes, tensor.name));
  if (tensor.name.empty()) return corrupt(which + " has an empty name");
  uint32_t rank = 0;
  if (!reader_.read(rank)) return truncated("the rank of tensor " + quoted(tensor.name));
  FERRUM_RETURN_IF_ERROR(parse_shape(tensor, rank));
  FERRUM_RETURN_IF_ERROR(parse_type_and_size(tensor));
  if (!reader_.read(tensor.offset)) return truncated("the offset of tensor " + quoted(tensor.name));
  if (tensor.offset % part_.alignment != 0) {
    return corrupt("tensor " + quoted(tensor.name) + " is at offset " + std::to_string(tensor.offset) +
                   ", not a multiple of the alignment " + std::to_string(part_.alignment));
  }
  if (!tensor_names_.insert(tensor.name).second) return corrupt("tensor " + quoted(tensor.name) + " appears twice");
  part_.tensors.push_back(std::move(tensor));
  return Status::ok();
}

Status PartParser::parse_shape(GgufTensorInfo& tensor, uint32_t rank) {
  if (rank > 4) {
    return corrupt("tensor " + quoted(tensor.name) + " has " + std::to_string(rank) + " dimensions; GGUF allows 4");
  }
  int64_t elements = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    uint64_t dim = 0;
    if (!reader_.read(dim)) return truncated("the shape of tensor " + quoted(tensor.name));
    if (dim == 0) return corrupt("dimension " + std::to_string(i) + " of tensor " + quoted(tensor.name) + " is zero");
    if (dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / elements)) {
      return corrupt("the dimensions of tensor " + quoted(tensor.name) + " overflow: dimension " + std::to_string(i) +
                     " is " + std::to_string(dim));
    }
    tensor.dims[i] = static_cast<int64_t>(dim);
    elements *= tensor.dims[i];
  }
  tensor.rank = std::max(1, static_cast<int>(rank));  // a scalar is a vector of one
  return Status::ok();
}

Status PartParser::parse_type_and_size(GgufTensorInfo& tensor) {
  uint32_t type = 0;
  if (!reader_.read(type)) return truncated("the type of tensor " + quoted(tensor.name));
  const auto dtype = dtype_from_ggml(type);
  if (!dtype.has_value()) {
    const std::string_view name = ggml_type_name(type);
    if (name.empty()) return corrupt("tensor " + quoted(tensor.name) + " has the unknown type " + std::to_string(type));
    return unsupported("tensor " + quoted(tensor.name) + " is of type " + std::string(name) +
                       ", which is not supported; use another quantisation of the model, such as Q4_K_M");
  }
  tensor.dtype = *dtype;
  const int block = info(*dtype).block_elements;
  if (tensor.dims[0] % block != 0) {
    return corrupt("tensor " + quoted(tensor.name) + " has rows of " + std::to_string(tensor.dims[0]) +
                   " elements; type " + std::string(to_string(*dtype)) + " needs a multiple of " +
                   std::to_string(block));
  }
  const auto bytes = checked_bytes(*dtype, tensor.dims[0] * tensor.dims[1] * tensor.dims[2] * tensor.dims[3]);
  if (!bytes.has_value()) return corrupt("the size of tensor " + quoted(tensor.name) + " overflows");
  tensor.bytes = static_cast<uint64_t>(*bytes);
  return Status::ok();
}

Status PartParser::place_tensors() {
  if (part_.tensors.empty()) return Status::ok();
  // No overflow: the position is a file's, the alignment 32 bits.
  part_.data_begin = (reader_.position() + part_.alignment - 1) / part_.alignment * part_.alignment;
  const uint64_t data_bytes = file_bytes_ - std::min(file_bytes_, part_.data_begin);
  for (const GgufTensorInfo& tensor : part_.tensors) {
    if (tensor.offset <= data_bytes && tensor.bytes <= data_bytes - tensor.offset) continue;
    return corrupt("tensor " + quoted(tensor.name) + " (" + std::to_string(tensor.bytes) + " bytes at offset " +
                   std::to_string(tensor.offset) + ") reaches beyond the " + std::to_string(data_bytes) +
                   " bytes of tensor data in the file; it is truncated or damaged, download it again");
  }
  return check_overlap();
}

Status PartParser::check_overlap() const {
  std::vector<const GgufTensorInfo*> order;
  order.reserve(part_.tensors.size());
  for (const GgufTensorInfo& tensor : part_.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset) {
      return corrupt("tensors " + quoted(order[i - 1]->name) + " and " + quoted(order[i]->name) + " overlap");
    }
  }
  return Status::ok();
}

}  // namespace

Result<GgufPart> parse_gguf_part(std::span<const std::byte> bytes) {
  try {
    return PartParser(bytes).parse();
  } catch (const std::bad_alloc&) {  // within GgufLimits, but more than this machine has
    return capacity_exceeded("not enough memory for the metadata and tensor table of the file");
  }
}

}  // namespace ferrum
