// A golden model of tests/data/models, changed by a test and read again as a file: every test of bad input starts from
// a file that is good but for the one thing it changes.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/gguf.h"
#include "io/gguf_writer.h"

namespace ferrum {

class EditedModel {
 public:
  explicit EditedModel(const std::string& name) {
    auto file = Gguf::open(std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/" + name + ".gguf");
    EXPECT_TRUE(file.is_ok()) << file.status().message();
    original_ = *file;
    for (const std::string& key : original_->keys()) values_.emplace_back(key, *original_->find(key));
    for (const GgufTensor& tensor : original_->tensors()) tensors_[tensor.name] = tensor.view;
  }

  // Metadata: sets, replaces or removes a key.
  EditedModel& set(const std::string& key, GgufValue value) {
    remove(key);
    values_.emplace_back(key, std::move(value));
    return *this;
  }
  EditedModel& set_int(const std::string& key, int64_t value) {
    return set(key, {.type = GgufType::kInt64, .data = value});
  }
  EditedModel& set_float(const std::string& key, double value) {
    return set(key, {.type = GgufType::kFloat32, .data = value});
  }
  EditedModel& set_bool(const std::string& key, bool value) {
    return set(key, {.type = GgufType::kBool, .data = value});
  }
  EditedModel& set_string(const std::string& key, std::string value) {
    return set(key, {.type = GgufType::kString, .data = std::move(value)});
  }
  EditedModel& set_ints(const std::string& key, std::vector<int64_t> values) {
    return set(key, {.type = GgufType::kArray, .element_type = GgufType::kInt32, .data = std::move(values)});
  }
  EditedModel& set_strings(const std::string& key, std::vector<std::string> values) {
    return set(key, {.type = GgufType::kArray, .element_type = GgufType::kString, .data = std::move(values)});
  }
  EditedModel& remove(const std::string& key) {
    std::erase_if(values_, [&](const auto& entry) { return entry.first == key; });
    return *this;
  }
  // The whole file under another architecture's name, its keys' prefix included.
  EditedModel& rename_architecture(const std::string& from, const std::string& to) {
    for (auto& [key, value] : values_) {
      if (key.starts_with(from + ".")) key = to + key.substr(from.size());
    }
    return set_string("general.architecture", to);
  }

  // Tensors.
  ConstView tensor(const std::string& name) const { return tensors_.at(name); }
  EditedModel& remove_tensor(const std::string& name) {
    EXPECT_EQ(tensors_.erase(name), 1u) << name;
    return *this;
  }
  EditedModel& set_tensor(const std::string& name, const ConstView& view) {
    tensors_[name] = view;
    return *this;
  }
  EditedModel& set_tensor(const std::string& name, std::vector<float> values, std::initializer_list<int64_t> shape) {
    storage_.push_back(std::make_shared<std::vector<float>>(std::move(values)));
    return set_tensor(name, ConstView(storage_.back()->data(), DType::kF32, shape));
  }
  EditedModel& set_zeros(const std::string& name, DType dtype, std::initializer_list<int64_t> shape) {
    const ConstView view(nullptr, dtype, shape);
    storage_.push_back(std::make_shared<std::vector<float>>(bytes_of(dtype, view.elements()) / sizeof(float) + 1));
    return set_tensor(name, ConstView(storage_.back()->data(), dtype, shape));
  }

  // What a reader makes of the changed file.
  std::shared_ptr<const Gguf> open() const {
    GgufWriter writer;
    for (const auto& [key, value] : values_) writer.set(key, value);
    for (const auto& [name, view] : tensors_) {
      const Status status = writer.add_tensor(name, view);
      EXPECT_TRUE(status.is_ok()) << status.message();
    }
    auto bytes = writer.to_bytes();
    EXPECT_TRUE(bytes.is_ok()) << bytes.status().message();
    std::vector<GgufSource> sources;
    sources.push_back(GgufSource::from_vector("edited.gguf", std::move(*bytes)));
    auto file = Gguf::from_sources(std::move(sources));
    EXPECT_TRUE(file.is_ok()) << file.status().message();
    return *file;
  }

 private:
  std::shared_ptr<const Gguf> original_;
  std::vector<std::pair<std::string, GgufValue>> values_;
  std::map<std::string, ConstView> tensors_;
  std::vector<std::shared_ptr<std::vector<float>>> storage_;
};

}  // namespace ferrum
