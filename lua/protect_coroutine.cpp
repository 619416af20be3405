// coroutine.* in our form. See protect.hpp.
//
// A script's coroutine is a Lua thread whose body runs under our protected call, so that its closers may wait. resume and
// wrap tell a suspension of the runtime from a script's own yield: they pass the first outward by suspending themselves
// and go inward again when the task is resumed. While a task waits inside a coroutine, that thread's extra space names the
// task, and nobody else may touch it. Depth and guard belong to each coroutine: resume saves the outer pair, a script's
// yield keeps the inner pair in its continuation.
#include <cstring>

#include "error_object.hpp"
#include "object.hpp"
#include "protect.hpp"
#include "protect_handlers.hpp"

namespace perilune::protect {

namespace {


constexpr lua_KContext pack(std::uint32_t depth, std::uint32_t guard, bool wraps) noexcept {
  return static_cast<lua_KContext>((static_cast<std::uint64_t>(guard) << 32) | (static_cast<std::uint64_t>(depth) << 1) |
                                   (wraps ? 1U : 0U));
}
constexpr std::uint32_t depth_of(lua_KContext c) noexcept { return static_cast<std::uint32_t>(c) >> 1; }
constexpr std::uint32_t guard_of(lua_KContext c) noexcept {
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(c) >> 32);
}
constexpr bool wraps(lua_KContext c) noexcept { return (c & 1) != 0; }

// Marks a coroutine in which its task waits. The main extra space of a thread names its VM; the low bit says "waiting".
bool waits_inside(lua_State* co) noexcept {
  return (reinterpret_cast<std::uintptr_t>(*static_cast<void**>(lua_getextraspace(co))) & 1U) != 0;
}
void mark_waiting(lua_State* co, bool waiting) noexcept {
  auto& word = *static_cast<void**>(lua_getextraspace(co));
  const std::uintptr_t bits = reinterpret_cast<std::uintptr_t>(word) & ~std::uintptr_t{1};
  word = reinterpret_cast<void*>(bits | (waiting ? 1U : 0U));
}

bool is_close_request(lua_State* L, int index) noexcept { return lua_touserdata(L, index) == &close_request; }

int body_done(lua_State* L, int status, lua_KContext) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
  return lua_error(L);
}

// The function of every coroutine's thread: [fn, args...].
int coroutine_main(lua_State* L) {
  lua_pushcfunction(L, on_boundary_error);
  lua_insert(L, 1);
  const int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, body_done);
  return body_done(L, status, 0);
}

enum class co_status { suspended, normal, running, dead, foreign };

co_status status_of(lua_State* L, lua_State* co) noexcept {
  if (L == co) return co_status::running;
  if (waits_inside(co)) return co_status::normal;
  switch (lua_status(co)) {
    case LUA_YIELD:
      return co_status::suspended;
    case LUA_OK: {
      lua_Debug frame;
      if (lua_getstack(co, 0, &frame)) return co_status::normal;
      return lua_gettop(co) == 0 ? co_status::dead : co_status::suspended;
    }
    default:
      return co_status::dead;
  }
}

const char* name_of(co_status s) noexcept {
  constexpr const char* names[] = {"suspended", "normal", "running", "dead", "normal"};
  return names[static_cast<int>(s)];
}

int finish_failed(lua_State* L, lua_State* co, bool wrap) {
  lua_task& task = vm_of(L).running();
  lua_xmove(co, L, 1);
  const error_object* e = to_object<error_object>(L, -1);
  if (e && e->is_cancellation && task.cancel_pending()) {
    ++task.depth;
    return lua_error(L);
  }
  if (!wrap) {
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
  }
  if (lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

int go_on(lua_State* L, int, lua_KContext context);

// Runs `co` until it yields to the script, ends, or suspends with the task. `arguments` values are on its stack.
int enter(lua_State* L, lua_State* co, int arguments, bool wrap) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  const std::uint32_t depth = task.depth;
  const std::uint32_t guard = task.guard;
  cancel_node* const floor = task.scope_floor;
  const bool blocked = !lua_isyieldable(L);
  if (blocked) ++task.blocked_links;
  task.scope_floor = task.top;
  task.guard = task.depth;
  int results = 0;
  const int status = lua_resume(co, L, arguments, &results);
  task.scope_floor = floor;
  task.depth = depth;
  task.guard = guard;
  if (blocked) --task.blocked_links;
  if (status == LUA_YIELD && v.suspending) {
    mark_waiting(co, true);
    return lua_yieldk(L, 0, pack(depth, guard, wrap), go_on);
  }
  if (status != LUA_OK && status != LUA_YIELD) return finish_failed(L, co, wrap);
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    return luaL_error(L, "too many results to resume");
  }
  if (!wrap) lua_pushboolean(L, 1);
  lua_xmove(co, L, results);
  return results + (wrap ? 0 : 1);
}

int go_on(lua_State* L, int, lua_KContext context) {
  lua_task& task = vm_of(L).running();
  lua_State* co = wraps(context) ? lua_tothread(L, lua_upvalueindex(1)) : lua_tothread(L, 1);
  mark_waiting(co, false);
  return enter(L, co, task.leaf == co ? task.incoming : 0, wraps(context));
}

int refuse_resume(lua_State* L, const char* text, bool wrap) {
  if (wrap) return luaL_error(L, "%s", text);
  lua_pushboolean(L, 0);
  lua_pushstring(L, text);
  return 2;
}

