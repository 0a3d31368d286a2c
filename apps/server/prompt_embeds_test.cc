// Input embeddings from strangers: what is well formed is read to the bit, and everything else is refused by what is
// wrong with it, without reading beyond the bytes that are there.
#include "apps/server/prompt_embeds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "apps/server/base64.h"
#include "apps/server/safetensors_for_test.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

constexpr int64_t kHidden = 4;

Result<std::vector<float>> read(const std::string& file) {
  return read_prompt_embeds(to_base64(std::as_bytes(std::span(file))), kHidden, {});
}

void expect_refused(const std::string& file, const std::string& words) {
  const auto rows = read(file);
  ASSERT_FALSE(rows.is_ok()) << words;
  EXPECT_EQ(rows.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(rows.status().message().find(words), std::string::npos) << rows.status().message();
}

const std::vector<float> kRows = {1, -2, 0.5f, 3, 4, 5, 6, -0.25f};  // exact in every type

TEST(Base64, EqualsTheVectorsOfTheRfcBothWays) {
  for (const auto& [plain, coded] :
       std::initializer_list<std::pair<std::string, std::string>>{{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(to_base64(std::as_bytes(std::span(plain))), coded);
    const auto bytes = from_base64(coded).value();
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), plain);
  }
  for (const char* wrong :
       {"Zg=", "Zg", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm9v Zm9v", "Zm-v", "Zm9v=Zm9", "=Zm9"}) {
    EXPECT_FALSE(from_base64(wrong).is_ok()) << wrong;
  }
}

TEST(PromptEmbeds, AreReadToTheBitInEveryType) {
  EXPECT_EQ(read(safetensors("F32", {2, 4}, bytes_of_numbers(kRows))).value(), kRows);
  EXPECT_EQ(read(safetensors("F16", {2, 4}, halves(kRows, f32_to_f16))).value(), kRows);
  EXPECT_EQ(read(safetensors("BF16", {2, 4}, halves(kRows, f32_to_bf16))).value(), kRows);
  // Metadata, and spaces behind the header, as writers pad it.
  const std::string data = bytes_of_numbers(kRows);
  EXPECT_EQ(read(with_header(R"({"__metadata__":{"format":"pt"},"x":{"dtype":"F32","shape":[2,4],)"
                             R"("data_offsets":[0,32]}}   )",
                             data))
                .value(),
            kRows);
}

TEST(PromptEmbeds, OtherShapesAndTypesAreRefused) {
  const std::string data = bytes_of_numbers(kRows);
  expect_refused(safetensors("F32", {2, 3}, data), "shape is [2, 3]; it must be [1 or more tokens, 4]");
  expect_refused(safetensors("F32", {4, 2}, data), "shape is [4, 2]");
  expect_refused(safetensors("F32", {0, 4}, ""), "shape is [0, 4]");
  expect_refused(safetensors("F32", {8}, data), "shape must be [tokens, hidden size]");
  expect_refused(safetensors("F32", {1, 2, 4}, data), "shape must be [tokens, hidden size]");
  expect_refused(safetensors("F32", {3, 4}, data), "takes 3 rows of 16 bytes, and 32 bytes are there");
  expect_refused(safetensors("F16", {2, 4}, data), "takes 2 rows of 8 bytes, and 32 bytes are there");
  for (const char* dtype : {"F64", "I32", "I64", "U8", "BOOL", "F8_E4M3", "f32", ""}) {
    expect_refused(safetensors(dtype, {2, 4}, data), "dtype must be F32, F16 or BF16");
  }
}

TEST(PromptEmbeds, NumbersMustBeFinite) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), -HUGE_VALF}) {
    std::vector<float> rows = kRows;
    rows[6] = bad;
    expect_refused(safetensors("F32", {2, 4}, bytes_of_numbers(rows)), "NaN or infinite at [1, 2]");
    expect_refused(safetensors("F16", {2, 4}, halves(rows, f32_to_f16)), "NaN or infinite at [1, 2]");
    expect_refused(safetensors("BF16", {2, 4}, halves(rows, f32_to_bf16)), "NaN or infinite at [1, 2]");
  }
}

