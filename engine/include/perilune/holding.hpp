// What a task has between the grant of a lock or of permits and its release. A holding says who took it, where and since
// when; a guard owns one. A holdable is what can be held. Each worker registers what is held on it, so that a task which
// ends gives up its locks, and a holder who keeps others waiting for too long is named.
//
// A holdable lives longer than its guards and whoever waits for it. Touched by one worker only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <string>

#include <perilune/linked_queue.hpp>

namespace perilune {

class holdable;
class scheduler;
class task_header;

// Where something was locked or acquired. The text belongs to the program or to the guard.
struct hold_site {
  const char* file = nullptr;
  std::uint32_t line = 0;

  hold_site() noexcept = default;
  // A place, or the caller's own.
  hold_site(const char* in_file, std::uint32_t at_line) noexcept : file(in_file), line(at_line) {}
  hold_site(const std::source_location& at) noexcept : file(at.file_name()), line(at.line()) {}
  // "file:line", or "" when unknown.
  std::string text() const;
};

struct holding : list_node {
  holdable* of = nullptr;      // nullptr once released
  task_header* by = nullptr;   // the owner of a lock; nullptr for permits, which belong to whoever has them
  std::uint64_t taken_by = 0;  // the id of the task that took it
  std::size_t permits = 1;
  hold_site site;
  std::uint32_t since_ms = 0;  // the worker's clock
  bool shared = false;         // held for reading
  bool told = false;           // named in a warning already

  holding() noexcept = default;
  // Begins now.
  explicit holding(hold_site at) noexcept : site(at) {}
  holding(holding&& other) noexcept;
  holding& operator=(holding&&) = delete;
};

// What can be held, a lock or permits: knows by whom and since when. Of one worker.
class holdable : public list_node {
 public:
  holdable(const holdable&) = delete;
  holdable& operator=(const holdable&) = delete;

  // Ends a holding; what was held goes to who waits for it. `abandons`: the holder failed, was cancelled or has gone.
  virtual void release(holding& held, bool abandons) noexcept = 0;
  virtual std::size_t waiting() const noexcept = 0;
  // "mutex", "semaphore". Static storage.
  virtual const char* resource() const noexcept = 0;
  const linked_queue<holding>& holdings() const noexcept { return holdings_; }
  // A holding has moved to another object.
  void moved(holding& from, holding& to) noexcept {
    holdings_.erase(from);
    holdings_.push_back(to);
  }

 protected:
  holdable() noexcept = default;
  ~holdable() = default;

  void begin(holding& held, task_header& by) noexcept;
  void end(holding& held) noexcept;
  // The only holding, or nullptr.
  const holding* sole() const noexcept;
  // Throws kind misuse: "this mutex is already held by task 3 at file:line".
  [[noreturn]] void refuse_relock(const holding* held, const task_header& by, const char* more = "") const;

 private:
  linked_queue<holding> holdings_;  // in the order in which they began
  scheduler* home_ = nullptr;       // where it is registered while it is held
};

// What is held on one worker.
class hold_register {
 public:
  void set_limit(std::uint32_t ms) noexcept { limit_ms_ = ms; }
  void add(holdable& held) noexcept { held_.push_back(held); }
  void remove(holdable& held) noexcept { held_.erase(held); }
  const linked_queue<holdable>& held() const noexcept { return held_; }

  // Somebody begins to wait for `wanted`: its holder is named when he keeps it for longer than the limit.
  void watch(const holdable& wanted, std::uint32_t now_ms) noexcept;
  // When to look, milliseconds of the worker's clock; nothing while nobody waits.
  std::optional<std::uint32_t> next_look() const noexcept {
    return watching_ ? std::optional(look_at_ms_) : std::nullopt;
  }
  // Calls `tell` with a line about each holding that has just become too long.
  void look(std::uint32_t now_ms, void (*tell)(void*, const std::string&), void* argument);

  // The task has ended: its locks are released, as abandoned.
  void release_locks_of(const task_header& task) noexcept;

 private:
  void look_again(std::uint32_t at_ms) noexcept;

  linked_queue<holdable> held_;
  std::uint32_t limit_ms_ = 0;  // 0: nobody is named
  std::uint32_t look_at_ms_ = 0;
  bool watching_ = false;
};

// What C++ tasks get when they lock: releases when it goes. A lock is released by the task that took it.
class [[nodiscard("a guard that goes at once releases at once")]] guard {
 public:
  explicit guard(hold_site at) noexcept : held_(at) {}
  guard(guard&&) noexcept = default;
  guard& operator=(guard&&) = delete;
  ~guard();

  explicit operator bool() const noexcept { return held_.of != nullptr; }
  // Throws kind misuse when it was released before, or by a task that does not own the lock.
  void release();
  holding& held() noexcept { return held_; }

 protected:
  holding held_;
};

namespace detail {

// Throws kind misuse where the running task must not release what `held` says.
void check_release(const holding& held, const task_header* running);

}  // namespace detail

}  // namespace perilune
