// coroutine.* in our form. See protect.hpp.
//
// A script's coroutine is a Lua thread whose body runs under our protected call, so that its closers may wait. resume and
// wrap tell a suspension of the runtime from a script's own yield: they pass the first outward by suspending themselves
// and go inward again when the task is resumed. While a task waits inside a coroutine that thread is marked, and nobody
// else may touch it. The unwinding belongs to each coroutine: whoever leaves one keeps its own in the continuation, a
// script's yield and a suspension alike.
//
// close resumes the coroutine with a request to unwind, which no protected call in it catches, so that closers may wait.
#include <algorithm>
#include <cstring>

#include "error_object.hpp"
#include "object.hpp"
#include "protect.hpp"
#include "protect_handlers.hpp"

namespace perilune::protect {

namespace {

constexpr unsigned field_bits = 20;
constexpr std::uint32_t field_mask = (1U << field_bits) - 1;

// An unwinding as a continuation's context, and whether the coroutine was entered through wrap.
lua_KContext pack(const unwinding& u, bool wraps) noexcept {
  const auto field = [](std::uint32_t value, unsigned at) {
    return static_cast<std::uint64_t>(std::min(value, field_mask)) << at;
  };
  return static_cast<lua_KContext>((wraps ? 1U : 0U) | (u.closing ? 2U : 0U) | field(u.depth, 2) |
                                   field(u.guard, 2 + field_bits) | field(u.regions, 2 + 2 * field_bits));
}
unwinding unpack(lua_KContext context) noexcept {
  const auto bits = static_cast<std::uint64_t>(context);
  const auto field = [bits](unsigned at) { return static_cast<std::uint32_t>(bits >> at) & field_mask; };
  return {field(2), field(2 + field_bits), field(2 + 2 * field_bits), (bits & 2) != 0};
}
constexpr bool wraps(lua_KContext context) noexcept { return (context & 1) != 0; }

bool waits_inside(lua_State* co) noexcept { return is_marked(co, thread_mark::waiting); }

int body_done(lua_State* L, int status, lua_KContext) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
  if (status == LUA_ERRMEM) note_exhaustion(L, vm_of(L).running());
  return lua_error(L);
}

// The function of every coroutine's thread: [fn, args...].
int coroutine_main(lua_State* L) {
  lua_pushcfunction(L, on_boundary_error);
  lua_insert(L, 1);
  const int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, body_done);
  return body_done(L, status, 0);
}

enum class co_status { suspended, normal, running, dead };

co_status status_of(lua_State* L, lua_State* co) noexcept {
  if (L == co) return co_status::running;
  lua_Debug frame;
  const bool has_frame = lua_getstack(co, 0, &frame) != 0;
  if (lua_status(co) == LUA_OK && !has_frame && lua_gettop(co) == 0) return co_status::dead;
  if (is_marked(co, thread_mark::all)) return co_status::normal;
  if (lua_status(co) == LUA_YIELD) return co_status::suspended;
  if (lua_status(co) != LUA_OK) return co_status::dead;
  return has_frame ? co_status::normal : co_status::suspended;
}

const char* name_of(co_status s) noexcept {
  constexpr const char* names[] = {"suspended", "normal", "running", "dead"};
  return names[static_cast<int>(s)];
}

// One stay inside a coroutine: what belongs to its resumer is kept, and put back when the stay is over.
class stay {
 public:
  stay(lua_State* from, lua_State* co, const unwinding& inner) noexcept
      : task_(vm_of(from).running()), outer_(task_), innermost_(task_.innermost), blocked_at_(task_.blocked_at) {
    if (!lua_isyieldable(from)) task_.blocked_at = from;
    task_.innermost = co;
    static_cast<unwinding&>(task_) = inner;
  }
  // Returns the unwinding of the coroutine that was left.
  unwinding leave() noexcept {
    const unwinding inner = task_;
    static_cast<unwinding&>(task_) = outer_;
    task_.innermost = innermost_;
    task_.blocked_at = blocked_at_;
    return inner;
  }

 private:
  lua_task& task_;
  unwinding outer_;
  lua_State* innermost_;
  lua_State* blocked_at_;
};

