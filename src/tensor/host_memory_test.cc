#include "tensor/host_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <vector>

namespace ferrum {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

bool is_zero(const Buffer& buffer) {
  const auto* bytes = static_cast<const unsigned char*>(buffer.data());
  return std::all_of(bytes, bytes + buffer.bytes(), [](unsigned char byte) { return byte == 0; });
}

// Of whole pages in the mapped range that holds `data`.
size_t resident_bytes(const void* data, size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> in_memory((bytes + page - 1) / page);
  if (mincore(const_cast<void*>(data), bytes, in_memory.data()) != 0) return SIZE_MAX;
  return page * static_cast<size_t>(std::count_if(in_memory.begin(), in_memory.end(), [](auto b) { return b & 1; }));
}

TEST(HostMemory, IsZeroedAndOnACacheLineInEverySize) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{65535}, size_t{65536}, 3 * kMiB, 5 * kMiB}) {
    for (const HostUse use : {HostUse::kWhole, HostUse::kFromFront}) {
      const Buffer buffer = host_memory(bytes, use).value();
      EXPECT_EQ(buffer.bytes(), bytes);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
      EXPECT_TRUE(is_zero(buffer)) << bytes;
    }
  }
}

TEST(HostMemory, OfWhichTheFrontIsUsedTakesNoHugePageForIt) {
  const Buffer buffer = host_memory(16 * kMiB, HostUse::kFromFront).value();
  std::memset(buffer.data(), 1, 1000);
  const size_t resident = resident_bytes(buffer.data(), 16 * kMiB);
  EXPECT_GE(resident, 1000u);
  EXPECT_LE(resident, kMiB / 4);
}

TEST(HostMemory, ThatCannotBeHadIsAnError) {
  EXPECT_EQ(host_memory(SIZE_MAX / 4, HostUse::kWhole).status().code(), StatusCode::kCapacity);
  HostArena arena;
  EXPECT_EQ(arena.take(SIZE_MAX / 4).status().code(), StatusCode::kCapacity);
}

TEST(HostArena, GivesDisjointZeroedMemoryThatOutlivesIt) {
  std::vector<Buffer> buffers;
  {
    HostArena arena;
    for (size_t i = 0; i < 100; ++i) {
      buffers.push_back(arena.take(i % 10 == 9 ? 9 * kMiB : 700'000 + i).value());
      EXPECT_EQ(reinterpret_cast<uintptr_t>(buffers[i].data()) % 64, 0u);
      EXPECT_TRUE(is_zero(buffers[i])) << i;
      std::memset(buffers[i].data(), static_cast<int>(i + 1), buffers[i].bytes());
    }
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    const auto* bytes = static_cast<const unsigned char*>(buffers[i].data());
    EXPECT_TRUE(std::all_of(bytes, bytes + buffers[i].bytes(), [&](unsigned char b) { return b == i + 1; })) << i;
  }
}

size_t mapped_pages() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages;
}

TEST(HostArena, GivesMemoryBackWhenNobodyHasAnyOfIt) {
  const size_t before = mapped_pages();
  HostArena arena;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(is_zero(arena.take(7 * kMiB).value()));
  EXPECT_LE((mapped_pages() - before) * static_cast<size_t>(sysconf(_SC_PAGESIZE)), 40 * kMiB);  // one piece of 32 MiB
}

}  // namespace
}  // namespace ferrum
