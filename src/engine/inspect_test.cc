#include "engine/inspect.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/gguf_writer.h"

namespace ferrum {
namespace {

const std::string kShared = FERRUM_SOURCE_DIR "/../shared/testdata";

// A file under the test's temporary directory, removed with the object.
struct TemporaryModel {
  std::string path =
      testing::TempDir() + "ferrum_inspect_" + testing::UnitTest::GetInstance()->current_test_info()->name() + ".gguf";
  explicit TemporaryModel(const GgufWriter& writer) {
    const Status written = writer.write(path);
    EXPECT_TRUE(written.is_ok()) << written.message();
  }
  ~TemporaryModel() { std::filesystem::remove(path); }
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// The line of a table whose first cell is `label`, without the label.
std::string row(const std::string& text, const std::string& label) {
  for (const std::string& line : lines_of(text)) {
    if (!line.starts_with("  " + label + "  ")) continue;
    const size_t value = line.find_first_not_of(' ', 2 + label.size());
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "(no row " + label + ")";
}

// An architecture that Ferrum does not know, with everything one wants to learn about it.
GgufWriter foreign_model() {
  static const std::vector<float> weights(64 * 32, 0.5f);
  static const std::vector<std::byte> blocks(34 * 64);
  GgufWriter w;
  w.set_string("general.architecture", "alien");
  w.set_string("general.name", "Alien \x1b[31mOne");
  w.set_uint32("alien.context_length", 4096);
  w.set_uint32("alien.block_count", 3);
  w.set_uint32("alien.embedding_length", 64);
  w.set_int32s("alien.attention.head_count", std::vector<int32_t>{8, 8, 4});
  w.set_int32s("alien.attention.head_count_kv", std::vector<int32_t>{2, 0, 4});
  w.set_uint32("alien.attention.key_length", 16);
  w.set_uint32("alien.attention.value_length", 8);
  w.set_uint32("alien.expert_count", 32);
  w.set_uint32("alien.expert_used_count", 4);
  w.set_float32("alien.rope.freq_base", 500000.0f);
  w.set_string("alien.rope.scaling.type", "yarn");
  w.set_float32("alien.rope.scaling.factor", 4.0f);
  w.set_strings("tokenizer.ggml.tokens", std::vector<std::string>(100, "t"));
  w.set_string("tokenizer.ggml.model", "gpt2");
  w.set_string("tokenizer.chat_template", "{% if tools %}{{ tools | tojson }}{% endif %}" + std::string(500, 'x'));
  EXPECT_TRUE(w.add_tensor("first", ConstView(weights.data(), DType::kF32, {64, 32})).is_ok());
  EXPECT_TRUE(w.add_tensor("second", ConstView(blocks.data(), DType::kQ8_0, {64, 32})).is_ok());
  return w;
}

TEST(Inspect, AnUnknownArchitectureIsDescribedAndSaidToBeUnsupported) {
  const TemporaryModel model(foreign_model());
  const auto report = inspect(model.path);
  ASSERT_TRUE(report.is_ok()) << report.status().message();
  EXPECT_FALSE(report->supported());
  ASSERT_FALSE(report->obstacles.empty());
  EXPECT_NE(report->obstacles[0].find("alien"), std::string::npos) << report->obstacles[0];
  EXPECT_EQ(report->parameters, 4096);
  EXPECT_EQ(report->tensor_bytes, 64u * 32 * 4 + 64 * 34);
  EXPECT_DOUBLE_EQ(report->bits_per_weight, 8.0 * (8192 + 2176) / 4096);
  ASSERT_EQ(report->types.size(), 2u);
  EXPECT_EQ(report->types[0].dtype, DType::kF32);
  EXPECT_EQ(report->types[1].bytes, 2176u);

  const InspectCapabilities& c = report->capabilities;
  EXPECT_EQ(c.context_length, 4096);
  EXPECT_EQ(c.layers, 3);
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_EQ(c.heads, (std::vector<int64_t>{8, 8, 4}));
  EXPECT_EQ(c.vocab_size, 100);
  EXPECT_EQ(c.rope, "base 500000, scaling yarn x4");
  EXPECT_TRUE(c.chat_template);
  EXPECT_TRUE(c.tool_template);
  EXPECT_EQ(c.kv_bytes_per_token, (2 + 0 + 4) * (16 + 8) * 2);
}

TEST(Inspect, TableHasUnitsAndNoControlCharacters) {
  const TemporaryModel model(foreign_model());
  const auto text = inspect_file(model.path, false);
  ASSERT_TRUE(text.is_ok()) << text.status().message();
  EXPECT_EQ(row(*text, "name"), "Alien \\x1b[31mOne");
  EXPECT_EQ(row(*text, "parameters"), "4.10 K at 20.25 bits per weight");
  EXPECT_EQ(row(*text, "supported"), "no, because");
  EXPECT_EQ(row(*text, "attention heads"), "4 to 8");
  EXPECT_EQ(row(*text, "context"), "4096 tokens");
  EXPECT_EQ(row(*text, "KV cache"), "288 B per token in F16, 1.12 MiB for the whole context");
  EXPECT_EQ(row(*text, "chat template"), "yes, with tools");
  EXPECT_EQ(row(*text, "Q8_0"), "1      2.05 K  2.12 KiB  21.0 %");
  EXPECT_EQ(row(*text, "tokenizer.ggml.tokens"), "array of string  100: ['t', 't', 't', 't', ...]");
  EXPECT_EQ(row(*text, "first"), "F32   64 x 32  8.00 KiB       0");
  for (const std::string& line : lines_of(*text)) EXPECT_LT(line.size(), 250u) << line;
  for (char c : *text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

TEST(Inspect, JsonHasTheSameFactsAndStaysValid) {
  GgufWriter writer = foreign_model();
  writer.set_string("bad.utf8", "a\xff\xfe");
  writer.set_float32("not.a.number", std::nanf(""));
  writer.set("big", {GgufType::kUint64, {}, ~uint64_t{0}});
  const TemporaryModel model(writer);
  const auto text = inspect_file(model.path, true);
  ASSERT_TRUE(text.is_ok()) << text.status().message();
  const auto json = nlohmann::json::parse(*text);
  EXPECT_EQ(json["parameters"], 4096);
  EXPECT_EQ(json["supported"], false);
  EXPECT_EQ(json["obstacles"].size(), inspect(model.path)->obstacles.size());
  EXPECT_EQ(json["capabilities"]["kv_heads"], (std::vector<int>{2, 0, 4}));
  EXPECT_EQ(json["capabilities"]["sliding_window"], nullptr);
  EXPECT_EQ(json["capabilities"]["kv_bytes_per_token_f16"], 288);
  EXPECT_EQ(json["types"][0]["type"], "F32");
  EXPECT_EQ(json["tensors"][1]["name"], "second");
  EXPECT_EQ(json["tensors"][1]["shape"], (std::vector<int>{64, 32}));
  EXPECT_EQ(json["tensors"][1]["offset"], 8192);
  std::map<std::string, nlohmann::json> metadata;
  for (const auto& entry : json["metadata"]) metadata[entry["key"]] = entry;
  EXPECT_EQ(metadata["tokenizer.ggml.tokens"]["count"], 100);
  EXPECT_EQ(metadata["tokenizer.ggml.tokens"]["first"].size(), 16u);
  EXPECT_EQ(metadata["bad.utf8"]["value"], "a\ufffd\ufffd");
  EXPECT_TRUE(metadata["not.a.number"]["value"].is_null());
  EXPECT_EQ(metadata["big"]["value"], ~uint64_t{0});
}

TEST(Inspect, NamesAllPartsOfASplitModel) {
  const std::string prefix = testing::TempDir() + "ferrum_inspect_parts";
  const auto paths = foreign_model().write_split(prefix, 1);
  ASSERT_TRUE(paths.is_ok()) << paths.status().message();
  ASSERT_EQ(paths->size(), 2u);
  const auto text = inspect_file(paths->at(1), false);
  ASSERT_TRUE(text.is_ok()) << text.status().message();
  EXPECT_NE(text->find("-00001-of-00002.gguf"), std::string::npos);
  EXPECT_NE(text->find("-00002-of-00002.gguf"), std::string::npos);
  EXPECT_NE(text->find("2 parts"), std::string::npos);
  for (const std::string& path : *paths) std::filesystem::remove(path);
}

TEST(Inspect, HostileNumbersGiveNoFigureInsteadOfAWrongOne) {
  for (uint64_t layers : {uint64_t{0}, uint64_t{1} << 40, ~uint64_t{0}}) {
    GgufWriter w = foreign_model();
    w.set("alien.block_count", {GgufType::kUint64, {}, layers});
    w.set_uint32("alien.attention.head_count_kv", 4);
    const TemporaryModel model(w);
    const auto report = inspect(model.path);
    ASSERT_TRUE(report.is_ok()) << report.status().message();
    EXPECT_EQ(report->capabilities.kv_bytes_per_token, std::nullopt);
  }
  GgufWriter w = foreign_model();
  w.set("alien.attention.key_length", {GgufType::kInt64, {}, int64_t{1} << 62});
  w.set("alien.attention.value_length", {GgufType::kInt64, {}, int64_t{1} << 62});
  w.set_string("alien.context_length", "many");
  const TemporaryModel model(w);
  const auto report = inspect(model.path);
  ASSERT_TRUE(report.is_ok()) << report.status().message();
  EXPECT_EQ(report->capabilities.kv_bytes_per_token, std::nullopt);
  EXPECT_EQ(report->capabilities.context_length, std::nullopt);
  EXPECT_TRUE(inspect_file(model.path, false).is_ok());
}

TEST(Inspect, AFileWithNothingInIt) {
  const TemporaryModel model((GgufWriter()));
  const auto text = inspect_file(model.path, false);
  ASSERT_TRUE(text.is_ok()) << text.status().message();
  EXPECT_EQ(row(*text, "name"), "(none)");
  EXPECT_NE(text->find("no tensors"), std::string::npos);
  EXPECT_TRUE(inspect_file(model.path, true).is_ok());
}

TEST(Inspect, FailsOnlyOnFilesThatAreNoGguf) {
  EXPECT_EQ(inspect_file("/no/such/file", false).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(inspect_file(FERRUM_SOURCE_DIR "/CMakeLists.txt", true).status().code(), StatusCode::kCorrupt);
}

TEST(Inspect, RealModel) {
  const std::string path = kShared + "/models/stories260K/stories260K.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto report = inspect(path);
  ASSERT_TRUE(report.is_ok()) << report.status().message();
  EXPECT_TRUE(report->supported()) << report->obstacles[0];
  EXPECT_EQ(report->capabilities.layers, 5);
  EXPECT_EQ(report->capabilities.head_dim, 8);
  EXPECT_EQ(report->capabilities.kv_bytes_per_token, 5 * 4 * 8 * 2 * 2);
  EXPECT_FALSE(report->capabilities.chat_template);
}

TEST(Inspect, RealVocabulariesHaveNoTensors) {
  const std::string dir = kShared + "/tokenizers/llama.cpp-vocab";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << dir << " is absent";
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto report = inspect(entry.path().string());
    ASSERT_TRUE(report.is_ok()) << report.status().message();
    EXPECT_EQ(report->obstacles, std::vector<std::string>{"the file has no tensors, only metadata"});
    EXPECT_FALSE(render_table(*report).empty());
    EXPECT_TRUE(nlohmann::json::accept(render_json(*report)));
  }
}

}  // namespace
}  // namespace ferrum
