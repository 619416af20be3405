// peri.scope: nurseries. See lua-api: Groups.
//
// The members of a scope hang below its region and are kept in a list, so that their failures can be told when the scope
// concludes; the list is swept as it grows, so that a scope that spawns for ever stays small. User value 2 of the region
// is that list; user value 1 of the scope object is the region.
#include <algorithm>
#include <cstring>

#include "error_object.hpp"
#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "option_table.hpp"
#include "protect_handlers.hpp"
#include "region.hpp"
#include "traceback.hpp"
#include "tree.hpp"

namespace perilune {

namespace {

struct scope_object {
  static constexpr std::uint64_t tag = 0x73636f70'9b52e8c6ULL;
  region* node = nullptr;
};

enum class scope_kind : unsigned char { fail_fast, supervise, any };

struct scope_options {
  scope_kind policy = scope_kind::fail_fast;
  double timeout = -1;
};

reply read_policy(lua_State* L, vm& v, scope_options& options) {
  const char* name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (!std::strcmp(name, "fail_fast")) return options.policy = scope_kind::fail_fast, 0;
  if (!std::strcmp(name, "supervise")) return options.policy = scope_kind::supervise, 0;
  if (!std::strcmp(name, "any")) return options.policy = scope_kind::any, 0;
  return bad_option(L, v, "policy", "scope", "\"fail_fast\", \"supervise\" or \"any\" expected");
}

// Reads the options table at index 1. A reply < 0 refuses.
reply read_options(lua_State* L, vm& v, scope_options& options) {
  constexpr const char* known[] = {"name", "policy", "timeout"};
  if (const reply refused = check_option_names(L, v, 1, "scope", known); refused < 0) return refused;
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    const char* key = lua_tostring(L, -2);
    if (!std::strcmp(key, "policy")) {
      if (const reply refused = read_policy(L, v, options); refused < 0) return refused;
    } else if (!std::strcmp(key, "timeout")) {
      if (lua_type(L, -1) != LUA_TNUMBER || !(lua_tonumber(L, -1) >= 0))
        return bad_option(L, v, "timeout", "scope", "seconds expected");
      options.timeout = lua_tonumber(L, -1);
    } else if (lua_type(L, -1) != LUA_TSTRING) {
      return bad_option(L, v, "name", "scope", "a string expected");
    }
  }
  return 0;
}

// Pushes the error object of a failed value: itself when it is one, else a new one of kind "error".
void push_as_error(lua_State* L, vm& v, int value) {
  value = lua_absindex(L, value);
  if (to_object<error_object>(L, value)) return lua_pushvalue(L, value);
  error_object::push_new(L, v, error_kind::error, false);
  lua_pushvalue(L, value);
  lua_setiuservalue(L, -2, error_object::value);
  v.push_handle(L, v.running().slot);
  lua_setiuservalue(L, -2, error_object::handle);
  v.push_handle(L, v.running().slot);
  if (v.running().has_extras) {
    lua_task::push_extras(L, lua_gettop(L));
    lua_getfield(L, -1, "trace");
    error_object::set_field(L, -4, "traceback");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

void append(lua_State* L, int list) { lua_rawseti(L, list, static_cast<lua_Integer>(lua_rawlen(L, list)) + 1); }

// Calls `visit` for every member in the list, whose handle is on top then.
template <class F>
void for_each_member(lua_State* L, int members, F visit) {
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, members));
  const int top = lua_gettop(L);
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, members, i);
    if (lua_task* task = to_object<lua_task>(L, -1)) visit(*task);
    lua_settop(L, top);
  }
}

// Pushes a list of the members' error objects in the order in which they failed; what closers of cancelled members raised
// goes to the list at `suppressed`. With `any`, where one had to return, a member that was cancelled has failed as well.
void push_failures(lua_State* L, int members, int suppressed, bool any) {
  lua_newtable(L);
  const int list = lua_gettop(L);
  lua_newtable(L);
  lua_Integer highest = 0;
  for_each_member(L, members, [&](lua_task& task) {
    const bool counts = task.status == task_state::failed || (any && task.status == task_state::cancelled);
    if (!counts || task.place == 0) return;
    task.push_outcome(L, lua_gettop(L));
    if (object_at<error_object>(L, -1).during_cancel) return append(L, suppressed);
    const auto order = static_cast<lua_Integer>(task.place);
    lua_rawseti(L, list + 1, order);
    highest = std::max(highest, order);
  });
  for (lua_Integer i = 1; i <= highest; ++i) {
    if (lua_rawgeti(L, list + 1, i) == LUA_TNIL)
      lua_pop(L, 1);
    else
      append(L, list);
  }
  lua_settop(L, list);
}

