// Memory for coroutine frames and task blocks: free lists per size class and thread, so that spawning and awaiting cost
// no trip to the allocator once warm. Blocks may be freed on another thread than the one that took them.
#pragma once

#include <cstddef>
#include <new>

namespace perilune::detail {

class frame_pool {
 public:
  static constexpr std::size_t grain = 16;
  static constexpr std::size_t classes = 64;  // blocks up to 1 KiB; larger ones go to the allocator

  static void* take(std::size_t bytes) {
    const std::size_t index = (bytes + grain - 1) / grain;
    if (index < classes)
      if (block* head = lists_.heads[index]) [[likely]] {
        lists_.heads[index] = head->next;
        return head;
      }
    return take_slow(bytes);
  }

  static void give(void* memory, std::size_t bytes) noexcept {
    const std::size_t index = (bytes + grain - 1) / grain;
    if (index >= classes) return give_slow(memory);
    lists_.heads[index] = new (memory) block{lists_.heads[index]};
    if (!lists_.registered) [[unlikely]]
      release_at_thread_end();
  }

 private:
  struct block {
    block* next;
  };
  struct lists {
    block* heads[classes];
    bool registered;
  };
  static void* take_slow(std::size_t bytes);
  static void give_slow(void* memory) noexcept;
  static void release_at_thread_end() noexcept;
  static void release_all() noexcept;
  friend struct frame_pool_guard;

  static inline constinit thread_local lists lists_{};
};

}  // namespace perilune::detail
