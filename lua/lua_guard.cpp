// Taking and releasing guards. See lua_guard.hpp.
#include "lua_guard.hpp"

#include <cstring>
#include <string>

#include <perilune/outcome.hpp>

#include "library.hpp"

namespace perilune {

void lua_guard::accept(task_header& by) noexcept {
  switch (kind) {
    case guard_kind::lock:
      return static_cast<mutex_core*>(op)->hold(held);
    case guard_kind::access:
      return static_cast<rwlock_core::side*>(op)->hold(held, by);
    case guard_kind::permits:
      return static_cast<semaphore_core*>(op)->hold(held, by, wanted);
  }
}

namespace {

// Notes the innermost line of a script that is being run.
void note_place(lua_State* L, lua_guard& guard) {
  lua_Debug frame;
  for (int level = 1; lua_getstack(L, level, &frame); ++level) {
    if (!lua_getinfo(L, "Sl", &frame) || frame.currentline <= 0) continue;
    std::memcpy(guard.place, frame.short_src, sizeof guard.place);
    guard.held.site = {guard.place, static_cast<std::uint32_t>(frame.currentline)};
    return;
  }
}

constexpr type_name type_of(guard_kind kind) noexcept {
  constexpr type_name types[] = {type_name::guard, type_name::rwlock_guard, type_name::permit};
  return types[static_cast<unsigned char>(kind)];
}

}  // namespace

lua_guard& push_guard(lua_State* L, guard_kind kind, operation& op, int resource, std::size_t wanted) {
  resource = lua_absindex(L, resource);
  auto& guard = push_object<lua_guard>(L, type_of(kind), 1, lua_guard{&op, kind, wanted});
  note_place(L, guard);
  lua_pushvalue(L, resource);
  lua_setiuservalue(L, -2, 1);
  return guard;
}

reply try_take(vm& v, lua_guard& guard) {
  try {
    return guard.op->try_commit(v.running()) ? 1 : 0;
  } catch (const task_error& refusal) {
    return raise_text(v, refusal.problem().message);
  }
}

reply call_with_guard(lua_State*, vm& v) {
  v.continuation = [](lua_State* L, vm&) -> reply {
    object_at<lua_guard>(L, 2).release();
    return lua_gettop(L) - 2;
  };
  return action::call_closing;
}

reply try_guard(lua_State* L, vm& v) {
  auto& guard = object_at<lua_guard>(L, -1);
  v.running().deadline = guard.wanted;
  const reply taken = try_take(v, guard);
  if (taken < 0) return taken;
  if (taken == 0) return lua_pushnil(L), 1;
  if (guard.refused()) return push_closed(L);
  guard.accept(v.running());
  return 1;
}

int guard_operation::attempt(lua_State* L, vm& v, int at) const {
  auto& guard = push_(L, at);
  v.running().deadline = guard.wanted;
  const reply taken = try_take(v, guard);
  if (taken < 0) return taken;
  if (taken == 0) return not_ready;
  if (guard.refused()) return push_closed(L);
  guard.accept(v.running());
  return 1;
}

operation& guard_operation::arm_target(lua_State* L, vm&, int at, waiter& by) const {
  auto& guard = push_(L, at);
  lua_replace(L, at + 1);
  by.deadline = guard.wanted;
  return *guard.op;
}

int guard_operation::collect(lua_State* L, vm& v, int at) const {
  if (v.running().note_closed) return push_closed(L);
  object_at<lua_guard>(L, at + 1).accept(v.running());
  lua_pushvalue(L, at + 1);
  return 1;
}

namespace {

reply wrong_guard(lua_State* L, vm& v) { return bad_argument(v, 1, "a guard expected: call it with ':'", L); }

// < 0 refuses: the guard is not held, or not by the running task.
reply check_held(const lua_guard& guard, vm& v) {
  try {
    detail::check_release(guard.held, &v.running());
  } catch (const task_error& refusal) {
    return raise_text(v, refusal.problem().message);
  }
  return 0;
}

// The same of what is at index 1, which has to be a guard of this kind: all kinds are one type.
reply check_held(lua_State* L, vm& v, guard_kind kind) {
  const lua_guard* guard = to_object<lua_guard>(L, 1);
  if (guard && guard->kind == kind) return check_held(*guard, v);
  return bad_argument(v, 1, kind == guard_kind::permits ? "a permit expected: call it with ':'"
                                                        : "a guard of a rwlock expected: call it with ':'", L);
}

reply release_body(lua_State* L, vm& v) {
  lua_guard* guard = to_object<lua_guard>(L, 1);
  if (!guard) return wrong_guard(L, v);
  if (const reply refused = check_held(*guard, v); refused < 0) return refused;
  guard->held.of->release(guard->held, false);
  return 0;
}

// Leaving the block by an error or a cancellation abandons a lock.
reply close_body(lua_State* L, vm& v) {
  lua_guard* guard = to_object<lua_guard>(L, 1);
  if (!guard || !guard->held.of) return 0;
  if (const reply refused = check_held(*guard, v); refused < 0) return refused;
  guard->held.of->release(guard->held, !lua_isnoneornil(L, 2));
  return 0;
}

reply collect_body(lua_State* L, vm& v) {
  holding& held = object_at<lua_guard>(L, 1).held;
  if (!held.of) return 0;
  if (!v.closing())
    v.report(std::string("warning: a guard of a ") + held.of->resource() + ", taken at " + held.site.text() +
             ", was collected unreleased; released now");
  held.of->release(held, true);
  return 0;
}

reply downgrade_body(lua_State* L, vm& v) {
  if (const reply refused = check_held(L, v, guard_kind::access); refused < 0) return refused;
  holding& held = object_at<lua_guard>(L, 1).held;
  if (held.shared) return raise_text(v, "this guard is for reading: only one for writing can be downgraded");
  static_cast<rwlock_core*>(held.of)->downgrade(held);
  return lua_settop(L, 1), 1;
}

semaphore_core& semaphore_of(const holding& held) noexcept { return *static_cast<semaphore_core*>(held.of); }

reply split_body(lua_State* L, vm& v) {
  if (const reply refused = check_held(L, v, guard_kind::permits); refused < 0) return refused;
  const lua_Integer wanted = read_count(L, 2);
  if (wanted < 1) return bad_argument(v, 2, "permits must be a positive integer", L);
  auto& guard = object_at<lua_guard>(L, 1);
  const auto permits = static_cast<std::size_t>(wanted);
  if (permits > guard.held.permits) return lua_pushnil(L), 1;
  lua_getiuservalue(L, 1, 1);
  auto& part = push_guard(L, guard_kind::permits, *guard.op, -1, permits);
  semaphore_of(guard.held).split(guard.held, part.held, v.running(), permits);
  return 1;
}

reply merge_body(lua_State* L, vm& v) {
  if (const reply refused = check_held(L, v, guard_kind::permits); refused < 0) return refused;
  lua_guard* other = to_object<lua_guard>(L, 2);
  if (!other || other->kind != guard_kind::permits) return bad_argument(v, 2, "a permit expected", L);
  holding& held = object_at<lua_guard>(L, 1).held;
  if (!other->held.of) return raise_text(v, "bad argument #1 to 'merge' (the permit has been released already)");
  if (other->held.of != held.of)
    return raise_text(v, "bad argument #1 to 'merge' (a permit of the same semaphore expected)");
  if (&other->held == &held) return raise_text(v, "bad argument #1 to 'merge' (a permit cannot be merged into itself)");
  semaphore_of(held).merge(held, other->held);
  return lua_settop(L, 1), 1;
}

reply forget_body(lua_State* L, vm& v) {
  if (const reply refused = check_held(L, v, guard_kind::permits); refused < 0) return refused;
  holding& held = object_at<lua_guard>(L, 1).held;
  semaphore_of(held).forget(held);
  return 0;
}

// permit.count, besides the methods in the upvalue.
reply index_permit(lua_State* L, vm& v) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  lua_guard* guard = to_object<lua_guard>(L, 1);
  if (!guard) return wrong_guard(L, v);
  if (name != "count") return 1;
  lua_pushinteger(L, guard->held.of ? static_cast<lua_Integer>(guard->held.permits) : 0);
  return 1;
}

}  // namespace

void define_guards(lua_State* L) {
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>},
                                              {"__gc", protect::native<collect_body>}};
  constexpr library_function methods[] = {{"release", protect::native<release_body>}};
  define_type(L, type_name::guard, "perilune.guard", methods, metamethods);
  constexpr library_function rwlock_methods[] = {{"release", protect::native<release_body>},
                                                 {"downgrade", protect::native<downgrade_body>}};
  define_type(L, type_name::rwlock_guard, "perilune.rwlock_guard", rwlock_methods, metamethods);
  constexpr library_function permit_methods[] = {{"release", protect::native<release_body>},
                                                 {"split", protect::native<split_body>},
                                                 {"merge", protect::native<merge_body>},
                                                 {"forget", protect::native<forget_body>}};
  define_type(L, type_name::permit, "perilune.permit", permit_methods, metamethods, protect::native<index_permit>);
}

}  // namespace perilune
