// A task of the engine that a Lua task runs and waits for. It stands below the caller in the tree, so that what cancels
// the caller cancels it; the caller goes on when it has ended, and not before. Owned by a userdata of the caller's frame.
#pragma once

#include <cstdint>
#include <utility>

#include <perilune/task.hpp>

#include "protect.hpp"

namespace perilune {

template <class T>
class native_task final : public operation {
 public:
  static constexpr std::uint64_t tag = 0x6e617469'2f7e40b5ULL;

  // `shown` is what diagnostics say the caller waits for.
  explicit native_task(const wait_description& shown) noexcept : shown_(shown) {}

  void start(task<T> body, const char* name) {
    handle_ = perilune::spawn(std::move(body));
    handle_.header().name = name;
  }
  const outcome<T>& end() const noexcept { return handle_.outcome_now(); }
  void drop() noexcept { handle_ = task_handle<T>(); }

  bool try_commit(waiter&) override { return handle_.settled(); }
  void arm(waiter& by) override { handle_.header().arm(by); }
  void disarm(waiter& by) noexcept override { handle_.header().disarm(by); }
  bool give_back(waiter&) noexcept override { return false; }
  bool holds(waiter&) noexcept override { return true; }
  wait_description describe() const noexcept override { return shown_; }

 private:
  wait_description shown_;
  task_handle<T> handle_;
};

// Why a native task did not return, as an action. The scratch of the VM says what.
template <class T>
reply raise_end(vm& v, const outcome<T>& end) {
  if (end.cancelled() && v.running().cancel_pending()) return action::raise_cancel;
  return raise_error(v, end.error());
}

}  // namespace perilune
