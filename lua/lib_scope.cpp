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
  return raise_text(v, "bad option 'policy' to 'scope' (\"fail_fast\", \"supervise\" or \"any\" expected)");
}

// Reads the options table at index 1. A reply < 0 refuses.
reply read_options(lua_State* L, vm& v, scope_options& options) {
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    const char* key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (!std::strcmp(key, "policy")) {
      if (const reply refused = read_policy(L, v, options); refused < 0) return refused;
    } else if (!std::strcmp(key, "timeout")) {
      if (lua_type(L, -1) != LUA_TNUMBER || !(lua_tonumber(L, -1) >= 0))
        return raise_text(v, "bad option 'timeout' to 'scope' (seconds expected)");
      options.timeout = lua_tonumber(L, -1);
    } else if (std::strcmp(key, "name") != 0) {
      return raise_text(v, std::string("bad option '") + key + "' to 'scope' (known: name, policy, timeout)");
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

// Pushes a list of the members' error objects in the order in which they failed; what closers of cancelled members raised
// goes to the list at `suppressed`. Returns how many failed.
lua_Integer push_failures(lua_State* L, int members, int suppressed) {
  lua_newtable(L);
  const int list = lua_gettop(L);
  lua_newtable(L);
  const int by_order = list + 1;
  lua_Integer highest = 0;
  for (lua_Integer i = 1; lua_rawgeti(L, members, i) == LUA_TUSERDATA; ++i) {
    auto& task = object_at<lua_task>(L, -1);
    if (task.status == task_state::failed) {
      const auto order = static_cast<lua_Integer>(task.settle_order);
      task.push_outcome(L, lua_gettop(L));
      const error_object& e = object_at<error_object>(L, -1);
      if (e.during_cancel) {
        lua_rawseti(L, suppressed, static_cast<lua_Integer>(lua_rawlen(L, suppressed)) + 1);
      } else {
        lua_rawseti(L, by_order, order);
        highest = std::max(highest, order);
      }
    }
    lua_settop(L, by_order);
  }
  lua_settop(L, by_order);
  lua_Integer count = 0;
  for (lua_Integer i = 1; i <= highest; ++i) {
    if (lua_rawgeti(L, by_order, i) == LUA_TNIL)
      lua_pop(L, 1);
    else
      lua_rawseti(L, list, ++count);
  }
  lua_settop(L, list);
  return count;
}

// Raises the group error whose list of errors is on top, with the list of suppressed ones at `suppressed`.
reply raise_group(lua_State* L, vm& v, int suppressed) {
  const int list = lua_gettop(L);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, list));
  error_object::push_new(L, v, error_kind::group, false);
  lua_rawgeti(L, list, 1);
  const char* first = luaL_tolstring(L, -1, nullptr);
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

// Pushes the results of the member that won under policy "any".
reply push_winner(lua_State* L, int members, std::uint32_t winner) {
  for (lua_Integer i = 1; lua_rawgeti(L, members, i) == LUA_TUSERDATA; ++i) {
    auto& task = object_at<lua_task>(L, -1);
    if (task.status == task_state::returned && task.settle_order == winner) {
      const int results = task.push_outcome(L, lua_gettop(L));
      return results - 1;
    }
    lua_pop(L, 1);
  }
  return 0;
}

// The stack is [region, handler, results... or error].
reply conclude_scope(lua_State* L, vm& v, region& r) {
  const int last = lua_gettop(L);
  const bool body_failed = !r.body_ok && !r.cut;
  lua_getiuservalue(L, 1, 2);
  const int members = last + 1;
  if (r.cancel_on_success && r.winner) return push_winner(L, members, r.winner);
  lua_newtable(L);
  const int suppressed = members + 1;
  const bool collects = r.cancel_on_failure || r.cancel_on_success;
  lua_Integer failures = 0;
  if (collects)
    failures = push_failures(L, members, suppressed);
  else
    lua_newtable(L);
  if (body_failed) {
    add_body_error(L, v, r);
    ++failures;
  }
  if (v.running().cancel_pending() && !body_failed) return action::raise_cancel;
  if (r.timed_out() && (r.cut || !r.body_ok)) return raise_error(v, {error_kind::timeout, "timed out", 0, {}});
  if (failures) return raise_group(L, v, suppressed);
  if (r.cancel_on_success) return raise_text(v, "a scope with policy \"any\" has no child");
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
  if (lua_istable(L, 1) && lua_gettop(L) >= 2) {
    if (const reply refused = read_options(L, v, options); refused < 0) return refused;
    function = 2;
  }
  if (!lua_isfunction(L, function)) return bad_argument(v, function, "a function expected", L);
  if (!v.in_task()) return action::raise_unsuspendable;
  if (v.running().cancel_pending()) return action::raise_cancel;
  lua_settop(L, function);
  auto& scope = push_object<scope_object>(L, 1);
  set_type(L, type_name::scope);
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
    const auto& task = object_at<lua_task>(L, -1);
    const bool matters = !task.settled() || task.status == task_state::failed || task.settle_order == winner;
    if (matters)
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
  if (!lua_isfunction(L, 2)) return bad_argument(v, 2, "function expected; pass the function itself, not a call", L);
  lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, -1, 2);
  lua_replace(L, 1);
  lua_pop(L, 1);
  sweep_members(L, 1, r->child_tasks, r->winner);
  const int arguments = lua_gettop(L) - 2;
  const auto next = static_cast<lua_Integer>(lua_rawlen(L, 1)) + 1;
  lua_pushboolean(L, 0);
  lua_rawseti(L, 1, next);
  spawn_function(L, v, arguments, {.below = r, .member = true});
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
  lua_task& asker = v.running();
  cancel(*scope->node, reason_ptr::make(cancel_source::cancel, text, asker.id, asker.name ? asker.name : ""));
  return 0;
}

reply scope_tasks(lua_State* L, vm& v) {
  scope_object* scope = check_scope(L);
  if (!scope) return wrong_scope(L, v);
  lua_newtable(L);
  if (!scope->node || !scope->node->entered()) return 1;
  lua_Integer count = 0;
  for_each_child(*scope->node, [&](task_header& child) {
    const lua_task* script = to_lua_task(child);
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
  constexpr library_function methods[] = {
      {"spawn", protect::native<spawn_member>},
      {"cancel", protect::native<cancel_scope>},
      {"tasks", protect::native<scope_tasks>},
  };
  constexpr library_function metamethods[] = {{"__tostring", nullptr}};
  define_type(L, type_name::scope, "perilune.scope", methods, metamethods);
}

}  // namespace perilune
