#include "engine/kv_sizing.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/memory.h"

namespace ferrum {
namespace {

constexpr int64_t kMiB = 1 << 20;

KvDemand demand() {
  KvDemand d;
  d.block_bytes = kMiB;
  d.max_seqs = 4;
  d.model_context = 2048;  // 128 blocks
  d.free_bytes = 2000 * kMiB;
  return d;
}

TEST(KvSizing, HoldsAllSequencesWhereMemoryAllows) {
  const auto s = size_kv(demand());
  ASSERT_TRUE(s.is_ok());
  EXPECT_EQ(s->num_blocks, 512);
  EXPECT_EQ(s->max_model_len, 2048);
  EXPECT_EQ(s->note, "");
}

TEST(KvSizing, TakesItsFractionOfTheMemoryAndNoMore) {
  KvDemand d = demand();
  d.free_bytes = 400 * kMiB;
  EXPECT_EQ(size_kv(d)->num_blocks, 200);
  EXPECT_EQ(size_kv(d)->max_model_len, 2048);
}

TEST(KvSizing, ReducesTheContextOnlyIfNobodyAskedForOneAndSaysSo) {
  KvDemand d = demand();
  d.free_bytes = 100 * kMiB;
  const auto reduced = size_kv(d);
  ASSERT_TRUE(reduced.is_ok());
  EXPECT_EQ(reduced->max_model_len, 800);
  EXPECT_NE(reduced->note.find("from 2048 to 800"), std::string::npos) << reduced->note;
  d.max_model_len = 1024;
  const auto refused = size_kv(d);
  EXPECT_EQ(refused.status().code(), StatusCode::kCapacity);
  EXPECT_NE(refused.status().message().find("a context of 1024 tokens needs 64 blocks"), std::string::npos)
      << refused.status().message();
}

TEST(KvSizing, RefusesContradictions) {
  KvDemand d = demand();
  d.max_model_len = 4096;
  EXPECT_EQ(size_kv(d).status().code(), StatusCode::kInvalidArgument);
  d.max_model_len = 512;
  d.kv_blocks = 31;
  EXPECT_EQ(size_kv(d).status().code(), StatusCode::kInvalidArgument);
  d.kv_blocks = 32;
  EXPECT_EQ(size_kv(d)->num_blocks, 32);
  d.kv_blocks = 2001;
  EXPECT_EQ(size_kv(d).status().code(), StatusCode::kCapacity);
  d.kv_blocks = int64_t{1} << 40;
  EXPECT_EQ(size_kv(d).status().code(), StatusCode::kInvalidArgument);
}

TEST(KvSizing, SaysWhenThereIsNoMemoryAtAll) {
  KvDemand d = demand();
  d.free_bytes = 0;
  EXPECT_EQ(size_kv(d).status().code(), StatusCode::kCapacity);
  d.free_bytes.reset();
  EXPECT_EQ(size_kv(d)->num_blocks, 512);
}

class AvailableMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / ("ferrum-memory-" + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::optional<int64_t> available() const { return available_memory(root_.string()); }

  std::filesystem::path root_;
};

TEST_F(AvailableMemory, ReadsMeminfo) {
  EXPECT_FALSE(available().has_value());
  write("proc/meminfo", "MemTotal:  1000 kB\nMemAvailable:     600 kB\n");
  EXPECT_EQ(available(), 600 * 1024);
}

TEST_F(AvailableMemory, RespectsTheTightestCgroupV2OnTheWayUp) {
  write("proc/meminfo", "MemAvailable: 1000 kB\n");
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/b/memory.current", "10\n");
  EXPECT_EQ(available(), 1000 * 1024);
  write("sys/fs/cgroup/a/memory.max", "500000\n");
  write("sys/fs/cgroup/a/memory.current", "300000\n");
  write("sys/fs/cgroup/a/memory.stat", "anon 200000\nfile_mapped 7\nfile 100000\n");
  EXPECT_EQ(available(), 300'000) << "limit less what is in use and not page cache";
  write("sys/fs/cgroup/a/memory.current", "900000\n");
  EXPECT_EQ(available(), 0);
}

TEST_F(AvailableMemory, RespectsCgroupV1AlsoWhenThePathIsTheHosts) {
  write("proc/meminfo", "MemAvailable: 1000 kB\n");
  write("proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/abc\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "400000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
  EXPECT_EQ(available(), 300'000);
}

TEST(FormatBytes, PicksAUnit) {
  EXPECT_EQ(format_bytes(17), "17 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(int64_t{3} << 40), "3.0 TiB");
}

}  // namespace
}  // namespace ferrum
