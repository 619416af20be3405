// Running a region's body under protection and ending the region. See region.hpp.
#include <utility>

#include "object.hpp"
#include "protect_handlers.hpp"
#include "region.hpp"

namespace perilune::protect {

namespace {

int region_drained(lua_State* L, int, lua_KContext) {
  vm& v = vm_of(L);
  region& r = object_at<region>(L, 1);
  lua_task& task = v.running();
  task.become(wait_state::idle);
  if (r.child_tasks && (r.nursery || !r.body_ok) && v.tasks().park_until_drained(task, r)) {
    task.leaf = L;
    task.incoming = 0;
    v.suspending = true;
    return lua_yieldk(L, 0, 0, region_drained);
  }
  r.closed = true;
  r.cut = r.cut || (r.body_ok && r.has(cancel_node::cancelled) && &task.cancel_target() == &r);
  r.bond.release();
  r.leave();
  --task.regions;
  reply end = 0;
  try {
    if (!r.passing) end = r.conclude(L, v, r);
  } catch (...) {
    end = keep_exception(v);
  }
  r.reason = {};  // the region itself stays until it is collected, which takes memory to be told
  return r.passing ? pass_unwinding(L, task) : conclude(L, v, end);
}

// The body was unwound: by a cancellation aimed at this region, which ends here, or at one further out.
void note_unwinding(vm& v, lua_task& task, region& r) noexcept {
  task.depth = r.outer_depth;
  if (r.has(cancel_node::cancelled) && &task.cancel_target() == &r) {
    r.cut = true;
  } else if (r.cancel_node::parent->has(cancel_node::cancelled) || v.exiting) {
    r.passing = true;
    ++task.depth;
  }
}

int region_done(lua_State* L, int status, lua_KContext) {
  vm& v = vm_of(L);
  region& r = object_at<region>(L, 1);
  lua_task& task = v.running();
  task.guard = r.outer_guard;
  r.body_ok = status == LUA_OK || status == LUA_YIELD;
  r.failed_before_body = r.failed_members;
  if (!r.body_ok) {
    if (status == LUA_ERRMEM) note_exhaustion(L, task);
    if (task.depth > r.outer_depth) note_unwinding(v, task, r);
    cancel(r, reason_ptr::make(cancel_source::scope, {}, task.id, "scope"));
  }
  if (r.nursery)
    r.release_strangers();
  else
    r.clear_deadline();
  return region_drained(L, LUA_OK, 0);
}

}  // namespace

int run_region(lua_State* L, vm& v) {
  check_depth(L);
  region& r = object_at<region>(L, 1);
  lua_task& task = v.running();
  r.outer_depth = task.depth;
  r.outer_guard = task.guard;
  r.outer_suppressed = task.suppressed;
  task.guard = task.depth;
  ++task.regions;
  r.enter(task, r.shield);
  if (r.limited) r.set_deadline(r.deadline_ns);
  if (token_state* token = std::exchange(r.bind_to, nullptr)) {
    r.bond.bind(*token, r);
    token->release();
  }
  const int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, region_done);
  return region_done(L, status, 0);
}

}  // namespace perilune::protect
