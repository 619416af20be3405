// Operations, peri.select, peri.try_select and peri.perform. See lua-api: Select.
//
// Plain operations are handled here; wrapped and chosen ones are flattened by the shipped module perilune.composite,
// which calls back with plain ones.
#include <cstdlib>
#include <utility>

#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "option_table.hpp"
#include "shipped_chunk.hpp"

namespace perilune {

reply read_seconds(lua_State* L, vm& v, int argument, double& seconds) {
  if (lua_type(L, argument) != LUA_TNUMBER) return bad_argument(v, argument, "seconds must be a number", L);
  seconds = lua_tonumber(L, argument);
  if (seconds != seconds) return bad_argument(v, argument, "seconds must not be NaN", L);
  return 0;
}

lua_operation& push_operation(lua_State* L, const operation_kind& kind, int resource, bool with_value) {
  auto& op = push_object<lua_operation>(L, type_name::operation, 2, lua_operation{&kind});
  if (resource) {
    if (lua_type(L, resource) == LUA_TUSERDATA) op.resource = &object_at<char>(L, resource);
    lua_pushvalue(L, resource);
    lua_setiuservalue(L, -2, 1);
  }
  if (with_value) {
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, 2);
    lua_remove(L, -2);
  }
  return op;
}

namespace {

// Composite operations: known here by their kind only.
struct composite_kind final : operation_kind {
  explicit constexpr composite_kind(const char* n) : name_(n) {}
  const char* name() const noexcept override { return name_; }
  int attempt(lua_State*, vm&, int) const override { return not_ready; }
  operation& arm_target(lua_State*, vm&, int, waiter&) const override { std::abort(); }
  bool composite() const noexcept override { return true; }

 private:
  const char* name_;
};
constexpr composite_kind wrap_kind{"wrap"};
constexpr composite_kind choose_kind{"choose"};

// One gathered arm of the select that is being set up.
struct gathered {
  lua_operation* op;
  int op_at;
  int key_at;  // 0: key is the integer
  lua_Integer key;
};

constexpr std::size_t small_select = 16;
constexpr reply too_many = INT_MIN + 1;  // the table has more entries than there is room for

// Pushes resource and value of an operation; returns where they stand.
int push_parts(lua_State* L, const gathered& arm) {
  lua_getiuservalue(L, arm.op_at, 1);
  lua_getiuservalue(L, arm.op_at, 2);
  return lua_gettop(L) - 1;
}

struct select_setup {
  gathered* arms;
  std::size_t count = 0;
  std::size_t capacity;
  bool composite = false;
};

// The value on top of the stack is no operation.
reply refuse_arm(lua_State* L, vm& v) {
  v.message = "operations expected, got ";
  v.message += luaL_typename(L, -1);
  v.argument = 1;
  return action::raise_argument;
}

reply add_arm(lua_State* L, vm& v, select_setup& setup, int key_at, lua_Integer key) {
  if (setup.count == setup.capacity) return too_many;
  lua_operation* op = to_object<lua_operation>(L, -1);
  if (!op) return refuse_arm(L, v);
  setup.composite = setup.composite || op->kind->composite();
  setup.arms[setup.count++] = {op, lua_gettop(L), key_at, key};
  return 0;
}

bool key_before(lua_State* L, int a, int b) {
  const int type_a = lua_type(L, a);
  const int type_b = lua_type(L, b);
  if (type_a != type_b) return type_a < type_b;
  return (type_a == LUA_TSTRING || type_a == LUA_TNUMBER) && lua_compare(L, a, b, LUA_OPLT);
}

// Named arms stand in the order of their names, since the order of a table's keys differs from run to run: the same seed
// makes the same choices.
void sort_by_key(lua_State* L, select_setup& setup) {
  for (std::size_t i = 1; i < setup.count; ++i) {
    const gathered arm = setup.arms[i];
    std::size_t at = i;
    for (; at > 0 && arm.key_at && setup.arms[at - 1].key_at && key_before(L, arm.key_at, setup.arms[at - 1].key_at);
         --at)
      setup.arms[at] = setup.arms[at - 1];
    setup.arms[at] = arm;
  }
}

// Gathers the table at index 1: its array part, then other keys.
reply gather(lua_State* L, vm& v, select_setup& setup, bool biased) {
  const auto length = static_cast<lua_Integer>(lua_rawlen(L, 1));
  for (lua_Integer i = 1; i <= length; ++i) {
    if (lua_rawgeti(L, 1, i) == LUA_TNIL) {
      lua_pop(L, 1);
      continue;
    }
    if (const reply refused = add_arm(L, v, setup, 0, i); refused < 0) return refused;
  }
  if (length)
    lua_pushinteger(L, length);
  else
    lua_pushnil(L);
  while (lua_next(L, 1)) {
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= length) {
      lua_pop(L, 1);
      continue;
    }
    if (biased)
      return raise_text(v, "bad argument #1 to 'select' (a biased select takes a list: other keys have no order)");
    if (const reply refused = add_arm(L, v, setup, lua_gettop(L) - 1, 0); refused < 0) return refused;
    lua_pushvalue(L, -2);
  }
  if (setup.count == 0) {
    v.argument = 1;
    v.message = "no operations";
    return action::raise_argument;
  }
  sort_by_key(L, setup);
  return 0;
}

