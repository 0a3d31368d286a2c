#include "io/file_sink.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ferrum {
namespace {

class FileSinkTest : public ::testing::Test {
 protected:
  FileSinkTest() : directory_(testing::TempDir() + "ferrum_file_sink") {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
  }
  ~FileSinkTest() override { std::filesystem::remove_all(directory_); }

  std::string path() const { return directory_ + "/file"; }
  std::string text() const {
    std::ostringstream all;
    all << std::ifstream(path()).rdbuf();
    return all.str();
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }

  const std::string directory_;
};

TEST_F(FileSinkTest, TheFileIsThereWholeOrNotAtAll) {
  {
    FileSink sink(path());
    ASSERT_TRUE(sink.write("first", 5).is_ok());
    EXPECT_FALSE(std::filesystem::exists(path()));
    ASSERT_TRUE(sink.commit().is_ok());
    EXPECT_EQ(text(), "first");
  }
  {
    FileSink dropped(path());
    ASSERT_TRUE(dropped.write("second", 6).is_ok());
  }
  EXPECT_EQ(text(), "first");
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileSinkTest, TwoWritersOfOnePathDoNotMeet) {
  FileSink a(path()), b(path());
  ASSERT_TRUE(a.write("aa", 2).is_ok() && b.write("b", 1).is_ok() && a.write("aa", 2).is_ok());
  ASSERT_TRUE(b.commit().is_ok() && a.commit().is_ok());
  EXPECT_EQ(text(), "aaaa");
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileSinkTest, APrivateFileIsItsOwnersAlone) {
  FileSink sink(path(), FileAccess::kPrivate);
  ASSERT_TRUE(sink.commit().is_ok());
  struct stat status {};
  ASSERT_EQ(stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(FileSinkTest, AWriteThatFailsIsToldAndLeavesWhatWasThere) {
  std::ofstream(path()) << "old";
  // The disk is full, as far as this process is concerned.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1000;
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string data(100'000, 'x');
  FileSink sink(path());
  const Status written = sink.write(data.data(), data.size());
  const Status status = written.is_ok() ? sink.commit() : written;
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_EQ(text(), "old");

  FileSink nowhere("/nonexistent-directory/file");
  EXPECT_EQ(nowhere.write("x", 1).code(), StatusCode::kIo);
  EXPECT_NE(nowhere.commit().message().find("/nonexistent-directory"), std::string::npos);
}

}  // namespace
}  // namespace ferrum
