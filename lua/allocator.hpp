// The memory of one VM: small blocks from free lists per size, large ones from the system. Owned by its VM; one thread.
//
// A VM allocates and frees blocks of few sizes at a high rate (task blocks, Lua threads, call records, tables), each with
// its size known at both ends. Free lists make that cheaper than a general allocator and spare its headers. Memory of small
// blocks goes back to the system when the VM closes.
#pragma once

#include <cstddef>

// Under the address sanitizer every block is the system's, so that it is watched.
#if defined(__SANITIZE_ADDRESS__)
#define PERILUNE_ALLOCATOR_POOLS 0
#elif defined(__has_feature)
#define PERILUNE_ALLOCATOR_POOLS (!__has_feature(address_sanitizer))
#else
#define PERILUNE_ALLOCATOR_POOLS 1
#endif

namespace perilune {

class allocator {
 public:
  allocator() noexcept = default;
  allocator(const allocator&) = delete;
  allocator& operator=(const allocator&) = delete;
  ~allocator();

  // The function for lua_newstate; `self` is the allocator.
  static void* reallocate(void* self, void* block, std::size_t old_size, std::size_t new_size);

  std::size_t bytes_in_use() const noexcept { return in_use_; }

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

  static std::size_t class_of(std::size_t size) noexcept { return (size + grain - 1) / grain; }
  void* take(std::size_t size) noexcept;
  void* take_from_chunk(std::size_t index) noexcept;
  void give(void* block, std::size_t size) noexcept;

  free_block* free_[class_count] = {};
  char* unused_begin_ = nullptr;
  char* unused_end_ = nullptr;
  chunk* chunks_ = nullptr;
  std::size_t in_use_ = 0;
};

}  // namespace perilune