int resume_checked(lua_State* L, lua_State* co, int arguments, bool wrap) {
  if (vm_of(L).in_task() && waits_inside(co))
    return refuse_resume(L, "cannot resume a coroutine in which a task waits", wrap);
  switch (status_of(L, co)) {
    case co_status::dead:
      return refuse_resume(L, "cannot resume dead coroutine", wrap);
    case co_status::suspended:
      break;
    default:
      return refuse_resume(L, "cannot resume non-suspended coroutine", wrap);
  }
  if (!lua_checkstack(co, arguments + 1)) return refuse_resume(L, "too many arguments to resume", wrap);
  lua_xmove(L, co, arguments);
  return enter(L, co, arguments, wrap);
}

lua_State* check_coroutine(lua_State* L) {
  lua_State* co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "coroutine");
  return co;
}

int call_wrapped(lua_State* L) {
  return resume_checked(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L), true);
}

int after_yield(lua_State* L, int, lua_KContext context) {
  lua_task& task = vm_of(L).running();
  task.depth = depth_of(context);
  task.guard = guard_of(context);
  const int base = static_cast<int>(lua_gettop(L));
  if (base >= 1 && is_close_request(L, base)) {
    lua_settop(L, 0);
    lua_pushlightuserdata(L, &close_request);
    return lua_error(L);
  }
  return base;
}

int closed(lua_State* L, lua_State* co, int status, int results) {
  if (status == LUA_OK || (lua_gettop(co) && is_close_request(co, -1))) {
    lua_settop(co, 0);
    lua_resetthread(co);
    lua_settop(co, 0);
    lua_pushboolean(L, 1);
    return 1;
  }
  static_cast<void>(results);
  lua_pushboolean(L, 0);
  lua_xmove(co, L, 1);
  lua_resetthread(co);
  lua_settop(co, 0);
  return 2;
}

int close_step(lua_State* L, lua_State* co, int arguments);

int close_goes_on(lua_State* L, int, lua_KContext context) {
  lua_task& task = vm_of(L).running();
  lua_State* co = lua_tothread(L, 1);
  mark_waiting(co, false);
  task.depth = depth_of(context);
  task.guard = guard_of(context);
  return close_step(L, co, task.leaf == co ? task.incoming : 0);
}

int close_step(lua_State* L, lua_State* co, int arguments) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  const std::uint32_t depth = task.depth;
  const std::uint32_t guard = task.guard;
  const bool blocked = !lua_isyieldable(L);
  if (blocked) ++task.blocked_links;
  int results = 0;
  const int status = lua_resume(co, L, arguments, &results);
  if (blocked) --task.blocked_links;
  task.depth = depth;
  task.guard = guard;
  if (status == LUA_YIELD && v.suspending) {
    mark_waiting(co, true);
    return lua_yieldk(L, 0, pack(depth, guard, false), close_goes_on);
  }
  if (status == LUA_YIELD) {
    lua_settop(co, 0);
    lua_resetthread(co);
    lua_settop(co, 0);
    return luaL_error(L, "coroutine yielded while it was being closed");
  }
  const error_object* e = status == LUA_OK ? nullptr : to_object<error_object>(co, -1);
  if (e && e->is_cancellation && task.cancel_pending()) return finish_failed(L, co, true);
  return closed(L, co, status, results);
}

}  // namespace

int coroutine_create(lua_State* L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State* co = lua_newthread(L);
  lua_pushcfunction(co, coroutine_main);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

int coroutine_wrap(lua_State* L) {
  coroutine_create(L);
  lua_pushcclosure(L, call_wrapped, 1);
  return 1;
}

int coroutine_resume(lua_State* L) {
  lua_State* co = check_coroutine(L);
  const int arguments = lua_gettop(L) - 1;
  return resume_checked(L, co, status_of(L, co) == co_status::suspended ? arguments : 0, false);
}

int coroutine_yield(lua_State* L) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  if (v.in_task() && L == task.thread) return luaL_error(L, "attempt to yield from outside a coroutine");
  if (v.in_task() && task.top != task.scope_floor)
    return luaL_error(L, "attempt to yield out of a scope or time limit that is still open");
  v.suspending = false;
  return lua_yieldk(L, lua_gettop(L), pack(task.depth, task.guard, false), after_yield);
}

int coroutine_status(lua_State* L) {
  lua_pushstring(L, name_of(status_of(L, check_coroutine(L))));
  return 1;
}

int coroutine_close(lua_State* L) {
  lua_State* co = check_coroutine(L);
  if (vm_of(L).in_task() && waits_inside(co)) return luaL_error(L, "cannot close a coroutine in which a task waits");
  const co_status s = status_of(L, co);
  if (s != co_status::suspended && s != co_status::dead)
    return luaL_error(L, "cannot close a %s coroutine", name_of(s));
  lua_settop(L, 1);
  if (s == co_status::suspended && lua_status(co) == LUA_YIELD) {
    if (!lua_checkstack(co, 1)) return luaL_error(L, "not enough memory");
    lua_pushlightuserdata(co, &close_request);
    return close_step(L, co, 1);
  }
  const bool failed = lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD;
  return closed(L, co, failed ? LUA_ERRRUN : LUA_OK, 0);
}

}  // namespace perilune::protect
