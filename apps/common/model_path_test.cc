// What users type as MODEL: files, directories, and the mistakes between them.
#include "apps/common/model_path.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ferrum {
namespace {

namespace fs = std::filesystem;

class ModelPathTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) / ("model_path_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string add(const std::string& name) {
    std::ofstream(directory_ / name) << "x";
    return (directory_ / name).string();
  }
  Result<std::string> resolve() const { return resolve_model_path(directory_.string()); }

  fs::path directory_;
};

TEST_F(ModelPathTest, AFileIsItself) {
  const std::string file = add("any.gguf");
  EXPECT_EQ(*resolve_model_path(file), file);
}

TEST_F(ModelPathTest, ADirectoryWithOneModelIsThatModel) {
  add("notes.txt");
  const std::string file = add("only.gguf");
  EXPECT_EQ(*resolve(), file);
}

TEST_F(ModelPathTest, PartsOfASplitModelCountAsOne) {
  add("big-00002-of-00003.gguf");
  const std::string first = add("big-00001-of-00003.gguf");
  add("big-00003-of-00003.gguf");
  EXPECT_EQ(*resolve(), first);
}

TEST_F(ModelPathTest, MistakesSayWhatToDo) {
  EXPECT_EQ(resolve_model_path((directory_ / "absent.gguf").string()).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(resolve_model_path("").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(resolve().status().code(), StatusCode::kNotFound) << "an empty directory";
  add("config.json");
  EXPECT_EQ(resolve().status().code(), StatusCode::kUnsupported) << "a Hugging Face checkpoint";
  add("a.gguf");
  EXPECT_TRUE(resolve().is_ok()) << "a checkpoint with a GGUF beside it";
  add("b.gguf");
  EXPECT_EQ(resolve().status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(resolve().status().message().find("a.gguf"), std::string::npos);
}

TEST(ModelName, IsTheFilesWithoutSuffixes) {
  EXPECT_EQ(model_name_of("/m/ferrum-demo.gguf"), "ferrum-demo");
  EXPECT_EQ(model_name_of("Big-Q4_K_M-00001-of-00003.gguf"), "Big-Q4_K_M");
  EXPECT_EQ(model_name_of("plain"), "plain");
}

}  // namespace
}  // namespace ferrum