// A header can claim anything.
TEST(PromptEmbeds, WhatAHeaderClaimsIsNotBelieved) {
  const std::string data = bytes_of_numbers(kRows);
  const auto entry = [&](const std::string& shape, const std::string& offsets) {
    return with_header(R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", data);
  };
  const std::string huge = "18446744073709551615", wraps = "4611686018427387904";  // 2^64 - 1; 2^62: x 4 is 0
  expect_refused(entry("[" + huge + ",4]", "[0,32]"), "takes " + huge + " rows");
  expect_refused(entry("[" + wraps + ",4]", "[0,32]"), "takes " + wraps + " rows");
  expect_refused(entry("[2," + huge + "]", "[0,32]"), "shape is");
  expect_refused(entry("[-2,4]", "[0,32]"), "shape must be");
  expect_refused(entry("[2.0,4]", "[0,32]"), "shape must be");
  expect_refused(entry("[1e300,4]", "[0,32]"), "shape must be");
  expect_refused(entry("[36893488147419103232,4]", "[0,32]"), "shape must be");  // 2^65
  expect_refused(entry("\"24\"", "[0,32]"), "shape must be");
  expect_refused(entry("null", "[0,32]"), "shape must be");
  for (const char* offsets :
       {"[0,31]", "[0,33]", "[1,32]", "[32,0]", "[0,18446744073709551615]", "[0]", "{}", "[-1,32]"}) {
    expect_refused(entry("[2,4]", offsets), "data_offsets must be [0, 32]");
  }
  expect_refused(with_header("{}", data), "has none");
  expect_refused(with_header(R"({"__metadata__":{}})", data), "has none");
  expect_refused(with_header(R"({"x":{},"y":{}})", data), "has several");
  expect_refused(with_header(R"({"x":7})", data), "must be an object");
  expect_refused(with_header("[]", data), "must be a JSON object");
  expect_refused(with_header("{", data), "the safetensors header");
  expect_refused(with_header("{\"\xff\":1}", data), "the safetensors header");
  expect_refused(with_header(std::string(100000, '['), data), "at most 65536 are allowed");
  expect_refused(with_header(R"({"x":)" + std::string(2000, '[') + std::string(2000, ']') + "}", data),
                 "nested deeper");
}

TEST(PromptEmbeds, EveryCutIsRefused) {
  const std::string file = safetensors("F32", {2, 4}, bytes_of_numbers(kRows));
  for (size_t length = 0; length < file.size(); ++length) expect_refused(file.substr(0, length), "");
  expect_refused(file + "x", "data_offsets must be [0, 33]");
  for (const uint64_t length : {uint64_t{1} << 63, ~uint64_t{0}, uint64_t{file.size()}, uint64_t{file.size() - 7}}) {
    std::string longer = file;
    std::memcpy(longer.data(), &length, 8);
    expect_refused(longer, "header is said to have " + std::to_string(length));
  }
}

// torch.save's formats can run code where they are read, so they are named and not opened.
TEST(PromptEmbeds, PicklesAreRefusedByName) {
  expect_refused(std::string("PK\x03\x04", 4) + std::string(200, 'x'), "torch.save");
  expect_refused("\x80\x02" + std::string(200, 'x'), "torch.save");
  expect_refused("\x80\x05", "torch.save");
  EXPECT_FALSE(read_prompt_embeds("not base64!!", kHidden, {}).is_ok());
}

// Whatever byte is changed, the answer is the rows, other numbers, or a refusal; for the sanitizers.
TEST(PromptEmbeds, RandomChangesNeverBreakIt) {
  std::mt19937 random(1);
  const std::string file = safetensors("BF16", {2, 4}, halves(kRows, f32_to_bf16));
  int read_well = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    std::string changed = file;
    for (uint32_t n = 1 + random() % 3; n > 0; --n) changed[random() % changed.size()] = static_cast<char>(random());
    const auto rows = read(changed);
    if (!rows.is_ok()) continue;
    ++read_well;
    EXPECT_EQ(rows->size(), kRows.size());
    for (const float x : *rows) EXPECT_TRUE(std::isfinite(x));
  }
  EXPECT_GT(read_well, 100);
}

}  // namespace
}  // namespace ferrum
