// peri.semaphore, peri.notify, peri.barrier and peri.wait_group. See lua-api: Synchronisation.
#include <string>

#include <perilune/barrier.hpp>
#include <perilune/notify.hpp>
#include <perilune/wait_group.hpp>

#include "lua_guard.hpp"
#include "shared_kinds.hpp"

namespace perilune {

namespace {

class lua_semaphore final : public semaphore_core {
 public:
  static constexpr std::uint64_t tag = 0x73656d61'7d29f05bULL;
  using semaphore_core::semaphore_core;
  ~lua_semaphore() = default;

 private:
  void refuse(waiter& by) noexcept override { static_cast<lua_task&>(*by.task).note_closed = true; }
};

// The permits wanted stand behind the semaphore; none there means one.
lua_guard& push_permit(lua_State* L, int at) {
  const lua_Integer wanted = lua_isinteger(L, at + 1) ? lua_tointeger(L, at + 1) : 1;
  return push_guard(L, guard_kind::permits, object_at<lua_semaphore>(L, at), at, static_cast<std::size_t>(wanted));
}
constexpr guard_operation acquire_verb{"acquire", push_permit, [](const void*) { return true; }};

reply wrong_semaphore(lua_State* L, vm& v) { return bad_argument(v, 1, "a semaphore expected: call it with ':'", L); }

// < 0 refuses what acquire and its like were given; otherwise the stack is the semaphore and how many.
reply check_acquire(lua_State* L, vm& v) {
  lua_semaphore* semaphore = to_object<lua_semaphore>(L, 1);
  if (!semaphore) return wrong_semaphore(L, v);
  lua_settop(L, 2);
  const lua_Integer wanted = lua_isnil(L, 2) ? 1 : read_count(L, 2);
  if (wanted < 1) return bad_argument(v, 2, "permits must be a positive integer", L);
  lua_pushinteger(L, wanted);
  lua_replace(L, 2);
  if (semaphore->closed() || static_cast<std::size_t>(wanted) <= semaphore->total()) return 0;
  v.message = "the semaphore has " + std::to_string(semaphore->total()) + " permits, which is all there will ever be";
  return bad_argument(v, 2, std::string(v.message).c_str(), L);
}

reply acquire_body(lua_State* L, vm& v) {
  if (const reply refused = check_acquire(L, v); refused < 0) return refused;
  push_permit(L, 1);
  lua_replace(L, 2);
  return take_guard<give_guard>(L, v);
}

reply try_acquire_body(lua_State* L, vm& v) {
  if (const reply refused = check_acquire(L, v); refused < 0) return refused;
  push_permit(L, 1);
  return try_guard(L, v);
}

reply acquire_op_body(lua_State* L, vm& v) {
  if (const reply refused = check_acquire(L, v); refused < 0) return refused;
  push_operation(L, acquire_verb, 1, true);
  return 1;
}

reply close_semaphore(lua_State* L, vm& v) {
  lua_semaphore* semaphore = to_object<lua_semaphore>(L, 1);
  if (!semaphore) return wrong_semaphore(L, v);
  semaphore->close();
  return 0;
}

// The handles of a VM that take from the same permits.
reply equal_semaphores(lua_State* L, vm&) {
  auto* a = to_object<lua_semaphore>(L, 1);
  auto* b = to_object<lua_semaphore>(L, 2);
  lua_pushboolean(L, a && b && a->pot() && a->pot() == b->pot());
  return 1;
}

reply collect_semaphore(lua_State* L, vm&) {
  object_at<lua_semaphore>(L, 1).~lua_semaphore();
  return 0;
}

class semaphore_crossing final : public crossing {
 public:
  explicit semaphore_crossing(std::shared_ptr<permit_pot> pot) noexcept : pot_(std::move(pot)) {}
  void push(lua_State* L, vm&) override { push_object<lua_semaphore>(L, type_name::semaphore, 0, pot_); }

