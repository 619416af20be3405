// peri.mutex, peri.keyed_mutex, peri.rwlock and peri.once. See lua-api: Synchronisation.
#include "lua_guard.hpp"

namespace perilune {

namespace {

struct lua_mutex {
  static constexpr std::uint64_t tag = 0x6d757478'c41d02e7ULL;
  explicit lua_mutex(const char* resource = "mutex") noexcept : core(resource) {}
  mutex_core core;
};

struct lua_keyed_mutex {
  static constexpr std::uint64_t tag = 0x6b657978'0fa861b9ULL;
};

struct lua_rwlock {
  static constexpr std::uint64_t tag = 0x72776c6b'93e5c7a4ULL;
  rwlock_core core;
};

struct lua_once {
  static constexpr std::uint64_t tag = 0x6f6e6365'e20b4d16ULL;
  enum user_value : int { initializer = 1, results = 2 };
  mutex_core core{"once", "get"};
  int made = -1;  // how many results there are
};

// Calls that are not ready are tried all the same where that raises: the running task holds the lock.
bool held_here(const mutex_core& core) noexcept {
  const task_header* running = scheduler::here() ? scheduler::here()->current() : nullptr;
  return running && core.owned_by(*running);
}

lua_guard& push_mutex_guard(lua_State* L, int at) {
  return push_guard(L, guard_kind::lock, object_at<lua_mutex>(L, at).core, at);
}
bool mutex_ready(const void* resource) noexcept {
  const mutex_core& core = static_cast<const lua_mutex*>(resource)->core;
  return !core.locked() || held_here(core);
}
constexpr guard_operation lock_verb{"lock", push_mutex_guard, mutex_ready};

reply wrong_mutex(lua_State* L, vm& v) { return bad_argument(v, 1, "a mutex expected: call it with ':'", L); }

// The mutex at index 1 is known to be one.
reply lock_here(lua_State* L, vm& v) {
  lua_settop(L, 1);
  push_mutex_guard(L, 1);
  return take_guard<give_guard>(L, v);
}

reply try_lock_here(lua_State* L, vm& v) {
  if (object_at<lua_mutex>(L, 1).core.locked()) return lua_pushnil(L), 1;
  push_mutex_guard(L, 1);
  return try_guard(L, v);
}

// The stack is mutex, function, arguments.
reply with_here(lua_State* L, vm& v) {
  if (!is_callable(L, 2)) return bad_argument(v, 2, "a function expected", L);
  push_mutex_guard(L, 1);
  lua_insert(L, 2);
  return take_guard<call_with_guard>(L, v);
}

template <native_body Here>
reply mutex_body(lua_State* L, vm& v) {
  return to_object<lua_mutex>(L, 1) ? Here(L, v) : wrong_mutex(L, v);
}

reply index_mutex(lua_State* L, vm& v) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  lua_mutex* mutex = to_object<lua_mutex>(L, 1);
  if (!mutex) return wrong_mutex(L, v);
  if (name != "abandoned") return 1;
  lua_pushboolean(L, mutex->core.abandoned());
  return 1;
}

reply new_mutex(lua_State* L, vm&) {
  push_object<lua_mutex>(L, type_name::mutex, 0);
  return 1;
}

// A keyed mutex is a table of mutexes that are there as long as somebody holds or waits for them: the table is weak.

// Replaces the keyed mutex and the key, at 1 and 2, by the mutex of that key. < 0 refuses.
reply find_lock(lua_State* L, vm& v) {
  if (!to_object<lua_keyed_mutex>(L, 1)) return bad_argument(v, 1, "a keyed mutex expected: call it with ':'", L);
  if (lua_isnoneornil(L, 2)) return bad_argument(v, 2, "a key expected", L);
  if (lua_type(L, 2) == LUA_TNUMBER && lua_tonumber(L, 2) != lua_tonumber(L, 2))
    return bad_argument(v, 2, "a key must not be NaN", L);
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, -2) != LUA_TUSERDATA) {
    lua_pop(L, 1);
    push_object<lua_mutex>(L, 0, "keyed mutex");
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
  }
  lua_replace(L, 1);
  lua_pop(L, 1);
  lua_remove(L, 2);
  return 0;
}

template <native_body Here>
reply keyed_body(lua_State* L, vm& v) {
  if (const reply refused = find_lock(L, v); refused < 0) return refused;
  return Here(L, v);
}

reply lock_op_here(lua_State* L, vm&) {
  push_operation(L, lock_verb, 1, false);
  return 1;
}

