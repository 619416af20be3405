// mutex and keyed_mutex: one task at a time, in the order in which they asked. A lock belongs to the task that took it: it
// cannot be taken twice, nor released by another. It is never poisoned; `abandoned` says how the holding before this one
// ended. mutex_core has the rules, for C++ and Lua alike.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include <perilune/delegated_operation.hpp>
#include <perilune/holding.hpp>
#include <perilune/task.hpp>

namespace perilune {

class mutex_core final : public operation, public holdable {
 public:
  // How diagnostics call the lock, and waiting for it. Static storage.
  explicit mutex_core(const char* resource = "mutex", const char* verb = "lock") noexcept
      : resource_(resource), verb_(verb) {}

  // False when another task, or this one, owns the lock.
  bool try_lock(task_header& by) noexcept {
    if (owner_) return false;
    owner_ = &by;
    return true;
  }
  bool locked() const noexcept { return owner_ != nullptr; }
  bool owned_by(const task_header& task) const noexcept { return owner_ == &task; }
  // The holder before failed, was cancelled, or ended without releasing.
  bool abandoned() const noexcept { return abandoned_; }
  // The owner goes on: begins its holding.
  void hold(holding& held) noexcept {
    held.by = owner_;
    begin(held, *owner_);
  }
  void release(holding& held, bool abandons) noexcept override;

  // Throws kind misuse when the task owns the lock already.
  bool try_commit(waiter& by) override;
  void arm(waiter& by) override;
  void disarm(waiter& by) noexcept override { waiters_.erase(by); }
  bool give_back(waiter&) noexcept override;
  const task_header* held_by() const noexcept override { return owner_; }
  std::string held_at() const override;
  wait_description describe() const noexcept override { return {verb_, resource_, this}; }
  std::size_t waiting() const noexcept override { return waiters_.count(); }
  const char* resource() const noexcept override { return resource_; }

 private:
  void pass_on() noexcept;

  task_header* owner_ = nullptr;
  wait_queue waiters_;
  const char* resource_;
  const char* verb_;
  bool abandoned_ = false;
};

// Locks. Yields a guard.
class lock_operation final : public delegated_operation<mutex_core> {
 public:
  lock_operation(mutex_core& m, hold_site at) noexcept : delegated_operation(m), site_(at) {}
  guard take_result() noexcept {
    guard locked(site_);
    resource_->hold(locked.held());
    return locked;
  }

 private:
  hold_site site_;
};

class mutex {
 public:
  mutex() noexcept = default;
  // For what is built on a mutex: how it is called in reports.
  mutex(const char* resource, const char* verb) noexcept : core_(resource, verb) {}

  // Waits for the lock. Yields a guard. Kind misuse when the task has it already, kind deadlock when it could never get it.
  auto lock(hold_site at = std::source_location::current()) {
    return detail::awaiter<lock_operation>(std::in_place, core_, at);
  }
  lock_operation lock_op(hold_site at = std::source_location::current()) { return {core_, at}; }
  // Requires a running task. Nothing when the lock is taken.
  std::optional<guard> try_lock(hold_site at = std::source_location::current()) {
    if (!core_.try_lock(*scheduler::here()->current())) return std::nullopt;
    return lock_operation(core_, at).take_result();
  }
  bool locked() const noexcept { return core_.locked(); }
  bool abandoned() const noexcept { return core_.abandoned(); }
  std::size_t waiting() const noexcept { return core_.waiting(); }

 private:
  mutex_core core_;
};

// A mutex for each key. One that nobody holds or waits for takes no room. Its guards must not outlive it.
template <class Key, class Hash = std::hash<Key>>
class keyed_mutex {
  using lock_ptr = std::shared_ptr<mutex_core>;

 public:
  // The guard of a key keeps its lock.
  class keyed_guard {
   public:
    keyed_guard(lock_ptr lock, guard locked) noexcept : lock_(std::move(lock)), locked_(std::move(locked)) {}
    void release() { locked_.release(); }
    bool abandoned() const noexcept { return lock_->abandoned(); }

   private:
    lock_ptr lock_;
    guard locked_;
  };

  // Waits for the lock of one key, and keeps that lock alive meanwhile.
  class keyed_lock_operation final : public delegated_operation<mutex_core> {
   public:
    // Made by lock_op.
    keyed_lock_operation(lock_ptr lock, hold_site at) noexcept
        : delegated_operation<mutex_core>(*lock), lock_(std::move(lock)), site_(at) {}
    keyed_guard take_result() noexcept { return {lock_, lock_operation(*lock_, site_).take_result()}; }

   private:
    lock_ptr lock_;
    hold_site site_;
  };

  keyed_mutex() noexcept = default;
  keyed_mutex(const keyed_mutex&) = delete;
  keyed_mutex& operator=(const keyed_mutex&) = delete;

  // As mutex::lock, for one key. Yields a keyed_guard.
  auto lock(const Key& key, hold_site at = std::source_location::current()) {
    return detail::awaiter<keyed_lock_operation>(std::in_place, lock_of(key), at);
  }
  keyed_lock_operation lock_op(const Key& key, hold_site at = std::source_location::current()) {
    return {lock_of(key), at};
  }
  std::optional<keyed_guard> try_lock(const Key& key, hold_site at = std::source_location::current()) {
    lock_ptr lock = lock_of(key);
    if (!lock->try_lock(*scheduler::here()->current())) return std::nullopt;
    return keyed_lock_operation(std::move(lock), at).take_result();
  }
  // Keys that somebody holds or waits for.
  std::size_t size() const noexcept { return locks_.size(); }

 private:
  lock_ptr lock_of(const Key& key) {
    std::weak_ptr<mutex_core>& kept = locks_[key];
    if (lock_ptr known = kept.lock()) return known;
    lock_ptr made(new mutex_core("keyed mutex"), [this, key](const mutex_core* gone) {
      delete gone;
      locks_.erase(key);
    });
    kept = made;
    return made;
  }

  std::unordered_map<Key, std::weak_ptr<mutex_core>, Hash> locks_;
};

}  // namespace perilune
