// Waiting for a call of the engine's fs. See fs_call.hpp.
#include "fs_call.hpp"

namespace perilune {

namespace {

reply fs_call_ended(lua_State* L, vm& v) {
  fs_wait& wait = *object_at<fs_call>(L, 1).wait;
  return wait.settle(v) ? wait.push(L) : action::raise_problem;
}

reply collect_call(lua_State* L, vm&) {
  object_at<fs_call>(L, 1).~fs_call();
  return 0;
}

}  // namespace

reply begin_fs_call(lua_State* L, vm& v) {
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (!protect::suspendable(L, v.running())) return action::raise_unsuspendable;
  push_object<fs_call>(L, type_name::file_call, 0);
  lua_insert(L, 1);
  return 0;
}

reply await_fs_call(lua_State* L, vm& v) { return wait_for(L, v, object_at<fs_call>(L, 1).wait->op(), fs_call_ended); }

void define_fs_call(lua_State* L) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_call>}};
  define_type(L, type_name::file_call, "perilune.fs_call", {}, metamethods);
}

}  // namespace perilune
