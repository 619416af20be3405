// A select of a Lua task while it waits: its arms, and how to read the results of each. Blocks are pooled per VM, so that
// waiting allocates nothing once warm; a block belongs to the waiting task from begin_select to finish_select.
#pragma once

#include <cstddef>

#include <lua.hpp>

#include <perilune/select_wait.hpp>

#include "protect.hpp"

namespace perilune {

class operation_kind;

struct select_arm {
  const operation_kind* kind;
  int at;      // stack position of resource and value
  int key_at;  // stack position of the key, 0 for the integer `key`
  lua_Integer key;
};

class lua_select : public select_wait {
 public:
  // A block for at least `count` arms. Throws std::bad_alloc.
  static lua_select& take(vm& v, std::size_t count);
  void give(vm& v) noexcept;
  static void release_all(lua_select* first) noexcept;

  waiter* waiters() noexcept { return reinterpret_cast<waiter*>(this + 1); }
  select_arm* arms() noexcept { return reinterpret_cast<select_arm*>(waiters() + capacity_); }
  lua_select* next_free = nullptr;

 private:
  std::size_t capacity_ = 0;
};

// Parks the running task on the armed block. `then` runs when an arm was granted and calls finish_select.
reply wait_in_select(lua_State* L, vm& v, lua_select& block, std::size_t count, native_body then);
// The arm that was granted; the block goes back to the pool.
std::size_t finish_select(lua_State* L, vm& v);
// The task leaves its select without a grant.
void abandon_select(vm& v, lua_task& task) noexcept;

// Waits for an operation for at most `seconds`; `then` calls finish_select: 0 is the operation, 1 the limit.
reply wait_with_limit(lua_State* L, vm& v, operation& op, double seconds, native_body then);

// Reads a duration argument: a number that is not NaN. A reply < 0 refuses.
reply read_seconds(lua_State* L, vm& v, int argument, double& seconds);

}  // namespace perilune
