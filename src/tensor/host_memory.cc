#include "tensor/host_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace ferrum {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMapped = size_t{64} << 10;  // from here on memory is the system's, which clears it when it is touched

void release_heap(void* data, size_t) { std::free(data); }
void release_mapping(void* data, size_t bytes) { munmap(data, bytes); }

// Pieces lie at multiples of their size, so that each address in one leads to its beginning.
constexpr size_t kPiece = size_t{32} << 20;
constexpr size_t kLargest = kPiece / 4;  // larger ones get memory of their own: less of a piece is left over

// At the beginning of a piece. The arena counts as an owner of its current one.
struct alignas(64) Owners {
  std::atomic<int64_t> count{1};
};

void let_go(std::byte* piece) {
  if (reinterpret_cast<Owners*>(piece)->count.fetch_sub(1, std::memory_order_acq_rel) == 1) munmap(piece, kPiece);
}

void release_part(void* data, size_t) {
  let_go(reinterpret_cast<std::byte*>(reinterpret_cast<uintptr_t>(data) / kPiece * kPiece));
}

// nullptr where the system has none.
std::byte* map_piece() {
  void* const data =
      mmap(nullptr, 2 * kPiece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(data);
  const size_t before = (kPiece - reinterpret_cast<uintptr_t>(data) % kPiece) % kPiece;
  std::byte* const piece = begin + before;
  if (before > 0) munmap(begin, before);
  munmap(piece + kPiece, kPiece - before);
  madvise(piece, kPiece, MADV_HUGEPAGE);  // a hint
  new (piece) Owners;
  return piece;
}

}  // namespace

Result<Buffer> host_memory(size_t bytes, HostUse use) {
  const auto failed = [bytes] {
    return capacity_exceeded("the system refused " + std::to_string(bytes) +
                             " bytes of memory; use a smaller context, fewer sequences or a smaller model");
  };
  if (bytes >= kMapped) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return failed();
    const size_t small = use == HostUse::kFromFront ? kHugePage : 0;
    if (small > 0) madvise(data, std::min(bytes, small), MADV_NOHUGEPAGE);  // where the system takes them unasked
    if (bytes >= kHugePage + small) {                                       // a hint: refusal costs speed only
      madvise(static_cast<std::byte*>(data) + small, bytes - small, MADV_HUGEPAGE);
    }
    return Buffer(data, bytes, release_mapping);
  }
  const size_t rounded = (bytes + 63) / 64 * 64;
  void* data = std::aligned_alloc(64, rounded == 0 ? 64 : rounded);
  if (data == nullptr) return failed();
  std::memset(data, 0, rounded);
  return Buffer(data, bytes, release_heap);
}

HostArena::~HostArena() {
  if (piece_ != nullptr) let_go(piece_);
}

Result<Buffer> HostArena::take(size_t bytes) {
  if (bytes == 0 || bytes > kLargest) return Buffer::host(bytes);
  const size_t rounded = (bytes + 63) / 64 * 64;
  if (piece_ == nullptr || used_ + rounded > kPiece) {
    std::byte* const piece = map_piece();
    if (piece == nullptr) return Buffer::host(bytes);
    if (piece_ != nullptr) let_go(piece_);
    piece_ = piece;
    used_ = sizeof(Owners);
  }
  reinterpret_cast<Owners*>(piece_)->count.fetch_add(1, std::memory_order_relaxed);
  void* const data = piece_ + used_;
  used_ += rounded;
  return Buffer(data, bytes, release_part);
}

}  // namespace ferrum
