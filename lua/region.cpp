// Regions of a Lua task. See region.hpp; the protected call itself is in protect.cpp.
#include "region.hpp"

#include "error_object.hpp"
#include "library.hpp"
#include "lua_task.hpp"
#include "object.hpp"
#include "protect_handlers.hpp"

namespace perilune {

region& region::prepare(lua_State* L, vm& v, int arguments, conclude_function conclude) {
  auto& made = push_object<region>(L, type_name::region, user_values);
  made.host = &v;
  made.conclude = conclude;
  const int below = lua_gettop(L) - arguments;
  lua_insert(L, below);
  lua_pushcfunction(L, protect::on_boundary_error);
  lua_insert(L, below + 1);
  for (int i = 1; i < below; ++i) lua_remove(L, 1);
  return made;
}

void region::child_settled(task_header& child) noexcept {
  if (!child.is(task_header::trait::member)) return;
  static_cast<lua_task&>(child).place = ++settled_members;
  if (child.status == task_state::failed) ++failed_members;
  if (cancel_on_failure && child.status == task_state::failed)
    cancel(*this, reason_ptr::make(cancel_source::scope, "a member failed", child.id, "scope"));
  if (cancel_on_success && child.status == task_state::returned && !winner) {
    winner = settled_members;
    cancel(*this, reason_ptr::make(cancel_source::scope, "another member won", child.id, "scope"));
  }
}

void region::release_strangers() noexcept {
  for (cancel_node* node = children.front(); node;) {
    cancel_node* following = children.after(*node);
    if (!node->has(is_task) || !node->owner().is(task_header::trait::member)) {
      node->detach();
      node->attach_to(*cancel_node::parent);
    }
    node = following;
  }
}

void region::push_suppressed(lua_State* L) { protect::take_suppressed(L, host->running(), outer_suppressed); }

reply region::raise_timeout(lua_State* L, const char* what) {
  host->problem = {error_kind::timeout, what, 0, {}};
  error_object::push_engine_error(L, *host, host->problem);
  const int object = lua_gettop(L);
  push_suppressed(L);
  if (lua_istable(L, -1)) protect::add_suppressed(L, object);
  lua_settop(L, object);
  return action::raise_top;
}

reply region::raise_suppressed(lua_State* L) {
  push_suppressed(L);
  if (lua_isnil(L, -1)) return lua_pop(L, 1), 0;
  protect::push_failure_of_closers(L, host->running());
  return action::raise_top;
}

namespace {

// An abandoned coroutine took its region with it: what hangs below passes on.
int collect_region(lua_State* L) {
  if (region* r = to_object<region>(L, 1)) {
    if (r->entered()) cancel(*r, reason_ptr::make(cancel_source::scope, "its coroutine was abandoned", 0, "scope"));
    r->~region();
  }
  return 0;
}

}  // namespace

void region::open(lua_State* L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, collect_region);
  lua_setfield(L, -2, "__gc");
  keep_type(L, type_name::region);
}

}  // namespace perilune