std::size_t count_entries(lua_State* L) {
  std::size_t count = lua_rawlen(L, 1);
  if (count)
    lua_pushinteger(L, static_cast<lua_Integer>(count));
  else
    lua_pushnil(L);
  while (lua_next(L, 1)) {
    ++count;
    lua_pop(L, 1);
  }
  return count;
}

// Puts the key in front of the top `results` values.
reply with_key(lua_State* L, int key_at, lua_Integer key, int results) {
  if (key_at)
    lua_pushvalue(L, key_at);
  else
    lua_pushinteger(L, key);
  lua_insert(L, -(results + 1));
  return results + 1;
}

reply select_granted(lua_State* L, vm& v) {
  auto& block = static_cast<lua_select&>(*v.running().selecting);
  const select_arm arm = block.arms()[block.winner()];
  finish_select(L, v);
  const int results = arm.kind->collect(L, v, arm.at);
  if (results < 0) return results;
  return with_key(L, arm.key_at, arm.key, results);
}

// Visits the arms in a random order unless biased, so that every ready one has the same chance.
reply try_arms(lua_State* L, vm& v, select_setup& setup, bool biased) {
  for (std::size_t n = 0; n < setup.count; ++n) {
    if (!biased) std::swap(setup.arms[n], setup.arms[n + v.tasks().random_below(setup.count - n)]);
    const gathered& arm = setup.arms[n];
    if (!arm.op->kind->maybe_ready(arm.op->resource)) continue;
    const int top = lua_gettop(L);
    const int results = arm.op->kind->attempt(L, v, push_parts(L, arm));
    if (results >= 0) return with_key(L, arm.key_at, arm.key, results);
    if (results != not_ready) return results;
    lua_settop(L, top);
  }
  return not_ready;
}

reply park_on_arms(lua_State* L, vm& v, const select_setup& setup) {
  if (!protect::suspendable(L, v.running())) return action::raise_unsuspendable;
  if (v.building) std::exchange(v.building, nullptr)->give(v);
  lua_select& block = lua_select::take(v, setup.count);
  block.next_free = nullptr;
  v.building = &block;
  for (std::size_t i = 0; i < setup.count; ++i) {
    const gathered& from = setup.arms[i];
    const int at = push_parts(L, from);
    waiter& by = block.waiters()[i];
    by.stamp = static_cast<std::uint32_t>(at);
    by.task = &v.running();
    by.op = &from.op->kind->arm_target(L, v, at, by);
    block.arms()[i] = {from.op->kind, at, from.key_at, from.key};
  }
  v.building = nullptr;
  return wait_in_select(L, v, block, setup.count, select_granted);
}

void push_composite(lua_State* L);

// The whole of select and try_select; `arms` has room for every entry of the table.
reply run_select(lua_State* L, vm& v, gathered* arms, std::size_t capacity, bool biased, bool waits) {
  select_setup setup{arms, 0, capacity};
  if (const reply refused = gather(L, v, setup, biased); refused < 0) return refused;
  if (setup.composite) {
    lua_settop(L, 2);
    lua_pushboolean(L, waits);
    push_composite(L);
    lua_insert(L, 1);
    return action::call_plain;
  }
  const reply committed = try_arms(L, v, setup, biased);
  if (committed != not_ready) return committed;
  if (!waits) return lua_pushnil(L), 1;
  return park_on_arms(L, v, setup);
}