 private:
  const std::shared_ptr<permit_pot> pot_;
};

reply index_semaphore(lua_State* L, vm& v) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  lua_semaphore* semaphore = to_object<lua_semaphore>(L, 1);
  if (!semaphore) return wrong_semaphore(L, v);
  if (name == "available")
    lua_pushinteger(L, static_cast<lua_Integer>(semaphore->available()));
  else if (name == "total")
    lua_pushinteger(L, static_cast<lua_Integer>(semaphore->total()));
  else if (name == "waiting")
    lua_pushinteger(L, static_cast<lua_Integer>(semaphore->waiting()));
  return 1;
}

reply new_semaphore(lua_State* L, vm& v) {
  const lua_Integer permits = read_count(L, 1);
  if (permits < 0) return bad_argument(v, 1, "permits must be a non-negative integer", L);
  push_object<lua_semaphore>(L, type_name::semaphore, 0, static_cast<std::size_t>(permits));
  return 1;
}

// Objects on which one waits for something that others do, without taking anything.

struct lua_notify {
  static constexpr std::uint64_t tag = 0x6e746679'18c3ab60ULL;
  static constexpr const char* expected = "a notify expected: call it with ':'";
  notify_core core;
  static int push_result(lua_State*, bool) { return 0; }
};

struct lua_barrier {
  static constexpr std::uint64_t tag = 0x62617272'a94f6ed2ULL;
  static constexpr const char* expected = "a barrier expected: call it with ':'";
  explicit lua_barrier(std::size_t parties) noexcept : core(parties) {}
  barrier_core core;
  // The last to come is the leader.
  static int push_result(lua_State* L, bool at_once) { return lua_pushboolean(L, at_once), 1; }
};

struct lua_wait_group {
  static constexpr std::uint64_t tag = 0x77677270'35d8027fULL;
  static constexpr const char* expected = "a wait group expected: call it with ':'";
  wait_group_core core;
  static int push_result(lua_State*, bool) { return 0; }
};

template <class T>
struct wait_kind final : operation_kind {
  const char* name() const noexcept override { return "wait"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    return object_at<T>(L, at).core.try_commit(v.running()) ? T::push_result(L, true) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override { return object_at<T>(L, at).core; }
  int collect(lua_State* L, vm&, int) const override { return T::push_result(L, false); }
};
template <class T>
constexpr wait_kind<T> wait_verb;

template <class T>
reply wait_body(lua_State* L, vm& v) {
  if (!to_object<T>(L, 1)) return bad_argument(v, 1, T::expected, L);
  return perform<wait_verb<T>>(L, v, wait_body<T>);
}

template <void (notify_core::*Tell)() noexcept>
reply notify_body(lua_State* L, vm& v) {
  lua_notify* notify = to_object<lua_notify>(L, 1);
  if (!notify) return bad_argument(v, 1, lua_notify::expected, L);
  (notify->core.*Tell)();
  return 0;
}

reply new_notify(lua_State* L, vm&) {
  push_object<lua_notify>(L, type_name::notify, 0);
  return 1;
}

reply new_barrier(lua_State* L, vm& v) {
  const lua_Integer parties = read_count(L, 1);
  if (parties < 1) return bad_argument(v, 1, "tasks must be a positive integer", L);
  push_object<lua_barrier>(L, type_name::barrier, 0, static_cast<std::size_t>(parties));
  return 1;
}

reply add_body(lua_State* L, vm& v) {
  lua_wait_group* group = to_object<lua_wait_group>(L, 1);
  if (!group) return bad_argument(v, 1, lua_wait_group::expected, L);
  const lua_Integer more = lua_isnoneornil(L, 2) ? 1 : read_count(L, 2);
  if (more < 0) return bad_argument(v, 2, "a non-negative integer expected", L);
  return group->core.add(static_cast<std::size_t>(more)) ? 0 : raise_text(v, "the wait group cannot count that far");
}

reply done_body(lua_State* L, vm& v) {
  lua_wait_group* group = to_object<lua_wait_group>(L, 1);
  if (!group) return bad_argument(v, 1, lua_wait_group::expected, L);
  return group->core.done() ? 0 : raise_text(v, "done was called more often than add");
}

reply new_wait_group(lua_State* L, vm&) {
  push_object<lua_wait_group>(L, type_name::wait_group, 0);
  return 1;
}

}  // namespace

crossing_ptr cross_semaphore(lua_State* L, int index) {
  auto* semaphore = to_object<lua_semaphore>(L, index);
  return semaphore ? std::make_shared<semaphore_crossing>(semaphore->share()) : nullptr;
}

void open_sync(lua_State* L) {
  constexpr library_function functions[] = {
      {"semaphore", protect::native<new_semaphore>},
      {"notify", protect::native<new_notify>},
      {"barrier", protect::native<new_barrier>},
      {"wait_group", protect::native<new_wait_group>},
  };
  set_functions(L, functions);
}

void define_sync(lua_State* L) {
  constexpr library_function semaphore_methods[] = {
      {"acquire", protect::native<acquire_body>},
      {"try_acquire", protect::native<try_acquire_body>},
      {"acquire_op", protect::native<acquire_op_body>},
      {"close", protect::native<close_semaphore>},
  };
  constexpr library_function semaphore_metamethods[] = {{"__close", protect::native<close_semaphore>},
                                                        {"__eq", protect::native<equal_semaphores>},
                                                        {"__gc", protect::native<collect_semaphore>}};
  define_type(L, type_name::semaphore, "perilune.semaphore", semaphore_methods, semaphore_metamethods,
              protect::native<index_semaphore>);
  constexpr library_function notify_methods[] = {
      {"wait", protect::native<wait_body<lua_notify>>},
      {"wait_op", protect::native<make_operation<wait_verb<lua_notify>, lua_notify>>},
      {"notify_one", protect::native<notify_body<&notify_core::notify_one>>},
      {"notify_all", protect::native<notify_body<&notify_core::notify_all>>},
  };
  define_type(L, type_name::notify, "perilune.notify", notify_methods, {});
  constexpr library_function barrier_methods[] = {
      {"wait", protect::native<wait_body<lua_barrier>>},
      {"wait_op", protect::native<make_operation<wait_verb<lua_barrier>, lua_barrier>>},
  };
  define_type(L, type_name::barrier, "perilune.barrier", barrier_methods, {});
  constexpr library_function group_methods[] = {
      {"add", protect::native<add_body>},
      {"done", protect::native<done_body>},
      {"wait", protect::native<wait_body<lua_wait_group>>},
      {"wait_op", protect::native<make_operation<wait_verb<lua_wait_group>, lua_wait_group>>},
  };
  define_type(L, type_name::wait_group, "perilune.wait_group", group_methods, {});
}

}  // namespace perilune
