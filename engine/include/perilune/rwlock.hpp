// rwlock: many readers or one writer, first come, first served. A writer in the queue holds back the readers behind it, so
// that writers are not starved; the readers between two writers go together. Owned by tasks, as a mutex is.
#pragma once

#include <optional>
#include <utility>

#include <perilune/delegated_operation.hpp>
#include <perilune/holding.hpp>
#include <perilune/task.hpp>

namespace perilune {

class rwlock_core final : public holdable {
 public:
  // Waiting for one kind of access; the two share one queue.
  class side final : public operation {
   public:
    side(rwlock_core& l, bool writes) noexcept : lock_(l), writes_(writes) {}
    // Throws kind misuse when the task holds the lock and would wait for itself.
    bool try_commit(waiter& by) override;
    void arm(waiter& by) override;
    void disarm(waiter& by) noexcept override;
    bool give_back(waiter& by) noexcept override;
    const task_header* held_by() const noexcept override { return lock_.holder(); }
    std::string held_at() const override;
    wait_description describe() const noexcept override { return {writes_ ? "write" : "read", "rwlock", &lock_}; }
    // The task that was granted this access goes on: begins its holding.
    void hold(holding& held, task_header& by) noexcept;
    // As try_commit, but says no where that throws.
    bool try_lock(task_header& by) noexcept;
    bool available() const noexcept;
    rwlock_core& lock() const noexcept { return lock_; }

   private:
    rwlock_core& lock_;
    bool writes_;
  };

  rwlock_core() noexcept = default;
  // What readers and writers wait at.
  side& reading() noexcept { return reading_; }
  side& writing() noexcept { return writing_; }
  // The writer before failed, was cancelled, or ended without releasing.
  bool abandoned() const noexcept { return abandoned_; }
  std::size_t readers() const noexcept { return readers_; }
  bool written() const noexcept { return writer_ != nullptr; }

  void release(holding& held, bool abandons) noexcept override;
  // The writer becomes a reader; no other writer comes in between. Readers next in line join it.
  void downgrade(holding& held) noexcept;
  std::size_t waiting() const noexcept override { return waiters_.count(); }
  const char* resource() const noexcept override { return "rwlock"; }

 private:
  void admit() noexcept;
  const task_header* holder() const noexcept;
  const holding* holding_of(const task_header& task) const noexcept;

  task_header* writer_ = nullptr;
  std::size_t readers_ = 0;
  wait_queue waiters_;  // waiter::deadline is 1 for a writer, 0 for a reader
  bool abandoned_ = false;
  side reading_{*this, false};
  side writing_{*this, true};
};

// What readers and writers get.
class rwlock_guard : public guard {
 public:
  using guard::guard;
  // Keeps reading what was written. Throws kind misuse unless the task holds the lock for writing.
  void downgrade();
};

// Waits for one side of a lock, which outlives it. Made by read_op and write_op.
class rwlock_operation final : public delegated_operation<rwlock_core::side> {
 public:
  // Taken at this line.
  rwlock_operation(rwlock_core::side& s, hold_site at) noexcept : delegated_operation(s), site_(at) {}
  rwlock_guard take_result() noexcept {
    rwlock_guard locked(site_);
    resource_->hold(locked.held(), *scheduler::here()->current());
    return locked;
  }

 private:
  hold_site site_;
};

class rwlock {
 public:
  // Wait for access. Yield an rwlock_guard.
  auto read(hold_site at = std::source_location::current()) { return wait(core_.reading(), at); }
  auto write(hold_site at = std::source_location::current()) { return wait(core_.writing(), at); }
  rwlock_operation read_op(hold_site at = std::source_location::current()) { return {core_.reading(), at}; }
  rwlock_operation write_op(hold_site at = std::source_location::current()) { return {core_.writing(), at}; }
  // Require a running task. Nothing when access would have to wait.
  std::optional<rwlock_guard> try_read(hold_site at = std::source_location::current()) {
    return attempt(core_.reading(), at);
  }
  std::optional<rwlock_guard> try_write(hold_site at = std::source_location::current()) {
    return attempt(core_.writing(), at);
  }
  bool abandoned() const noexcept { return core_.abandoned(); }
  std::size_t waiting() const noexcept { return core_.waiting(); }

 private:
  static detail::awaiter<rwlock_operation> wait(rwlock_core::side& access, hold_site at) {
    return detail::awaiter<rwlock_operation>(std::in_place, access, at);
  }
  static std::optional<rwlock_guard> attempt(rwlock_core::side& access, hold_site at) {
    if (!access.try_lock(*scheduler::here()->current())) return std::nullopt;
    return rwlock_operation(access, at).take_result();
  }

  rwlock_core core_;
};

}  // namespace perilune
