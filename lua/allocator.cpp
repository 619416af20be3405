// Free lists over chunks. See allocator.hpp.
#include "allocator.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace perilune {

namespace {

// A VM that has many bytes goes on in chunks that the system maps at once, and that the processor finds by one entry.
constexpr std::size_t many_bytes = std::size_t{8} * 1024 * 1024;
constexpr std::size_t large_chunk_bytes = std::size_t{2} * 1024 * 1024;

void* new_large_chunk() noexcept {
  void* fresh = std::aligned_alloc(large_chunk_bytes, large_chunk_bytes);
  if (fresh) ::madvise(fresh, large_chunk_bytes, MADV_HUGEPAGE);
  return fresh;
}

}  // namespace

allocator::~allocator() {
  while (chunks_) std::free(std::exchange(chunks_, chunks_->next));
}

void allocator::limit(std::size_t soft, std::size_t hard) noexcept {
  constexpr std::size_t least_reserve = std::size_t{64} * 1024;
  limits_[0] = soft;
  limits_[1] = hard;
  limits_[2] = hard == soft ? hard : hard + std::max(soft / 16, least_reserve);
  chunk_limit_ = 2 * limits_[2];
}

// Whether so much more may be in use. Lua asks twice for what it does not get, with a full collection in between, and raises
// when it is refused again.
bool allocator::grants(std::size_t more) noexcept {
  const std::size_t used = bytes_in_use();
  if (step_ > 0 && used < limits_[0] - limits_[0] / 16) step_ = 0;
  if (used <= limits_[step_] && more <= limits_[step_] - used) return refused_ = 0, true;
  if (refused_ != more) return refused_ = more, false;
  refused_ = 0;
  const bool went_on = step_ > 0 && used > limits_[0];
  exhausted_ = exhausted_ || went_on;
  step_ = went_on ? steps - 1 : std::max(step_, 1U);
  return false;
}

bool allocator::answer_for(std::size_t bytes, memory_share& share) noexcept {
  if (bytes > share.bytes_ && !grants(bytes - share.bytes_)) return false;
  if (!share.of_) share.of_ = beside_;
  share.of_->fetch_add(bytes - share.bytes_, std::memory_order_relaxed);
  share.bytes_ = bytes;
  return true;
}

void* allocator::take_from_chunk(std::size_t index) noexcept {
  const std::size_t bytes = index * grain;
  if (static_cast<std::size_t>(unused_end_ - unused_begin_) < bytes) {
    // What is left of the chunk serves a smaller size.
    if (const auto left = static_cast<std::size_t>(unused_end_ - unused_begin_); left >= grain)
      give(unused_begin_, left), in_use_ += left;
    const bool large = chunk_total_ >= many_bytes && chunk_limit_ == SIZE_MAX;
    const std::size_t size = large ? large_chunk_bytes : chunk_bytes;
    void* fresh = large ? new_large_chunk() : chunk_total_ + size <= chunk_limit_ ? std::malloc(size) : nullptr;
    if (!fresh) {
      unused_begin_ = unused_end_ = nullptr;
      return nullptr;
    }
    chunk_total_ += size;
    chunks_ = new (fresh) chunk{chunks_, 0};
    unused_begin_ = reinterpret_cast<char*>(chunks_ + 1);
    unused_end_ = static_cast<char*>(fresh) + size;
  }
  return std::exchange(unused_begin_, unused_begin_ + bytes);
}

void* allocator::take(std::size_t size) noexcept {
  void* block = nullptr;
  if (size > largest_small) {
    block = std::malloc(size);
  } else if (const std::size_t index = class_of(size); free_[index]) {
    block = std::exchange(free_[index], free_[index]->next);
  } else {
    block = take_from_chunk(index);
  }
  if (block) in_use_ += size;
  return block;
}

void allocator::give(void* block, std::size_t size) noexcept {
  in_use_ -= size;
  if (size > largest_small) return std::free(block);
  const std::size_t index = class_of(size);
  free_[index] = new (block) free_block{free_[index]};
}

void* allocator::draw(void* block, std::size_t old_size, std::size_t new_size) noexcept {
  void* moved = source_(source_data_, block, old_size, new_size);
  if (moved || new_size == 0) in_use_ += new_size - (block ? old_size : 0);
  return moved;
}

void* allocator::reallocate(void* self, void* block, std::size_t old_size, std::size_t new_size) {
  auto& a = *static_cast<allocator*>(self);
  const std::size_t before = block ? old_size : 0;  // of a new block Lua says the type there
  if (new_size > before && !a.grants(new_size - before)) return nullptr;
  if (a.source_) return a.draw(block, old_size, new_size);
  if (!block) return new_size ? a.take(new_size) : nullptr;
  if (new_size == 0) {
    a.give(block, old_size);
    return nullptr;
  }
  if (old_size > largest_small && new_size > largest_small) {
    void* moved = std::realloc(block, new_size);
    if (moved) a.in_use_ += new_size - old_size;
    return moved;
  }
  if (old_size <= largest_small && new_size <= largest_small && class_of(old_size) == class_of(new_size)) {
    a.in_use_ += new_size - old_size;
    return block;
  }
  void* moved = a.take(new_size);
  if (!moved) return new_size <= old_size ? block : nullptr;  // Lua relies on shrinking not to fail
  std::memcpy(moved, block, std::min(old_size, new_size));
  a.give(block, old_size);
  return moved;
}

}  // namespace perilune
