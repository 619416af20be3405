// Bytes between a descriptor and those who read or write them: appended at the back, taken from the front, uninitialised
// room in between. Owned by its stream.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace perilune::detail {

class byte_buffer {
 public:
  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return begin_ == end_; }
  const char* data() const noexcept { return memory_.get() + begin_; }
  std::string_view view() const noexcept { return {data(), size()}; }

  // Room for `bytes` at the back; filled() says how many of them count.
  char* room(std::size_t bytes) {
    if (capacity_ - end_ < bytes) make_room(bytes);
    return memory_.get() + end_;
  }
  void filled(std::size_t bytes) noexcept { end_ += bytes; }
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(room(bytes.size()), bytes.data(), bytes.size());
    filled(bytes.size());
  }
  void consume(std::size_t bytes) noexcept {
    begin_ += bytes;
    if (begin_ != end_) return;
    begin_ = end_ = 0;
    if (capacity_ > kept) clear();
  }
  void clear() noexcept {
    memory_.reset();
    begin_ = end_ = capacity_ = 0;
  }

 private:
  static constexpr std::size_t kept = 65536;

  void make_room(std::size_t bytes) {
    const std::size_t used = size();
    const std::size_t needed = used + bytes;
    std::unique_ptr<char[]> larger;
    if (needed > capacity_ || begin_ < capacity_ / 2) {
      capacity_ = std::max(needed, capacity_ * 2);
      larger = std::make_unique_for_overwrite<char[]>(capacity_);
    }
    if (used) std::memmove(larger ? larger.get() : memory_.get(), data(), used);
    if (larger) memory_ = std::move(larger);
    begin_ = 0;
    end_ = used;
  }

  std::unique_ptr<char[]> memory_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace perilune::detail
