// A queue of values in a ring of memory that grows by doubling and is kept. Owned by its channel.
// Values are moved, never copied, and moving must not throw: a value is in the ring or it is not.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace perilune::detail {

template <class T>
class ring {
  static_assert(std::is_nothrow_move_constructible_v<T>, "values in a channel are moved; moving must not throw");

 public:
  ring() noexcept = default;
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;
  ~ring() { clear(); }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T& front() noexcept { return at(0); }
  // Counted from the front.
  T& operator[](std::size_t i) noexcept { return at(i); }

  // The next push_back will not throw.
  void make_room() {
    if (size_ == capacity()) [[unlikely]]
      grow();
  }
  void push_back(T&& value) {
    make_room();
    new (slots_ + wrap(head_ + size_)) T(std::move(value));
    ++size_;
  }
  void drop_front() noexcept {
    front().~T();
    head_ = wrap(head_ + 1);
    --size_;
  }
  // Drops all values, and the memory.
  void clear() noexcept {
    for (; size_; --size_) at(size_ - 1).~T();
    release(slots_, capacity());
    slots_ = nullptr;
    head_ = 0;
  }
  // Places the value before the one at `index`, by moving those in front of it.
  void insert(std::size_t index, T&& value) {
    if (size_ == capacity()) grow();
    head_ = wrap(head_ + mask_);
    ++size_;
    for (std::size_t i = 0; i < index; ++i) {
      new (&at(i)) T(std::move(at(i + 1)));
      at(i + 1).~T();
    }
    new (&at(index)) T(std::move(value));
  }

 private:
  std::size_t capacity() const noexcept { return slots_ ? mask_ + 1 : 0; }
  std::size_t wrap(std::size_t i) const noexcept { return i & mask_; }
  T& at(std::size_t i) noexcept { return slots_[wrap(head_ + i)]; }

  [[gnu::noinline]] void grow() {
    const std::size_t larger = slots_ ? capacity() * 2 : 2;
    T* const slots = std::allocator<T>().allocate(larger);
    for (std::size_t i = 0; i < size_; ++i) {
      new (slots + i) T(std::move(at(i)));
      at(i).~T();
    }
    release(slots_, capacity());
    slots_ = slots;
    mask_ = larger - 1;
    head_ = 0;
  }
  static void release(T* slots, std::size_t count) noexcept {
    if (slots) std::allocator<T>().deallocate(slots, count);
  }

  T* slots_ = nullptr;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::size_t mask_ = 0;  // capacity - 1, a power of two less one
};

}  // namespace perilune::detail
