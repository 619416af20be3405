// Pooling and parking of selects. See lua_select.hpp.
#include "lua_select.hpp"

#include <cstdlib>
#include <new>

#include <perilune/timer.hpp>

#include "lua_task.hpp"

namespace perilune {

lua_select& lua_select::take(vm& v, std::size_t count) {
  if (lua_select* block = v.free_selects; block && block->capacity_ >= count) {
    v.free_selects = block->next_free;
    return *block;
  }
  const std::size_t capacity = count < 8 ? 8 : count;
  void* memory = std::malloc(sizeof(lua_select) + capacity * (sizeof(waiter) + sizeof(select_arm)));
  if (!memory) throw std::bad_alloc();
  auto* block = new (memory) lua_select;
  block->capacity_ = capacity;
  for (std::size_t i = 0; i < capacity; ++i) new (block->waiters() + i) waiter;
  return *block;
}

void lua_select::give(vm& v) noexcept {
  next_free = v.free_selects;
  v.free_selects = this;
}

void lua_select::release_all(lua_select* first) noexcept {
  while (first) {
    lua_select* gone = first;
    first = first->next_free;
    std::free(gone);
  }
}

reply wait_in_select(lua_State*, vm& v, lua_select& block, std::size_t count, native_body then) {
  lua_task& task = v.running();
  for (std::size_t i = 0; i < count; ++i) block.waiters()[i].task = &task;
  block.assign(block.waiters(), count);
  task.op = nullptr;
  task.note_closed = false;
  task.become(wait_state::idle);
  v.tasks().park_select(task, block);
  block.arm();
  v.continuation = then;
  return action::suspend;
}

std::size_t finish_select(lua_State*, vm& v) {
  auto& block = static_cast<lua_select&>(*v.running().selecting);
  const std::size_t winner = block.winner();
  v.running().selecting = nullptr;
  block.give(v);
  return winner;
}

void abandon_select(vm& v, lua_task& task) noexcept {
  if (!task.selecting) return;
  static_cast<lua_select&>(*task.selecting).give(v);
  task.selecting = nullptr;
}

namespace {

detail::timer_operation timer_wait;

}  // namespace

reply wait_with_limit(lua_State* L, vm& v, operation& op, double seconds, native_body then) {
  if (!protect::suspendable(L, v.running())) return action::raise_unsuspendable;
  lua_select& block = lua_select::take(v, 2);
  block.waiters()[0].op = &op;
  block.waiters()[1].op = &timer_wait;
  block.waiters()[1].deadline =
      static_cast<std::uint64_t>(saturating_add(v.host_runtime().time().now(), from_seconds(seconds)).count());
  return wait_in_select(L, v, block, 2, then);
}

}  // namespace perilune