template <bool Waits>
reply select_body(lua_State* L, vm& v) {
  if (!lua_istable(L, 1)) return bad_argument(v, 1, "a table of operations expected", L);
  if (Waits && v.running().cancel_pending()) return action::raise_cancel;
  lua_settop(L, 2);
  bool biased = false;
  if (lua_istable(L, 2)) {
    constexpr const char* known[] = {"biased"};
    if (const reply refused = check_option_names(L, v, 2, Waits ? "select" : "try_select", known); refused < 0)
      return refused;
    lua_getfield(L, 2, "biased");
    biased = lua_toboolean(L, -1) != 0;
    lua_settop(L, 2);
  } else if (!lua_isnil(L, 2)) {
    return bad_argument(v, 2, "a table of options expected", L);
  }
  if (Waits && !spend(v)) return yield_and_retry(L, v, select_body<Waits>);
  if (!lua_checkstack(L, 4 * static_cast<int>(small_select) + 16)) return raise_text(v, "stack overflow in select");
  gathered few[small_select];
  if (const reply done = run_select(L, v, few, small_select, biased, Waits); done != too_many) return done;
  lua_settop(L, 2);
  const std::size_t count = count_entries(L);
  if (!lua_checkstack(L, static_cast<int>(count) * 4 + 16)) return raise_text(v, "too many operations to select");
  auto* arms = static_cast<gathered*>(lua_newuserdatauv(L, count * sizeof(gathered), 0));
  return run_select(L, v, arms, count, biased, Waits);
}

reply perform_granted(lua_State* L, vm& v) {
  const reply results = select_granted(L, v);
  return results > 0 ? results - 1 : results;
}

reply perform_body(lua_State* L, vm& v) {
  lua_operation* op = to_object<lua_operation>(L, 1);
  if (!op) return bad_argument(v, 1, "an operation expected", L);
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (!spend(v)) return yield_and_retry(L, v, perform_body);
  lua_settop(L, 1);
  if (op->kind->composite()) {
    push_composite(L);
    lua_insert(L, 1);
    return action::call_plain;
  }
  gathered arm{op, 1, 0, 1};
  const int results = op->kind->attempt(L, v, push_parts(L, arm));
  if (results != not_ready) return results;
  lua_settop(L, 1);
  select_setup setup{&arm, 1, 1};
  const reply parked = park_on_arms(L, v, setup);
  if (parked == action::suspend) v.continuation = perform_granted;
  return parked;
}

reply wrap_body(lua_State* L, vm& v) {
  if (!to_object<lua_operation>(L, 1)) return bad_argument(v, 1, "an operation expected", L);
  if (!is_callable(L, 2)) return bad_argument(v, 2, "a function expected", L);
  lua_settop(L, 2);
  push_operation(L, wrap_kind, 1, true);
  return 1;
}

reply choose_body(lua_State* L, vm& v) {
  if (!lua_istable(L, 1)) return bad_argument(v, 1, "a table of operations expected", L);
  lua_settop(L, 1);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1))
    if (!to_object<lua_operation>(L, -1)) return refuse_arm(L, v);
  lua_pushvalue(L, 1);
  push_operation(L, choose_kind, 1, true);
  return 1;
}

// For perilune.composite: kind ("wrap", "choose", "plain"), inner operation or table, function.
reply parts_body(lua_State* L, vm& v) {
  lua_operation* op = to_object<lua_operation>(L, 1);
  if (!op) return bad_argument(v, 1, "an operation expected", L);
  lua_pushstring(L, op->kind->composite() ? op->kind->name() : "plain");
  lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, 1, 2);
  return 3;
}

// Calls back with plain operations only.
void push_composite(lua_State* L) {
  constexpr lua_CFunction functions[] = {protect::native<parts_body>, protect::native<select_body<true>>,
                                         protect::native<select_body<false>>};
  push_shipped_entry(L, registry_slot::composite, "perilune.composite", functions);
}

reply print_operation(lua_State* L, vm& v) {
  const lua_operation* op = to_object<lua_operation>(L, 1);
  if (!op) return bad_argument(v, 1, "an operation expected", L);
  lua_pushfstring(L, "operation: %s", op->kind->name());
  return 1;
}

}  // namespace

void open_operations(lua_State* L) {
  constexpr library_function functions[] = {
      {"select", protect::native<select_body<true>>},
      {"try_select", protect::native<select_body<false>>},
      {"perform", protect::native<perform_body>},
      {"choose", protect::native<choose_body>},
  };
  set_functions(L, functions);
  lua_pushcfunction(L, protect::native<parts_body>);
  lua_setfield(L, -2, "operation_parts_");
}

void define_operation(lua_State* L) {
  constexpr library_function methods[] = {{"wrap", protect::native<wrap_body>}};
  constexpr library_function metamethods[] = {{"__tostring", protect::native<print_operation>}};
  define_type(L, type_name::operation, "perilune.operation", methods, metamethods);
}

}  // namespace perilune
