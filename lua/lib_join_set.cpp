// peri.join_set: tasks joined in the order in which they end. See lua-api: Groups.
//
// The rules are the engine's join_set_core; this keeps the members' handles. User value 1 of a set is the list of handles,
// where each member knows its place; user value 2 finds the newest member of a key, user value 3 the one that a member waits
// for before it starts in its place, both weakly.
#include <perilune/join_set.hpp>

#include "library.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "option_table.hpp"

namespace perilune {

namespace {

struct lua_join_set final : join_set_core {
  static constexpr std::uint64_t tag = 0x6a6f696e'd2a94b17ULL;
  static constexpr int user_values = 3;
  enum user_value : int { members = 1, keys, replaced };
};

lua_join_set* check_set(lua_State* L) noexcept { return to_object<lua_join_set>(L, 1); }
reply wrong_set(lua_State* L, vm& v) { return bad_argument(v, 1, "a join set expected: call it with ':'", L); }

// The set at index 1 is used by its owner, or has none any more. A reply < 0 refuses.
reply check_owned(lua_State* L, vm& v) {
  const lua_join_set* set = check_set(L);
  if (!set) return wrong_set(L, v);
  if (!set->entered() || set->owner_task() == &v.running()) return 0;
  return raise_text(v,
                    "the join set belongs to " + label_of(*set->owner_task()) + ", which alone can join and close it");
}

// Takes the next member that has ended; pushes its handle and outcome. 0 when there is none.
int take_next(lua_State* L, int at) {
  task_header* ended = object_at<lua_join_set>(L, at).take_ended();
  if (!ended) return 0;
  auto& member = static_cast<lua_task&>(*ended);
  lua_getiuservalue(L, at, lua_join_set::members);
  lua_rawgeti(L, -1, member.place);
  luaL_unref(L, -2, static_cast<int>(member.place));
  lua_remove(L, -2);
  return 1 + member.push_outcome(L, lua_gettop(L));
}

int push_nothing(lua_State* L) {
  lua_pushnil(L);
  return 1;
}

struct join_next_kind final : operation_kind {
  const char* name() const noexcept override { return "join_next"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    auto& set = object_at<lua_join_set>(L, at);
    if (set.entered() && set.owner_task() != &v.running())
      return raise_text(v, "the join set belongs to " + label_of(*set.owner_task()) + ", which alone can join it");
    return set.try_commit(v.running()) ? collect(L, v, at) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override { return object_at<lua_join_set>(L, at); }
  int collect(lua_State* L, vm&, int at) const override {
    const int results = take_next(L, at);
    return results ? results : push_nothing(L);
  }
};
constexpr join_next_kind join_next_verb;

reply join_next_body(lua_State* L, vm& v) {
  if (!check_set(L)) return wrong_set(L, v);
  lua_settop(L, 1);
  return perform<join_next_verb>(L, v, join_next_body);
}

reply try_join_next_body(lua_State* L, vm& v) {
  if (const reply refused = check_owned(L, v); refused < 0) return refused;
  const int results = take_next(L, 1);
  return results ? results : push_nothing(L);
}

reply results_body(lua_State* L, vm& v) {
  if (!check_set(L)) return wrong_set(L, v);
  return push_iterator<join_next_body>(L);
}

// Takes everything that has ended: a list of {ok, ..., n = count}.
reply push_all(lua_State* L) {
  lua_newtable(L);
  const int list = lua_gettop(L);
  for (lua_Integer i = 1;; ++i) {
    const int results = take_next(L, 1);
    if (!results) break;
    lua_createtable(L, results - 1, 1);
    lua_replace(L, list + 1);
    for (int k = results - 1; k >= 1; --k) lua_rawseti(L, list + 1, k);
    lua_pushinteger(L, results - 1);
    lua_setfield(L, list + 1, "n");
    lua_rawseti(L, list, i);
  }
  return 1;
}

// Nothing is taken before every member has ended: cancelled meanwhile, the task has lost nothing.
reply join_all_body(lua_State* L, vm& v) {
  if (const reply refused = check_owned(L, v); refused < 0) return refused;
  lua_settop(L, 1);
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (task_header* member = object_at<lua_join_set>(L, 1).first_running())
    return wait_for(L, v, *member, join_all_body);
  return push_all(L);
}

// Spawning.

struct member_request : spawn_request {
  int key = 0;  // stack index of the key, or 0
};

reply read_member(lua_State* L, vm& v, int first, member_request& request) {
  lua_join_set* set = check_set(L);
  if (!set) return wrong_set(L, v);
  if (!set->accepts_members()) return raise_text(v, "join set closed: nothing can be spawned into it any more");
  if (const reply refused = read_spawn_arguments(L, v, first, request); refused < 0) return refused;
  if (request.options.detached || request.options.daemon)
    return raise_text(v, "bad options to 'spawn' (members of a join set are neither detached nor daemons)");
  request.options.below = set;
  return 0;
}

// Spawns the function with its arguments on top as a member, and pushes its handle.
void add_member(lua_State* L, vm& v, member_request& request) {
  lua_getiuservalue(L, 1, lua_join_set::members);
  lua_insert(L, request.function);
  const int list = request.function;
  lua_pushboolean(L, 0);
  const int place = luaL_ref(L, list);
  lua_task& member = spawn_function(L, v, lua_gettop(L) - list - 1, request.options, request.kept);
  member.place = static_cast<std::uint32_t>(place);
  lua_pushvalue(L, -1);
  lua_rawseti(L, list, place);
}

reply spawn_body(lua_State* L, vm& v) {
  member_request request;
  if (const reply refused = read_member(L, v, 2, request); refused < 0) return refused;
  add_member(L, v, request);
  return 1;
}

// The body of a member that replaces another: the one before has been cancelled, and ends first.
reply start_replacement(lua_State* L, vm& v) {
  lua_task& self = v.running();
  self.unmark(task_header::trait::uninterruptible);
  auto& before = object_at<lua_task>(L, 1);
  if (!before.settled()) {
    const reply waits = wait_for(L, v, before, start_replacement);
    if (waits == action::suspend) self.mark(task_header::trait::uninterruptible);
    return waits;
  }
  if (self.cancel_pending()) return action::raise_cancel;
  lua_remove(L, 1);
  return action::call_plain;
}

// Pushes the task that a weak table of the set has for `key`, if it has not ended, or nil.
lua_task* push_found(lua_State* L, int table, int key) {
  lua_getiuservalue(L, 1, table);
  lua_pushvalue(L, key);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  lua_task* found = to_object<lua_task>(L, -1);
  if (found && !found->settled()) return found;
  lua_pop(L, 1);
  lua_pushnil(L);
  return nullptr;
}

// Makes a weak table of the set find the task on top of the stack.
void remember(lua_State* L, int table, int key) {
  const int task = lua_gettop(L);
  lua_getiuservalue(L, 1, table);
  lua_pushvalue(L, key);
  lua_pushvalue(L, task);
  lua_rawset(L, -3);
  lua_settop(L, task);
}

// Cancels the member of the key and pushes the task that has to end before another starts in its place, or nil: itself, or
// when it has not started, the one that it would have waited for.
lua_task* push_replaced(lua_State* L, vm& v, int key) {
  lua_task* before = push_found(L, lua_join_set::keys, key);
  if (!before) return nullptr;
  const bool started = before->is(task_header::trait::started) && !before->is(task_header::trait::uninterruptible);
  cancel(*before, asked_by_running_task(v, "replaced"));
  if (started) return before;
  lua_task* earlier = push_found(L, lua_join_set::replaced, lua_gettop(L));
  if (!earlier) return lua_pop(L, 1), before;
  lua_remove(L, -2);
  return earlier;
}

// Puts what makes a member wait for the task on top in front of its function.
void start_after(lua_State* L, const member_request& request) {
  lua_insert(L, request.function);
  lua_pushcfunction(L, protect::native<start_replacement>);
  lua_insert(L, request.function);
}

reply spawn_keyed_body(lua_State* L, vm& v) {
  member_request request;
  if (!check_set(L)) return wrong_set(L, v);
  const bool unfit =
      lua_isnoneornil(L, 2) || (lua_type(L, 2) == LUA_TNUMBER && lua_tonumber(L, 2) != lua_tonumber(L, 2));
  if (unfit) return bad_argument(v, 2, "a key other than nil and NaN expected", L);
  if (const reply refused = read_member(L, v, 3, request); refused < 0) return refused;
  lua_task* before = push_replaced(L, v, 2);
  if (before)
    start_after(L, request);
  else
    lua_pop(L, 1);
  add_member(L, v, request);
  remember(L, lua_join_set::keys, 2);
  if (!before) return 1;
  v.push_handle(L, before->slot);
  lua_insert(L, -2);
  lua_pushvalue(L, -2);
  remember(L, lua_join_set::replaced, lua_gettop(L) - 1);
  lua_pop(L, 1);
  return 1;
}

// Cancelling and closing.

reply cancel_all_body(lua_State* L, vm& v) {
  lua_join_set* set = check_set(L);
  if (!set) return wrong_set(L, v);
  if (!lua_isnoneornil(L, 2) && !lua_isstring(L, 2)) return bad_argument(v, 2, "reason must be a string", L);
  set->cancel_members(asked_by_running_task(v, lua_isnoneornil(L, 2) ? "" : lua_tostring(L, 2)));
  return 0;
}

// What members that were not taken would have given is dropped; failures among them are reported.
reply members_ended(lua_State* L, vm&) {
  auto& set = object_at<lua_join_set>(L, 1);
  while (set.take_ended()) {
  }
  set.end();
  lua_pushnil(L);
  lua_setiuservalue(L, 1, lua_join_set::members);
  return 0;
}

reply close_body(lua_State* L, vm& v) {
  if (const reply refused = check_owned(L, v); refused < 0) return refused;
  auto& set = object_at<lua_join_set>(L, 1);
  if (!set.entered()) return 0;
  set.shut(asked_by_running_task(v, "its join set was closed"));
  if (set.first_running() && !protect::suspendable(L, v.running())) return action::raise_unsuspendable;
  lua_settop(L, 1);
  if (!v.tasks().park_until_drained(v.running(), set)) return members_ended(L, v);
  v.continuation = members_ended;
  return action::suspend;
}

reply collect_set(lua_State* L, vm&) {
  auto& set = object_at<lua_join_set>(L, 1);
  while (set.take_ended()) {
  }
  set.~lua_join_set();
  return 0;
}

reply length_body(lua_State* L, vm& v) {
  const lua_join_set* set = to_object<lua_join_set>(L, 1);
  if (!set) return wrong_set(L, v);
  lua_pushinteger(L, static_cast<lua_Integer>(set->size()));
  return 1;
}

reply join_set_body(lua_State* L, vm& v) {
  constexpr const char* known[] = {"name"};
  if (!lua_isnoneornil(L, 1)) {
    if (!lua_istable(L, 1)) return bad_argument(v, 1, "a table of options expected", L);
    if (const reply refused = check_option_names(L, v, 1, "join_set", known); refused < 0) return refused;
  }
  if (!v.in_task()) return action::raise_unsuspendable;
  auto& set = push_object<lua_join_set>(L, type_name::join_set, lua_join_set::user_values);
  lua_newtable(L);
  lua_setiuservalue(L, -2, lua_join_set::members);
  for (const int table : {lua_join_set::keys, lua_join_set::replaced}) {
    push_weak_table(L);
    lua_setiuservalue(L, -2, table);
  }
  set.hang_below(v.running());
  return 1;
}

}  // namespace

void open_join_sets(lua_State* L) {
  constexpr library_function functions[] = {{"join_set", protect::native<join_set_body>}};
  set_functions(L, functions);
}

void define_join_set(lua_State* L) {
  constexpr library_function methods[] = {
      {"spawn", protect::native<spawn_body>},
      {"spawn_keyed", protect::native<spawn_keyed_body>},
      {"join_next", protect::native<join_next_body>},
      {"join_next_op", protect::native<make_operation<join_next_verb, lua_join_set>>},
      {"try_join_next", protect::native<try_join_next_body>},
      {"results", protect::native<results_body>},
      {"join_all", protect::native<join_all_body>},
      {"cancel_all", protect::native<cancel_all_body>},
      {"close", protect::native<close_body>},
  };
  constexpr library_function metamethods[] = {{"__len", protect::native<length_body>},
                                              {"__close", protect::native<close_body>},
                                              {"__gc", protect::native<collect_set>}};
  define_type(L, type_name::join_set, "perilune.join_set", methods, metamethods);
}

}  // namespace perilune
