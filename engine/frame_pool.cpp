// The slow paths of the frame pool: filling it from the allocator and emptying it when a thread ends.
#include <perilune/frame_pool.hpp>

#include <new>

namespace perilune::detail {

struct frame_pool_guard {
  ~frame_pool_guard() { frame_pool::release_all(); }
};

void* frame_pool::take_slow(std::size_t bytes) {
  const std::size_t index = (bytes + grain - 1) / grain;
  return ::operator new(index < classes ? index * grain : bytes);
}

void frame_pool::give_slow(void* memory) noexcept { ::operator delete(memory); }

void frame_pool::release_at_thread_end() noexcept {
  lists_.registered = true;
  static thread_local frame_pool_guard guard;
  static_cast<void>(guard);
}

void frame_pool::release_all() noexcept {
  for (block*& head : lists_.heads)
    while (head) {
      block* gone = head;
      head = head->next;
      ::operator delete(gone);
    }
}

}  // namespace perilune::detail
