// What a hostile or damaged file must not do: crash, hang, take memory on its own word, or be accepted. The advisory
// classes of GGUF parsers (counts, lengths, dimensions and offsets that overflow; unbounded allocation; type confusion)
// have a test each. Run under the sanitizers these also show that nothing is read out of bounds.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <limits>
#include <random>

#include "io/gguf_bytes_for_test.h"
#include "io/gguf_writer.h"

namespace ferrum {
namespace {

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ4_0 = 2;

void expect_refused(const RawGguf& file, StatusCode code, std::string_view part_of_message) {
  const auto opened = file.open();
  ASSERT_FALSE(opened.is_ok());
  EXPECT_EQ(opened.status().code(), code) << opened.status().message();
  EXPECT_NE(opened.status().message().find(part_of_message), std::string::npos) << opened.status().message();
  EXPECT_NE(opened.status().message().find("hostile.gguf"), std::string::npos) << opened.status().message();
}

// The peak memory of refusing a small file stays small, whatever it claims. First in the file: later tests raise the
// peak.
TEST(HostileGguf, NothingIsAllocatedOnTheWordOfTheFile) {
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  std::mt19937_64 random(1);
  const auto before = peak_kib();
  for (int i = 0; i < 2000; ++i) {
    const uint64_t count = random() >> (random() % 40);
    RawGguf().header(0, 1).array("a", static_cast<GgufType>(random() % 13), count).zeros(64).open().is_ok();
    RawGguf().header(count, 0).zeros(64).open().is_ok();
    RawGguf().header(0, 1).key("s", GgufType::kString).number(count).zeros(64).open().is_ok();
  }
  EXPECT_LT(peak_kib() - before, 64 * 1024);
}

TEST(HostileGguf, WrongMagicNamesTheLikelyMistake) {
  expect_refused(RawGguf().raw("version https://git-lfs.github.com/spec/v1"), StatusCode::kCorrupt, "git lfs pull");
  expect_refused(RawGguf().raw("<!DOCTYPE html>"), StatusCode::kCorrupt, "web page");
  expect_refused(RawGguf().raw("tjgg\x03\0\0\0"), StatusCode::kUnsupported, "before GGUF");
  expect_refused(RawGguf().raw("\x1b[2J"), StatusCode::kCorrupt, "'\\x1b[2J'");
  expect_refused(RawGguf().raw("GG"), StatusCode::kCorrupt, "truncated");
}

TEST(HostileGguf, Versions) {
  for (uint32_t version : {0u, 1u, 4u, 0xffffffffu}) {
    expect_refused(RawGguf().header(0, 0, version), StatusCode::kUnsupported, std::to_string(version));
  }
  expect_refused(RawGguf().header(0, 0, 0x03000000u), StatusCode::kUnsupported, "big-endian");
}

TEST(HostileGguf, CountsBeyondTheFile) {
  expect_refused(RawGguf().header(0, kHuge), StatusCode::kCorrupt, "18446744073709551615 metadata keys");
  expect_refused(RawGguf().header(0, uint64_t{1} << 60), StatusCode::kCorrupt, "metadata keys");
  expect_refused(RawGguf().header(kHuge, 0), StatusCode::kCorrupt, "tensors");
  expect_refused(RawGguf().header(uint64_t{1} << 61, 0).zeros(1000), StatusCode::kCorrupt, "tensors");
}

TEST(HostileGguf, CountsBeyondTheLimits) {
  expect_refused(RawGguf().header(0, GgufLimits::kKeys + 1).zeros(2'000'000), StatusCode::kUnsupported, "limit");
  expect_refused(RawGguf().header(GgufLimits::kTensors + 1, 0).zeros(26'000'000), StatusCode::kUnsupported, "limit");
}

TEST(HostileGguf, StringLengths) {
  for (uint64_t length : {kHuge, uint64_t{1} << 63, kHuge - 7, uint64_t{1000}}) {
    expect_refused(RawGguf().header(0, 1).number(length).raw("general.name").zeros(32), StatusCode::kCorrupt,
                   std::to_string(length));
    expect_refused(RawGguf().header(0, 1).key("general.name", GgufType::kString).number(length).zeros(32),
                   StatusCode::kCorrupt, "'general.name'");
    expect_refused(RawGguf().header(1, 0).number(length).zeros(32), StatusCode::kCorrupt, "tensor 1 of 1");
    expect_refused(RawGguf().header(0, 1).array("tokens", GgufType::kString, 2).string("a").number(length),
                   StatusCode::kCorrupt, "'tokens'");
  }
}

TEST(HostileGguf, NameLengthLimits) {
  const std::string key(GgufLimits::kKeyBytes + 1, 'k'), name(GgufLimits::kTensorNameBytes + 1, 't');
  expect_refused(RawGguf().header(0, 1).key(key, GgufType::kBool).number<uint8_t>(1), StatusCode::kUnsupported,
                 "limit");
  expect_refused(RawGguf().header(1, 0).tensor(name, {1}, kF32, 0).align().zeros(32), StatusCode::kUnsupported,
                 "limit");
  expect_refused(RawGguf().header(0, 1).key("", GgufType::kBool).number<uint8_t>(1), StatusCode::kCorrupt, "empty");
  expect_refused(RawGguf().header(1, 0).tensor("", {1}, kF32, 0).align().zeros(32), StatusCode::kCorrupt, "empty");
}

TEST(HostileGguf, ArrayCounts) {
  for (uint32_t type = 0; type <= 12; ++type) {
    if (type == static_cast<uint32_t>(GgufType::kArray)) continue;
    // 2^61 elements of 8 bytes are 2^64, which is 0 in 64 bits.
    for (uint64_t count : {kHuge, uint64_t{1} << 63, uint64_t{1} << 61, uint64_t{1} << 40, uint64_t{65}}) {
      expect_refused(RawGguf().header(0, 1).array("a.b", static_cast<GgufType>(type), count).zeros(64),
                     StatusCode::kCorrupt, "'a.b'");
    }
  }
}

TEST(HostileGguf, ArrayElementsAreBoundedOverAllArrays) {
  // Each byte of the file would become 32 bytes of std::string or 8 of integer, were it not for the budget.
  RawGguf file;
  file.header(0, 3);
  for (const char* key : {"a", "b", "c"}) {
    file.array(key, GgufType::kUint8, GgufLimits::kArrayElements / 2).zeros(GgufLimits::kArrayElements / 2);
  }
  expect_refused(file, StatusCode::kUnsupported, "arrays up to 'c'");
}

TEST(HostileGguf, StringBytesAreBoundedOverAllStrings) {
  constexpr uint64_t kFirst = GgufLimits::kStringBytes - 100;
  RawGguf head, second;
  head.header(0, 2).key("a", GgufType::kString).number(kFirst);
  second.key("b", GgufType::kString).number<uint64_t>(200).zeros(200);
  // The file is a mapping, so that its long string of zeros costs nothing before it is read.
  const size_t size = head.bytes().size() + kFirst + second.bytes().size();
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* bytes = static_cast<std::byte*>(memory);
  std::memcpy(bytes, head.bytes().data(), head.bytes().size());
  std::memcpy(bytes + head.bytes().size() + kFirst, second.bytes().data(), second.bytes().size());
  const auto opened = Gguf::from_sources({GgufSource{"hostile.gguf", {bytes, size}, nullptr}});
  EXPECT_EQ(opened.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(opened.status().message().find("strings up to the value of 'b'"), std::string::npos)
      << opened.status().message();
  munmap(memory, size);
}

TEST(HostileGguf, ArraysOfArraysAndUnknownTypes) {
  expect_refused(RawGguf().header(0, 1).array("deep", GgufType::kArray, 1).zeros(64), StatusCode::kUnsupported,
                 "array of arrays");
  expect_refused(RawGguf().header(0, 1).key("odd", static_cast<GgufType>(13)).zeros(64), StatusCode::kCorrupt,
                 "type 13");
  expect_refused(RawGguf().header(0, 1).array("odd", static_cast<GgufType>(0xffffffffu), 1).zeros(64),
                 StatusCode::kCorrupt, "unknown type");
  expect_refused(RawGguf().header(0, 1).key("b", GgufType::kBool).number<uint8_t>(2), StatusCode::kCorrupt, "bool");
  expect_refused(RawGguf().header(0, 1).array("b", GgufType::kBool, 2).number<uint16_t>(0x0300), StatusCode::kCorrupt,
                 "element 1");
}

TEST(HostileGguf, RepeatedKeysAndTensors) {
  expect_refused(
      RawGguf().header(0, 2).key("k", GgufType::kBool).number<uint8_t>(1).key("k", GgufType::kBool).number<uint8_t>(0),
      StatusCode::kCorrupt, "'k' appears twice");
  expect_refused(RawGguf().header(2, 0).tensor("w", {8}, kF32, 0).tensor("w", {8}, kF32, 32).align().zeros(64),
                 StatusCode::kCorrupt, "'w' appears twice");
}

TEST(HostileGguf, Alignment) {
  for (uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 0xffffffffu}) {
    expect_refused(RawGguf()
                       .header(1, 1)
                       .key("general.alignment", GgufType::kUint32)
                       .number(alignment)
                       .tensor("w", {8}, kF32, 0)
                       .align()
                       .zeros(64),
                   StatusCode::kCorrupt, "general.alignment is " + std::to_string(alignment));
  }
  expect_refused(RawGguf().header(0, 1).key("general.alignment", GgufType::kString).string("32"), StatusCode::kCorrupt,
                 "general.alignment");
  expect_refused(RawGguf().header(0, 1).key("general.alignment", GgufType::kUint64).number<uint64_t>(32),
                 StatusCode::kCorrupt, "general.alignment");
  // A legal alignment that puts the data beyond the end.
  expect_refused(RawGguf()
                     .header(1, 1)
                     .key("general.alignment", GgufType::kUint32)
                     .number(0x80000000u)
                     .tensor("w", {8}, kF32, 0)
                     .align()
                     .zeros(64),
                 StatusCode::kCorrupt, "beyond the 0 bytes");
}

TEST(HostileGguf, DimensionsThatOverflow) {
  const std::vector<std::vector<uint64_t>> shapes = {
      {kHuge},
      {uint64_t{1} << 63},
      {uint64_t{1} << 32, uint64_t{1} << 32},
      {uint64_t{1} << 62, 4},
      {uint64_t{1} << 16, uint64_t{1} << 16, uint64_t{1} << 16, uint64_t{1} << 16},
      {4, kHuge, 4}};
  for (const auto& dims : shapes) {
    expect_refused(RawGguf().header(1, 0).tensor("w", dims, kF32, 0).align().zeros(64), StatusCode::kCorrupt,
                   "tensor 'w' overflow");
  }
  // The elements fit 63 bits, their bytes do not.
  expect_refused(RawGguf().header(1, 0).tensor("w", {uint64_t{1} << 62}, kF32, 0).align().zeros(64),
                 StatusCode::kCorrupt, "tensor 'w' overflow");
}

TEST(HostileGguf, ZeroDimensionsAndRanks) {
  expect_refused(RawGguf().header(1, 0).tensor("w", {0}, kF32, 0).align().zeros(64), StatusCode::kCorrupt, "zero");
  expect_refused(RawGguf().header(1, 0).tensor("w", {0, kHuge}, kF32, 0).align().zeros(64), StatusCode::kCorrupt,
                 "zero");
  expect_refused(RawGguf().header(1, 0).tensor("w", {1, 1, 1, 1, 1}, kF32, 0).align().zeros(64), StatusCode::kCorrupt,
                 "5 dimensions");
  expect_refused(RawGguf().header(1, 0).string("w").number(0xffffffffu).zeros(640), StatusCode::kCorrupt,
                 "4294967295 dimensions");
}

TEST(HostileGguf, RowsThatAreNoWholeBlocks) {
  // 16 x 2 elements are one block together, but no row is.
  expect_refused(RawGguf().header(1, 0).tensor("w", {16, 2}, kQ4_0, 0).align().zeros(64), StatusCode::kCorrupt,
                 "multiple of 32");
}

TEST(HostileGguf, UnsupportedTypesAreNamed) {
  expect_refused(RawGguf().header(1, 0).tensor("blk.0.ffn_up.weight", {256}, 16, 0).align().zeros(128),
                 StatusCode::kUnsupported, "'blk.0.ffn_up.weight' is of type IQ2_XXS");
  expect_refused(RawGguf().header(1, 0).tensor("w", {256}, 34, 0).align().zeros(128), StatusCode::kUnsupported,
                 "TQ1_0");
  expect_refused(RawGguf().header(1, 0).tensor("w", {256}, 12345, 0).align().zeros(128), StatusCode::kCorrupt, "12345");
}

TEST(HostileGguf, OffsetsBeyondTheEndMisalignedOrOverlapping) {
  expect_refused(RawGguf().header(1, 0).tensor("w", {16}, kF32, 32).align().zeros(64), StatusCode::kCorrupt, "beyond");
  expect_refused(RawGguf().header(1, 0).tensor("w", {17}, kF32, 0).align().zeros(64), StatusCode::kCorrupt, "beyond");
  // offset + bytes wraps to a small number.
  expect_refused(RawGguf().header(1, 0).tensor("w", {16}, kF32, kHuge - 31).align().zeros(64), StatusCode::kCorrupt,
                 "beyond");
  expect_refused(RawGguf().header(1, 0).tensor("w", {8}, kF32, 16).align().zeros(64), StatusCode::kCorrupt,
                 "alignment");
  expect_refused(RawGguf().header(2, 0).tensor("w", {16}, kF32, 0).tensor("v", {8}, kF32, 32).align().zeros(64),
                 StatusCode::kCorrupt, "'w' and 'v' overlap");
  expect_refused(RawGguf().header(2, 0).tensor("w", {8}, kF32, 32).tensor("v", {8}, kF32, 32).align().zeros(64),
                 StatusCode::kCorrupt, "overlap");
  expect_refused(RawGguf().header(1, 0).tensor("w", {8}, kF32, 0), StatusCode::kCorrupt, "beyond the 0 bytes");
}

TEST(HostileGguf, MessagesDoNotRepeatControlCharacters) {
  const auto opened = RawGguf().header(0, 1).key("\x1b[31mred", static_cast<GgufType>(99)).zeros(64).open();
  ASSERT_FALSE(opened.is_ok());
  EXPECT_EQ(opened.status().message().find('\x1b'), std::string::npos);
  EXPECT_LT(RawGguf()
                .header(0, 1)
                .key(std::string(60'000, 'x'), static_cast<GgufType>(99))
                .zeros(64)
                .open()
                .status()
                .message()
                .size(),
            1000u);
}

std::vector<std::byte> small_valid_file() {
  GgufWriter writer;
  writer.set_string("general.architecture", "llama");
  writer.set_uint32("general.alignment", 64);
  writer.set_strings("tokenizer.ggml.tokens", {"<s>", "a", "b"});
  writer.set_float32s("tokenizer.ggml.scores", std::vector<float>{0, 1, 2});
  static const std::vector<float> data(64, 1.0f);
  EXPECT_TRUE(writer.add_tensor("a", ConstView(data.data(), DType::kF32, {8, 8})).is_ok());
  EXPECT_TRUE(writer.add_tensor("b", ConstView(data.data(), DType::kQ8_0, {1, 32})).is_ok());
  return writer.to_bytes().value();
}

Result<std::shared_ptr<const Gguf>> open_bytes(std::vector<std::byte> bytes) {
  std::vector<GgufSource> sources;
  sources.push_back(GgufSource::from_vector("damaged.gguf", std::move(bytes)));
  return Gguf::from_sources(std::move(sources));
}

// A file cut at any byte is refused, except where only the padding behind the last tensor is missing.
TEST(HostileGguf, EveryTruncationIsRefused) {
  const std::vector<std::byte> whole = small_valid_file();
  ASSERT_TRUE(open_bytes(whole).is_ok());
  const size_t needed = whole.size() - 64 + 34;
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto opened = open_bytes({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
    EXPECT_EQ(opened.is_ok(), size >= needed) << size;
  }
}

// Every byte of the header replaced by values that tend to break parsers: accepted or refused, but whatever is accepted
// has all its tensors inside the file.
TEST(HostileGguf, EveryByteDamaged) {
  const std::vector<std::byte> whole = small_valid_file();
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      std::vector<std::byte> bytes = whole;
      bytes[i] = static_cast<std::byte>(value);
      const auto opened = open_bytes(std::move(bytes));
      if (!opened.is_ok()) continue;
      for (const GgufTensor& tensor : (*opened)->tensors()) {
        EXPECT_LE(tensor.offset + tensor.bytes, (*opened)->file_bytes());
        EXPECT_EQ(tensor.bytes, bytes_of(tensor.view.dtype, tensor.view.elements()));
      }
    }
  }
}

}  // namespace
}  // namespace ferrum