reply new_keyed_mutex(lua_State* L, vm&) {
  push_object<lua_keyed_mutex>(L, type_name::keyed_mutex, 1);
  push_weak_table(L);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

// rwlock

template <bool Writes>
rwlock_core::side& side_of(lua_rwlock& lock) noexcept {
  return Writes ? lock.core.writing() : lock.core.reading();
}
template <bool Writes>
lua_guard& push_access(lua_State* L, int at) {
  return push_guard(L, guard_kind::access, side_of<Writes>(object_at<lua_rwlock>(L, at)), at);
}
constexpr guard_operation read_verb{"read", push_access<false>, [](const void*) { return true; }};
constexpr guard_operation write_verb{"write", push_access<true>, [](const void*) { return true; }};

reply wrong_rwlock(lua_State* L, vm& v) { return bad_argument(v, 1, "an rwlock expected: call it with ':'", L); }

template <bool Writes>
reply access_body(lua_State* L, vm& v) {
  if (!to_object<lua_rwlock>(L, 1)) return wrong_rwlock(L, v);
  lua_settop(L, 1);
  push_access<Writes>(L, 1);
  return take_guard<give_guard>(L, v);
}

template <bool Writes>
reply try_access_body(lua_State* L, vm& v) {
  lua_rwlock* lock = to_object<lua_rwlock>(L, 1);
  if (!lock) return wrong_rwlock(L, v);
  if (!side_of<Writes>(*lock).available()) return lua_pushnil(L), 1;
  push_access<Writes>(L, 1);
  return try_guard(L, v);
}

reply index_rwlock(lua_State* L, vm& v) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  lua_rwlock* lock = to_object<lua_rwlock>(L, 1);
  if (!lock) return wrong_rwlock(L, v);
  if (name != "abandoned") return 1;
  lua_pushboolean(L, lock->core.abandoned());
  return 1;
}

reply new_rwlock(lua_State* L, vm&) {
  push_object<lua_rwlock>(L, type_name::rwlock, 0);
  return 1;
}

// once: a lock around the initializer, and what it returned.

int push_results(lua_State* L, const lua_once& once) {
  protect::need_stack(L, once.made + 2, "too many results");
  lua_getiuservalue(L, 1, lua_once::results);
  const int table = lua_gettop(L);
  for (int i = 1; i <= once.made; ++i) lua_rawgeti(L, table, i);
  return once.made;
}

// The initializer has returned: the stack is once, guard, results.
reply keep_results(lua_State* L, vm&) {
  auto& once = object_at<lua_once>(L, 1);
  const int count = lua_gettop(L) - 2;
  lua_createtable(L, count, 0);
  for (int i = 1; i <= count; ++i) {
    lua_pushvalue(L, 2 + i);
    lua_rawseti(L, -2, i);
  }
  lua_setiuservalue(L, 1, lua_once::results);
  once.made = count;
  object_at<lua_guard>(L, 2).release();
  return count;
}

// The stack is once, guard. This task makes the value, unless another has made it meanwhile.
reply make_value(lua_State* L, vm& v) {
  auto& once = object_at<lua_once>(L, 1);
  if (once.made >= 0) {
    object_at<lua_guard>(L, 2).release();
    return push_results(L, once);
  }
  lua_getiuservalue(L, 1, lua_once::initializer);
  v.continuation = keep_results;
  return action::call_closing;
}

reply get_body(lua_State* L, vm& v) {
  lua_once* once = to_object<lua_once>(L, 1);
  if (!once) return bad_argument(v, 1, "a once expected: call it with ':'", L);
  lua_settop(L, 1);
  if (once->made >= 0) return push_results(L, *once);
  push_guard(L, guard_kind::lock, once->core, 1);
  return take_guard<make_value>(L, v);
}

reply new_once(lua_State* L, vm& v) {
  if (!is_callable(L, 1)) return bad_argument(v, 1, "a function expected", L);
  push_object<lua_once>(L, type_name::once, 2);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, lua_once::initializer);
  return 1;
}

}  // namespace

void open_locks(lua_State* L) {
  constexpr library_function functions[] = {
      {"mutex", protect::native<new_mutex>},
      {"keyed_mutex", protect::native<new_keyed_mutex>},
      {"rwlock", protect::native<new_rwlock>},
      {"once", protect::native<new_once>},
  };
  set_functions(L, functions);
}

void define_locks(lua_State* L) {
  constexpr library_function mutex_methods[] = {
      {"lock", protect::native<mutex_body<lock_here>>},
      {"try_lock", protect::native<mutex_body<try_lock_here>>},
      {"with", protect::native<mutex_body<with_here>>},
      {"lock_op", protect::native<mutex_body<lock_op_here>>},
  };
  define_type(L, type_name::mutex, "perilune.mutex", mutex_methods, {}, protect::native<index_mutex>);
  constexpr library_function keyed_methods[] = {
      {"lock", protect::native<keyed_body<lock_here>>},
      {"try_lock", protect::native<keyed_body<try_lock_here>>},
      {"with", protect::native<keyed_body<with_here>>},
      {"lock_op", protect::native<keyed_body<lock_op_here>>},
  };
  define_type(L, type_name::keyed_mutex, "perilune.keyed_mutex", keyed_methods, {});
  constexpr library_function rwlock_methods[] = {
      {"read", protect::native<access_body<false>>},
      {"write", protect::native<access_body<true>>},
      {"try_read", protect::native<try_access_body<false>>},
      {"try_write", protect::native<try_access_body<true>>},
      {"read_op", protect::native<make_operation<read_verb, lua_rwlock>>},
      {"write_op", protect::native<make_operation<write_verb, lua_rwlock>>},
  };
  define_type(L, type_name::rwlock, "perilune.rwlock", rwlock_methods, {}, protect::native<index_rwlock>);
  constexpr library_function once_methods[] = {{"get", protect::native<get_body>}};
  define_type(L, type_name::once, "perilune.once", once_methods, {});
}

}  // namespace perilune