// The coroutine ended by the error on top of its stack.
int finish_failed(lua_State* L, lua_State* co, const unwinding& inner, bool wrap) {
  lua_task& task = vm_of(L).running();
  lua_xmove(co, L, 1);
  const error_object* e = inner.depth ? to_object<error_object>(L, -1) : nullptr;
  if (e && e->is_cancellation) {
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
int enter(lua_State* L, lua_State* co, int arguments, bool wrap, const unwinding& begin) {
  int results = 0;
  stay inside(L, co, begin);
  const int status = lua_resume(co, L, arguments, &results);
  const unwinding inner = inside.leave();
  if (status == LUA_YIELD && vm_of(L).suspending) {
    set_mark(co, thread_mark::waiting, true);
    return lua_yieldk(L, 0, pack(inner, wrap), go_on);
  }
  if (status != LUA_OK && status != LUA_YIELD) return finish_failed(L, co, inner, wrap);
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
  set_mark(co, thread_mark::waiting, false);
  return enter(L, co, task.leaf == co ? task.incoming : 0, wraps(context), unpack(context));
}

int refuse_resume(lua_State* L, const char* text, bool wrap) {
  if (wrap) return luaL_error(L, "%s", text);
  lua_pushboolean(L, 0);
  lua_pushstring(L, text);
  return 2;
}

int resume_checked(lua_State* L, lua_State* co, int arguments, bool wrap) {
  switch (status_of(L, co)) {
    case co_status::suspended:
      break;
    case co_status::dead:
      return refuse_resume(L, "cannot resume dead coroutine", wrap);
    default:
      if (is_marked(co, thread_mark::of_task)) return refuse_resume(L, "cannot resume the coroutine of a task", wrap);
      if (waits_inside(co)) return refuse_resume(L, "cannot resume a coroutine in which a task waits", wrap);
      return refuse_resume(L, "cannot resume non-suspended coroutine", wrap);
  }
  if (!lua_checkstack(co, arguments + 1)) return refuse_resume(L, "too many arguments to resume", wrap);
  lua_xmove(L, co, arguments);
  const int function = lua_status(co) == LUA_OK ? 1 : 0;  // the body is coroutine_main's first argument
  return enter(L, co, arguments + function, wrap, {});
}

lua_State* check_coroutine(lua_State* L) {
  lua_State* co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "coroutine");
  return co;
}

int call_wrapped(lua_State* L) { return resume_checked(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L), true); }

int after_yield(lua_State* L, int, lua_KContext context) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  static_cast<unwinding&>(task) = unpack(context);
  if (v.to_close != L) return lua_gettop(L);
  v.to_close = nullptr;
  task.closing = true;
  ++task.depth;
  vm::push_registry(L, registry_slot::close_request);
  return lua_error(L);
}

// Ends a coroutine whose closers have run, or that never started. Stock's results: true, or false and the error.
int conclude_close(lua_State* L, lua_State* co) {
  if (lua_resetthread(co) == LUA_OK) {
    lua_settop(co, 0);
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  lua_xmove(co, L, 1);
  lua_settop(co, 0);
  return 2;
}

int unwound(lua_State* L, lua_State* co) {
  lua_task& task = vm_of(L).running();
  if (!is_unwinding(co, -1)) return conclude_close(L, co);
  lua_resetthread(co);
  lua_settop(co, 0);
  if (!take_close_error(L, task, co)) return lua_pushboolean(L, 1), 1;
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

int close_goes_on(lua_State* L, int, lua_KContext context);

// Lets the coroutine unwind until it has ended or its closers wait.
int close_step(lua_State* L, lua_State* co, int arguments, const unwinding& begin) {
  vm& v = vm_of(L);
  int results = 0;
  stay inside(L, co, begin);
  const int status = lua_resume(co, L, arguments, &results);
  const unwinding inner = inside.leave();
  v.to_close = nullptr;
  if (status == LUA_OK) return conclude_close(L, co);
  if (status != LUA_YIELD) {
    const error_object* e = inner.depth ? to_object<error_object>(co, -1) : nullptr;
    return e && e->is_cancellation ? finish_failed(L, co, inner, true) : unwound(L, co);
  }
  if (!v.suspending) return conclude_close(L, co);
  set_mark(co, thread_mark::waiting, true);
  return lua_yieldk(L, 0, pack(inner, false), close_goes_on);
}

int close_goes_on(lua_State* L, int, lua_KContext context) {
  lua_task& task = vm_of(L).running();
  lua_State* co = lua_tothread(L, 1);
  set_mark(co, thread_mark::waiting, false);
  return close_step(L, co, task.leaf == co ? task.incoming : 0, unpack(context));
}

}  // namespace

bool is_coroutine_frame(lua_CFunction function) noexcept {
  return function == coroutine_main || function == call_wrapped || function == coroutine_resume ||
         function == coroutine_close;
}

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
  return resume_checked(L, co, lua_gettop(L) - 1, false);
}

int coroutine_yield(lua_State* L) {
  vm& v = vm_of(L);
  lua_task& task = v.running();
  if (v.in_task() && L == task.thread) return luaL_error(L, "attempt to yield from outside a coroutine");
  if (task.regions) return luaL_error(L, "attempt to yield out of a scope or time limit that is still open");
  if (task.closing) return luaL_error(L, "attempt to yield from a coroutine that is being closed");
  v.suspending = false;
  return lua_yieldk(L, lua_gettop(L), pack(task, false), after_yield);
}

int coroutine_status(lua_State* L) {
  lua_pushstring(L, name_of(status_of(L, check_coroutine(L))));
  return 1;
}

int coroutine_close(lua_State* L) {
  lua_State* co = check_coroutine(L);
  const co_status s = status_of(L, co);
  if (s != co_status::dead && is_marked(co, thread_mark::of_task))
    return luaL_error(L, "cannot close the coroutine of a task; cancel the task instead");
  if (waits_inside(co)) return luaL_error(L, "cannot close a coroutine in which a task waits");
  if (s != co_status::suspended && s != co_status::dead)
    return luaL_error(L, "cannot close a %s coroutine", name_of(s));
  lua_settop(L, 1);
  if (s != co_status::suspended || lua_status(co) != LUA_YIELD) return conclude_close(L, co);
  vm_of(L).to_close = co;
  return close_step(L, co, 0, {});
}

}  // namespace perilune::protect
