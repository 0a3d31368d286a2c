// The last n things, in a fixed amount of memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace ferrum {

template <typename T>
class Ring {
 public:
  explicit Ring(size_t capacity) : capacity_(std::max<size_t>(1, capacity)) {}

  // Takes the place of the oldest one when full.
  void push(T item) {
    if (items_.size() < capacity_) {
      items_.push_back(std::move(item));
    } else {
      items_[static_cast<size_t>(pushed_ % capacity_)] = std::move(item);
    }
    ++pushed_;
  }
  // The newest `count` (or what there is), oldest first.
  std::vector<T> last(size_t count) const {
    count = std::min(count, items_.size());
    std::vector<T> out;
    out.reserve(count);
    for (uint64_t i = pushed_ - count; i < pushed_; ++i) out.push_back(items_[static_cast<size_t>(i % capacity_)]);
    return out;
  }
  T* newest() { return items_.empty() ? nullptr : &items_[static_cast<size_t>((pushed_ - 1) % capacity_)]; }
  size_t capacity() const { return capacity_; }
  uint64_t pushed() const { return pushed_; }  // ever

 private:
  const size_t capacity_;
  uint64_t pushed_ = 0;
  std::vector<T> items_;  // grows to the capacity and stays
};

}  // namespace ferrum