// Raises the group error whose list of errors is on top, with the list of suppressed ones at `suppressed`.
reply raise_group(lua_State* L, vm& v, int suppressed) {
  const int list = lua_gettop(L);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, list));
  error_object::push_new(L, v, error_kind::group, false);
  lua_rawgeti(L, list, 1);
  error_object::push_brief(L, -1);
  const char* first = lua_tostring(L, -1);
  if (count == 1)
    lua_pushfstring(L, "one task of the scope failed: %s", first);
  else
    lua_pushfstring(L, "%I tasks of the scope failed; the first: %s", count, first);
  error_object::set_field(L, list + 1, "message");
  lua_settop(L, list + 1);
  lua_pushvalue(L, list);
  error_object::set_field(L, list + 1, "errors");
  if (lua_rawlen(L, suppressed)) {
    lua_pushvalue(L, suppressed);
    error_object::set_field(L, list + 1, "suppressed");
  }
  push_script_traceback(L, nullptr, 1);
  error_object::set_field(L, list + 1, "traceback");
  return action::raise_top;
}

// Adds the body's own error at stack index 3 to the list on top, in its place: last, or first when nothing failed before.
void add_body_error(lua_State* L, vm& v, const region& r) {
  const int list = lua_gettop(L);
  push_as_error(L, v, 3);
  const auto position = static_cast<lua_Integer>(std::min<std::size_t>(r.failed_before_body, lua_rawlen(L, list))) + 1;
  for (auto i = static_cast<lua_Integer>(lua_rawlen(L, list)); i >= position; --i) {
    lua_rawgeti(L, list, i);
    lua_rawseti(L, list, i + 1);
  }
  lua_rawseti(L, list, position);
}

// Pushes the results of the member that won under policy "any". The failures of the others have been looked at.
reply push_winner(lua_State* L, int members, std::uint32_t winner) {
  const int place = lua_gettop(L) + 1;
  lua_pushnil(L);
  for_each_member(L, members, [&](lua_task& task) {
    if (task.place == winner) return lua_copy(L, -1, place);
    if (!task.has_error()) return;
    lua_getiuservalue(L, -1, 1);
    if (error_object& e = object_at<error_object>(L, -1); !e.during_cancel) e.observe();
  });
  return object_at<lua_task>(L, place).push_outcome(L, place) - 1;
}

// Raises the timeout of the scope; what else went wrong is suppressed by it.
reply raise_timeout(lua_State* L, region& r, int list, int suppressed) {
  static_cast<void>(r.raise_timeout(L, "timed out"));
  const int object = lua_gettop(L);
  for (const int errors : {list, suppressed}) {
    if (lua_rawlen(L, errors) == 0) continue;
    lua_pushvalue(L, errors);
    protect::add_suppressed(L, object);
  }
  return action::raise_top;
}

// Pushes the list of what the scope failed of, and below it the list of what closers raised. The stack is that of
// conclude_scope, with the members on top.
void push_errors(lua_State* L, vm& v, region& r, bool body_failed) {
  const int members = lua_gettop(L);
  lua_newtable(L);
  const int suppressed = members + 1;
  if (r.cancel_on_failure || r.cancel_on_success)
    push_failures(L, members, suppressed, r.cancel_on_success && !r.cut && !body_failed);
  else
    lua_newtable(L);
  if (body_failed) add_body_error(L, v, r);
  r.push_suppressed(L);
  if (lua_istable(L, -1)) {
    protect::push_failure_of_closers(L, v.running());
    append(L, suppressed);
  }
  lua_settop(L, suppressed + 1);
}

// The stack is [region, handler, results... or error].
reply conclude_scope(lua_State* L, vm& v, region& r) {
  const int last = lua_gettop(L);
  const bool body_failed = !r.body_ok && !r.cut;
  if (v.running().cancel_pending() && !body_failed) return action::raise_cancel;
  lua_getiuservalue(L, 1, 2);
  const int members = last + 1;
  if (r.cancel_on_success && r.winner) return push_winner(L, members, r.winner);
  push_errors(L, v, r, body_failed);
  const int suppressed = members + 1;
  const int list = members + 2;
  if (r.was_timed_out() && !body_failed) return raise_timeout(L, r, list, suppressed);
  if (lua_rawlen(L, list)) return raise_group(L, v, suppressed);
  if (lua_rawlen(L, suppressed)) {
    lua_pushvalue(L, suppressed);
    return raise_group(L, v, list);
  }
  if (r.cancel_on_success && !r.cut) return raise_text(v, "a scope with policy \"any\" has no child");
  if (r.cut) {
    lua_pushnil(L);
    lua_pushliteral(L, "cancelled");
    return 2;
  }
  lua_settop(L, last);
  return last - 2;
}

