// The memory of one VM: small blocks from free lists per size, large ones from the system. Owned by its VM; one thread.
//
// A VM allocates and frees blocks of few sizes at a high rate (task blocks, Lua threads, call records, tables), each with
// its size known at both ends. Free lists make that cheaper than a general allocator and spare its headers. Memory of small
// blocks goes back to the system when the VM closes.
//
// There may be a limit, in three steps. Who reaches the first gets an error, and from then on has what lies between first
// and second to deal with it, until less is in use again. Who reaches the second is exhausted, and has the rest to end in.
//
// What a VM has beside its Lua state counts to that as well: the bytes of buffers, and values on their way. Those may end on other
// threads, and later than the VM.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

// Under the address sanitizer every block is the system's, so that it is watched.
#if defined(__SANITIZE_ADDRESS__)
#define PERILUNE_ALLOCATOR_POOLS 0
#elif defined(__has_feature)
#define PERILUNE_ALLOCATOR_POOLS (!__has_feature(address_sanitizer))
#else
#define PERILUNE_ALLOCATOR_POOLS 1
#endif

namespace perilune {

// What a VM answers for beside its Lua state. Whoever has the memory has this, on any thread; it ends with it.
class memory_share {
 public:
  memory_share() noexcept = default;
  memory_share(memory_share&& other) noexcept : of_(std::move(other.of_)), bytes_(std::exchange(other.bytes_, 0)) {}
  memory_share& operator=(memory_share&& other) noexcept {
    memory_share taken(std::move(other));
    std::swap(of_, taken.of_);
    std::swap(bytes_, taken.bytes_);
    return *this;
  }
  ~memory_share() {
    if (of_) of_->fetch_sub(bytes_, std::memory_order_relaxed);
  }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  friend class allocator;
  std::shared_ptr<std::atomic<std::size_t>> of_;  // the total of a VM
  std::size_t bytes_ = 0;
};

class allocator {
 public:
  allocator() = default;
  allocator(const allocator&) = delete;
  allocator& operator=(const allocator&) = delete;
  ~allocator();

  // The function for lua_newstate; `self` is the allocator.
  static void* reallocate(void* self, void* block, std::size_t old_size, std::size_t new_size);

  // Of Lua's and beside it.
  std::size_t bytes_in_use() const noexcept { return in_use_ + beside_->load(std::memory_order_relaxed); }
  // Makes a share, new or of this VM, one of so many bytes. False: the limit has been reached, as for Lua. The VM's thread only.
  bool answer_for(std::size_t bytes, memory_share& share) noexcept;

  // Takes memory from a function of the host's own. Before anything is allocated.
  void draw_from(void* (*source)(void*, void*, std::size_t, std::size_t), void* data) noexcept {
    source_ = source;
    source_data_ = data;
  }
  // Limits what is in use from now on, hard >= soft > 0. Where both are the same there is one step only.
  void limit(std::size_t soft, std::size_t hard) noexcept;
  // Whether the second step has been reached since this was last asked.
  bool take_exhausted() noexcept {
    const bool was = exhausted_;
    exhausted_ = false;
    return was;
  }

 private:
  static constexpr std::size_t grain = 16;
  static constexpr std::size_t largest_small = PERILUNE_ALLOCATOR_POOLS ? 1024 : 0;
  static constexpr std::size_t class_count = largest_small / grain + 1;
  static constexpr std::size_t chunk_bytes = std::size_t{64} * 1024;
  struct free_block {
    free_block* next;
  };
  struct chunk {
    chunk* next;
    std::size_t unused;  // keeps the blocks behind it aligned to the grain
  };

  bool grants(std::size_t more) noexcept;
  void* draw(void* block, std::size_t old_size, std::size_t new_size) noexcept;
  static std::size_t class_of(std::size_t size) noexcept { return (size + grain - 1) / grain; }
  void* take(std::size_t size) noexcept;
  void* take_from_chunk(std::size_t index) noexcept;
  void give(void* block, std::size_t size) noexcept;

  free_block* free_[class_count] = {};
  char* unused_begin_ = nullptr;
  char* unused_end_ = nullptr;
  chunk* chunks_ = nullptr;
  std::size_t in_use_ = 0;
  const std::shared_ptr<std::atomic<std::size_t>> beside_ = std::make_shared<std::atomic<std::size_t>>(0);

  void* (*source_)(void*, void*, std::size_t, std::size_t) = nullptr;
  void* source_data_ = nullptr;
  static constexpr unsigned steps = 3;
  std::size_t limits_[steps] = {SIZE_MAX, SIZE_MAX, SIZE_MAX};
  std::size_t chunk_limit_ = SIZE_MAX;  // of all chunks together: free blocks of one size are none of another
  std::size_t chunk_total_ = 0;
  std::size_t refused_ = 0;  // the request refused last, until another is granted
  unsigned step_ = 0;        // the limit that holds at present
  bool exhausted_ = false;
};

}  // namespace perilune
