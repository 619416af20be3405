// What scripts hold while they hold a lock or permits: a guard. It is made before its call waits, so that nothing can fail
// once the lock is granted, and it notes the line of that call. Closable, released early by `release`; a guard that is
// collected unreleased is released then, with one warning. User value 1 is what is held, so that it outlives the guard.
//
// A blocking call has the resource at stack index 1 and its guard at 2; an arm of a select has them at `at` and `at + 1`.
#pragma once

#include <lua.hpp>

#include <perilune/holding.hpp>
#include <perilune/mutex.hpp>
#include <perilune/rwlock.hpp>
#include <perilune/semaphore.hpp>

#include "operation_object.hpp"

namespace perilune {

enum class guard_kind : unsigned char { lock, access, permits };

struct lua_guard {
  static constexpr std::uint64_t tag = 0x67726472'5b7e90d3ULL;

  // How it is taken: a mutex_core, a side of an rwlock_core, or a semaphore_core.
  operation* op;
  guard_kind kind;
  std::size_t wanted = 1;  // permits
  holding held{};
  char place[LUA_IDSIZE] = "";

  // The lock was granted to the task, which goes on.
  void accept(task_header& by) noexcept;
  // Ends the holding, if there is one.
  void release() noexcept {
    if (held.of) held.of->release(held, false);
  }
  // Whether the call is to return nil, "closed".
  bool refused() const noexcept { return kind == guard_kind::permits && static_cast<semaphore_core*>(op)->closed(); }
};

// Pushes a guard for the resource at `resource`, not held yet. Raises when memory is out.
lua_guard& push_guard(lua_State* L, guard_kind kind, operation& op, int resource, std::size_t wanted = 1);

// Tries to take it for the running task. 1 taken, 0 not now, < 0 a reply that refuses.
reply try_take(vm& v, lua_guard& guard);

// The guard is taken: what the call returns. The stack is resource, guard, and whatever else it was given.
inline reply give_guard(lua_State* L, vm&) { return lua_settop(L, 2), 1; }
// Calls the function at 3 with what follows; the guard is released when it returns, or closed when it raises.
reply call_with_guard(lua_State* L, vm& v);

template <native_body Then>
reply guard_granted(lua_State* L, vm& v) {
  if (v.running().note_closed) return push_closed(L);
  object_at<lua_guard>(L, 2).accept(v.running());
  return Then(L, v);
}

// Takes the guard at index 2, waiting if it must.
template <native_body Then>
reply take_guard(lua_State* L, vm& v) {
  lua_task& task = v.running();
  if (task.cancel_pending()) return action::raise_cancel;
  if (!spend(v)) return yield_and_retry(L, v, take_guard<Then>);
  auto& guard = object_at<lua_guard>(L, 2);
  task.deadline = guard.wanted;
  const reply taken = try_take(v, guard);
  if (taken < 0) return taken;
  if (taken == 0) return wait_for(L, v, *guard.op, guard_granted<Then>);
  if (guard.refused()) return push_closed(L);
  guard.accept(task);
  return Then(L, v);
}

// Takes the guard on top without waiting. Returns it, or nil and why.
reply try_guard(lua_State* L, vm& v);

// The operation of taking something. `push(L, at)` makes the guard for what stands at `at`; `ready(resource)` says whether
// trying is worth it.
class guard_operation final : public operation_kind {
 public:
  using pusher = lua_guard& (*)(lua_State* L, int at);
  using readiness = bool (*)(const void* resource);
  constexpr guard_operation(const char* name, pusher push, readiness ready) noexcept
      : name_(name), push_(push), ready_(ready) {}

  const char* name() const noexcept override { return name_; }
  bool maybe_ready(const void* resource) const noexcept override { return ready_(resource); }
  int attempt(lua_State* L, vm& v, int at) const override;
  operation& arm_target(lua_State* L, vm& v, int at, waiter& by) const override;
  int collect(lua_State* L, vm& v, int at) const override;

 private:
  const char* name_;
  pusher push_;
  readiness ready_;
};

}  // namespace perilune