reply scope_body(lua_State* L, vm& v) {
  scope_options options;
  int function = 1;
  if (lua_istable(L, 1) && lua_gettop(L) >= 2 && !is_callable(L, 1)) {
    if (const reply refused = read_options(L, v, options); refused < 0) return refused;
    function = 2;
  }
  if (!is_callable(L, function)) return bad_argument(v, function, "a function expected", L);
  if (!v.in_task()) return action::raise_unsuspendable;
  if (v.running().cancel_pending()) return action::raise_cancel;
  lua_settop(L, function);
  auto& scope = push_object<scope_object>(L, type_name::scope, 1);
  lua_newtable(L);
  lua_insert(L, function);
  region& r = region::prepare(L, v, 2, conclude_scope);
  lua_getiuservalue(L, 1, 2);
  lua_pop(L, 1);
  lua_newtable(L);
  lua_setiuservalue(L, 1, 2);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 4, 1);
  scope.node = &r;
  r.set(cancel_node::observes);
  r.nursery = true;
  r.cancel_on_failure = options.policy == scope_kind::fail_fast;
  r.cancel_on_success = options.policy == scope_kind::any;
  r.limited = options.timeout >= 0;
  if (r.limited)
    r.deadline_ns = static_cast<std::uint64_t>(
        saturating_add(v.host_runtime().time().now(), from_seconds(options.timeout)).count());
  return action::run_region;
}

// The scope object.

scope_object* check_scope(lua_State* L) noexcept { return to_object<scope_object>(L, 1); }
reply wrong_scope(lua_State* L, vm& v) { return bad_argument(v, 1, "a scope expected: call it with ':'", L); }

// Drops members that have ended without a failure, now and then.
void sweep_members(lua_State* L, int members, std::size_t live, std::uint32_t winner) {
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, members));
  if (static_cast<std::size_t>(count) < 2 * live + 32) return;
  lua_Integer kept = 0;
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, members, i);
    const lua_task* task = to_object<lua_task>(L, -1);
    if (task && (!task->settled() || task->status != task_state::returned || (winner && task->place == winner)))
      lua_rawseti(L, members, ++kept);
    else
      lua_pop(L, 1);
  }
  for (lua_Integer i = kept + 1; i <= count; ++i) {
    lua_pushnil(L);
    lua_rawseti(L, members, i);
  }
}

reply spawn_member(lua_State* L, vm& v) {
  scope_object* scope = check_scope(L);
  if (!scope) return wrong_scope(L, v);
  region* r = scope->node;
  if (!r || r->closed || !r->entered()) return raise_text(v, "scope closed: nothing can be spawned into it any more");
  spawn_request request;
  if (const reply refused = read_spawn_arguments(L, v, 2, request); refused < 0) return refused;
  if (request.options.detached)
    return raise_text(v, "bad option 'detached' to 'spawn' (a scope waits for its tasks; use peri.spawn)");
  request.options.below = r;
  request.options.member = true;
  lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, -1, 2);
  lua_replace(L, 1);
  lua_pop(L, 1);
  sweep_members(L, 1, r->child_tasks, r->winner);
  const int arguments = lua_gettop(L) - request.function;
  const auto next = static_cast<lua_Integer>(lua_rawlen(L, 1)) + 1;
  lua_pushboolean(L, 0);
  lua_rawseti(L, 1, next);
  spawn_function(L, v, arguments, request.options, request.kept);
  lua_pushvalue(L, -1);
  lua_rawseti(L, 1, next);
  return 1;
}

reply cancel_scope(lua_State* L, vm& v) {
  scope_object* scope = check_scope(L);
  if (!scope) return wrong_scope(L, v);
  if (!lua_isnoneornil(L, 2) && !lua_isstring(L, 2)) return bad_argument(v, 2, "reason must be a string", L);
  if (!scope->node || !scope->node->entered()) return 0;
  const char* text = lua_isnoneornil(L, 2) ? "" : lua_tostring(L, 2);
  cancel(*scope->node, asked_by_running_task(v, text));
  return 0;
}

reply scope_tasks(lua_State* L, vm& v) {
  scope_object* scope = check_scope(L);
  if (!scope) return wrong_scope(L, v);
  lua_newtable(L);
  if (!scope->node || !scope->node->entered()) return 1;
  lua_Integer count = 0;
  for_each_child(*scope->node, [&](task_header& child) {
    const lua_task* script = to_lua_task(child, v);
    if (!script) return;
    v.push_handle(L, script->slot);
    lua_rawseti(L, -2, ++count);
  });
  return 1;
}

}  // namespace

void open_scopes(lua_State* L) {
  constexpr library_function functions[] = {{"scope", protect::native<scope_body>}};
  set_functions(L, functions);
}

void define_scope(lua_State* L) {
  constexpr library_function methods[] = {
      {"spawn", protect::native<spawn_member>},
      {"cancel", protect::native<cancel_scope>},
      {"tasks", protect::native<scope_tasks>},
  };
  define_type(L, type_name::scope, "perilune.scope", methods, {});
}

}  // namespace perilune
