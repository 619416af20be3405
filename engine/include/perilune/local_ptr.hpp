// A counted pointer to what belongs to one worker: counted without atomics, so it stays on its worker.
#pragma once

#include <cstdint>
#include <utility>

namespace perilune::detail {

class counted {
 public:
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;

 protected:
  counted() noexcept = default;
  ~counted() = default;

 private:
  template <class T>
  friend class local_ptr;
  std::uint32_t uses_ = 0;
};

template <class T>
class local_ptr {
 public:
  explicit local_ptr(T* object) noexcept : object_(object) { retain(); }
  local_ptr(const local_ptr& other) noexcept : object_(other.object_) { retain(); }
  local_ptr(local_ptr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  local_ptr& operator=(local_ptr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~local_ptr() {
    if (object_ && --object_->uses_ == 0) delete object_;
  }

  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }

 private:
  void retain() const noexcept {
    if (object_) ++object_->uses_;
  }
  T* object_;
};

}  // namespace perilune::detail
