// What the hook does on the Lua thread of a task that has overstayed its slice: raise the cancellation that waits for it,
// or let the others run, or, where Lua cannot suspend, end the task when it has held the worker for too long. It strikes
// at a new line or a jump back, so no statement that calls nothing is torn. See watchdog.hpp. Native functions that may
// take long charge what they do, and are ended in the same way.
#include <algorithm>
#include <climits>
#include <cstdio>
#include <new>
#include <string>
#include <utility>

#include "allowance.hpp"
#include "boundary_name.hpp"
#include "lua_task.hpp"
#include "object.hpp"
#include "protect.hpp"
#include "protect_handlers.hpp"
#include "region.hpp"
#include "vm.hpp"

namespace perilune::protect {

namespace {

// A killed task is unwound again when it has run so many instructions since, so each closer has that much; after so many
// times at its next line, wherever that is.
constexpr int closers_allowance = 100'000;
constexpr std::uint8_t patience = 16;

// A cancellation is in force that is not being unwound already. One that is killed unwinds whatever it does.
bool must_unwind(const lua_task& task) noexcept {
  if (!task.cancel_pending()) return false;
  if (task.top->has(cancel_node::killed)) return true;
  std::uint32_t before = 0;
  if (task.regions && task.top != &task)
    before = static_cast<const region*>(static_cast<scope_node*>(task.top))->outer_depth;
  return task.depth == before;
}

[[noreturn]] void unwind(lua_State* L, lua_task& task) {
  if (task.top->has(cancel_node::killed)) {
    const bool patient = task.kill_strikes < patience;
    if (patient) ++task.kill_strikes;
    lua_sethook(L, on_overstay, patient ? LUA_MASKCOUNT : LUA_MASKLINE, closers_allowance);
  }
  raise_cancellation(L, task);
}

duration spent(const vm& v) noexcept { return v.watch ? std::max(v.watch->spent(), v.fuel_spent) : v.fuel_spent; }
duration limit_of_hold(const vm& v) noexcept { return v.options().preempt.hold; }

// Nothing else runs on the worker until the task ends, so it is ended; it is killed when it held on all the same.
void end_holder(vm& v, lua_task& task, const char* where, const char* place) noexcept {
  const bool again = task.has(cancel_node::cancelled);
  char text[224];
  std::snprintf(text, sizeof text, "held the worker in %s, %s", where, *place ? place : "?");
  try {
    auto reason = reason_ptr::make(cancel_source::watchdog, text, 0, "watchdog");
    if (again)
      kill(task, std::move(reason));
    else
      cancel(task, std::move(reason));
    v.holder_told = true;
    v.report("warning: " + label_of(task) + " " + text + "; " + (again ? "killed" : "cancelled"));
  } catch (const std::bad_alloc&) {
    // It is tried again at the next signal.
  }
}

// A slice of time is a stretch of fuel.
void use_fuel(vm& v, const lua_task& task, std::uint64_t units) noexcept {
  const preemption& rules = v.options().preempt;
  if (rules.how == preemption::mode::fuel)
    v.fuel_spent += duration(static_cast<std::int64_t>(static_cast<double>(rules.slice.count()) *
                                                       static_cast<double>(units) / static_cast<double>(rules.fuel)));
  if (task.run) task.run->use_fuel(units, task);
}

void hold_on(lua_State* L, vm& v, lua_task& task) {
  task.top->expire_overdue(static_cast<std::uint64_t>(v.host_runtime().time().now().count()));
  if (must_unwind(task)) unwind(L, task);
  if (spent(v) < limit_of_hold(v) * (task.has(cancel_node::cancelled) ? 2 : 1)) return;
  char place[96];
  task.write_where(place, sizeof place);
  push_boundary(L, task);
  end_holder(v, task, lua_tostring(L, -1), place);
  lua_pop(L, 1);
  if (must_unwind(task)) unwind(L, task);
}

}  // namespace

void on_overstay(lua_State* L, lua_Debug*) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  rearm_fuel(L, v);
  if (!v.in_task() || L != task.innermost) return;
  if (must_unwind(task)) unwind(L, task);
  if (!suspendable(L, task)) return hold_on(L, v, task);
  task.leaf = L;
  task.incoming = 0;
  task.preempted = true;
  v.suspending = true;
  v.tasks().preempt(task);
  lua_yield(L, 0);
}

void on_fuel(lua_State* L, lua_Debug*) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  use_fuel(v, task, v.fuel_portion);
  if (v.in_task() && L == task.innermost && task.run && *task.run->exceeded() && must_unwind(task)) unwind(L, task);
  if (v.fuel_spent >= v.options().preempt.slice) lua_sethook(L, on_overstay, LUA_MASKLINE, 0);
}

void charge(lua_State* L, std::uint64_t steps) {
  // From one look at the clock to the next, whichever tasks of the worker they are of.
  constexpr std::uint64_t portion = 4096;
  static thread_local std::uint64_t unseen = 0;
  vm& v = vm_of(L);
  if (!v.in_task()) return;
  lua_task& task = v.running();
  use_fuel(v, task, steps);
  const bool used_up = task.run && *task.run->exceeded();
  if ((unseen += steps) < portion && !used_up) return;
  unseen = 0;
  hold_on(L, v, task);
}

void charge_depth(lua_State* L) {
  constexpr int shallow = 1000;
  constexpr int deepest = 1'000'000;
  lua_Debug frame;
  int depth = shallow;
  if (!lua_getstack(L, depth, &frame)) return;
  while (depth < deepest && lua_getstack(L, depth * 2, &frame)) depth *= 2;
  charge(L, static_cast<std::uint64_t>(depth));
}

void rearm_fuel(lua_State* L, const vm& v) noexcept {
  const preemption& rules = v.options().preempt;
  if (rules.how == preemption::mode::fuel)
    lua_sethook(L, on_fuel, LUA_MASKCOUNT, static_cast<int>(std::min<std::uint64_t>(v.fuel_portion, INT_MAX)));
  else
    lua_sethook(L, nullptr, 0, 0);
}

void resume_preempted(lua_task& task) noexcept {
  task.preempted = false;
  // Who asks gets one more slice to end by itself.
  if (task.asks && !task.top->has(cancel_node::killed)) return;
  if (task.cancel_pending()) lua_sethook(task.leaf, on_overstay, LUA_MASKLINE, 0);
}

void report_long_turn(vm& v, const lua_task& task) noexcept {
  const duration held = v.watch->take_held();
  const running_c_function in = std::exchange(v.watch->c_function, {});
  if (std::exchange(v.holder_told, false)) return;
  try {
    char time[32];
    std::snprintf(time, sizeof time, "%.1f s", to_seconds(held));
    std::string text = "warning: " + label_of(task) + " held the worker for " + time;
    if (*in.name) text += std::string(" in ") + in.name;
    const std::string place = *in.place ? in.place : task.where();
    if (!place.empty()) text += (*in.name ? ", " : " before ") + place;
    v.report(text);
  } catch (...) {
    std::fputs("perilune: warning: a task held the worker for long\n", stderr);
  }
}

}  // namespace perilune::protect
