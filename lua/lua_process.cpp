// What a process object offers. See lua_process.hpp.
#include "lua_process.hpp"

#include <csignal>
#include <string>

#include <perilune/signal.hpp>

#include "library.hpp"
#include "lua_select.hpp"
#include "lua_stream.hpp"
#include "object.hpp"
#include "operation_object.hpp"

namespace perilune {

namespace {

// Waiting for the exit.

struct wait_call {
  static constexpr std::uint64_t tag = 0x77616974'0b64d3e9ULL;
  std::optional<process_wait_operation> op;
};

// Pushes the status, or says why there is none. The status is copied: nothing with a destructor is left.
reply conclude_wait(lua_State* L, vm& v, const std::shared_ptr<detail::child>& child) {
  exit_status status;
  {
    auto end = process_wait_operation(child).take_result();
    if (!end) return raise_error(v, std::move(end).error());
    status = *end;
  }
  push_exit_status(L, status);
  return 1;
}

struct wait_kind final : operation_kind {
  const char* name() const noexcept override { return "wait"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    const auto& p = object_at<lua_process>(L, at);
    return process_wait_operation(p.child).try_now(v.running()) ? conclude_wait(L, v, p.child) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    protect::need_stack(L, 4, "too many operations");
    if (lua_gettop(L) < at + 1) lua_settop(L, at + 1);
    auto& waiting = push_object<wait_call>(L, type_name::wait_call, 0);
    lua_replace(L, at + 1);
    return waiting.op.emplace(object_at<lua_process>(L, at).child);
  }
  int collect(lua_State* L, vm& v, int at) const override {
    return conclude_wait(L, v, object_at<lua_process>(L, at).child);
  }
};
constexpr wait_kind wait_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a process expected: call it with ':'", L); }

reply wait_again(lua_State* L, vm& v) { return perform<wait_verb>(L, v, wait_again); }

reply wait_body(lua_State* L, vm& v) {
  if (!to_object<lua_process>(L, 1)) return wrong_self(L, v);
  lua_settop(L, 2);
  return wait_again(L, v);
}

// Ending: once begun it is waited for, whatever happens to the task; a kill of the task only drops the grace.

class end_call final : public operation {
 public:
  static constexpr std::uint64_t tag = 0x656e6463'5a1927f6ULL;
  end_call(lua_process& p, duration grace) : process_(p), end_(p.child, grace) {}

  bool try_commit(waiter& by) override { return end_.try_commit(by); }
  void arm(waiter& by) override { end_.arm(by); }
  void disarm(waiter& by) noexcept override { end_.disarm(by); }
  bool give_back(waiter&) noexcept override { return false; }
  bool holds(waiter& by) noexcept override {
    if (by.task->top->has(cancel_node::killed) && process_.owner) static_cast<void>(process_.owner->signal(SIGKILL));
    return true;
  }
  wait_description describe() const noexcept override { return end_.describe(); }

 private:
  lua_process& process_;
  process_end_operation end_;
};

void give_up(lua_process& p) noexcept {
  if (!p.owner) return;
  p.owner->close();
  p.owner.reset();
}

reply ended_and_closed(lua_State* L, vm&) {
  give_up(object_at<lua_process>(L, 1));
  return 0;
}

reply killed(lua_State* L, vm& v) { return conclude_wait(L, v, object_at<lua_process>(L, 1).child); }

// Ends the process at index 1 and waits for it; then `then` runs.
reply end_process(lua_State* L, vm& v, duration grace, native_body then) {
  auto& p = object_at<lua_process>(L, 1);
  lua_settop(L, 1);
  auto& call = push_object<end_call>(L, type_name::end_call, 0, p, grace);
  if (call.try_commit(v.running())) return then(L, v);
  return wait_for(L, v, call, then);
}

// close(), and leaving its block: TERM, grace, KILL, reaped; or nothing, where the child is left on its own.
reply close_body(lua_State* L, vm& v) {
  lua_process* p = to_object<lua_process>(L, 1);
  if (!p) return wrong_self(L, v);
  if (!p->owner) return 0;
  if (p->left || !p->owner->group_alive() || !protect::suspendable(L, v.running())) return give_up(*p), 0;
  return end_process(L, v, p->grace, ended_and_closed);
}

reply kill_body(lua_State* L, vm& v) {
  lua_process* p = to_object<lua_process>(L, 1);
  if (!p) return wrong_self(L, v);
  double seconds = to_seconds(p->grace);
  if (!lua_isnoneornil(L, 2)) {
    if (const reply refused = read_seconds(L, v, 2, seconds); refused < 0) return refused;
  }
  if (!protect::suspendable(L, v.running())) return action::raise_unsuspendable;
  return end_process(L, v, from_seconds(seconds), killed);
}

// signal(name or number [, group]) -> true, or nil, "ended".
reply signal_body(lua_State* L, vm& v) {
  lua_process* p = to_object<lua_process>(L, 1);
  if (!p) return wrong_self(L, v);
  int number = 0;
  if (lua_type(L, 2) == LUA_TSTRING)
    number = signal_number(lua_tostring(L, 2));
  else
    number = static_cast<int>(read_count(L, 2, NSIG - 1));
  if (number < 1) return bad_argument(v, 2, "a signal such as \"TERM\" expected", L);
  const bool group = lua_isnoneornil(L, 3) || lua_toboolean(L, 3);
  if (p->owner) {
    auto sent = p->owner->signal(number, group);
    if (!sent && sent.error().code != ESRCH) return raise_error(v, std::move(sent).error());
    if (sent) {
      lua_pushboolean(L, 1);
      return 1;
    }
  }
  lua_pushnil(L);
  lua_pushliteral(L, "ended");
  return 2;
}

reply running_body(lua_State* L, vm& v) {
  const lua_process* p = to_object<lua_process>(L, 1);
  if (!p) return wrong_self(L, v);
  lua_pushboolean(L, p->owner && p->owner->running());
  return 1;
}

// members() -> how many processes of its group run, itself included
reply members_body(lua_State* L, vm& v) {
  const lua_process* p = to_object<lua_process>(L, 1);
  if (!p) return wrong_self(L, v);
  lua_pushinteger(L, p->owner ? static_cast<lua_Integer>(p->owner->group_size()) : 0);
  return 1;
}

// Methods, and pid, stdin, stdout, stderr.
reply index_process(lua_State* L, vm&) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  const lua_process* p = to_object<lua_process>(L, 1);
  if (!p) return 1;
  if (name == "pid")
    lua_pushinteger(L, p->id);
  else if (name == "stdin")
    lua_getiuservalue(L, 1, lua_process::input);
  else if (name == "stdout")
    lua_getiuservalue(L, 1, lua_process::output);
  else if (name == "stderr")
    lua_getiuservalue(L, 1, lua_process::errors);
  return 1;
}

reply print_process(lua_State* L, vm& v) {
  const lua_process* p = to_object<lua_process>(L, 1);
  if (!p) return wrong_self(L, v);
  lua_pushfstring(L, "process: %d (%s)", static_cast<int>(p->id), p->owner && p->owner->running() ? "running" : "ended");
  return 1;
}

// A forgotten child is ended beside the collector, by a task of its own.
reply collect_process(lua_State* L, vm&) {
  auto& p = object_at<lua_process>(L, 1);
  if (p.owner) p.owner->close_detached();
  p.~lua_process();
  return 0;
}

template <class T>
reply collect_object(lua_State* L, vm&) {
  object_at<T>(L, 1).~T();
  return 0;
}

template <class T>
void define_call(lua_State* L, type_name type, const char* shown) {
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_object<T>>}};
  define_type(L, type, shown, {}, metamethods);
}

void set_number(lua_State* L, const char* name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

}  // namespace

void push_exit_status(lua_State* L, const exit_status& status) {
  lua_createtable(L, 0, 8);
  if (status.signal) {
    const std::string_view name = signal_name(status.signal);
    if (name.empty())
      lua_pushfstring(L, "%d", status.signal);
    else
      lua_pushlstring(L, name.data(), name.size());
    lua_setfield(L, -2, "signal");
  } else {
    lua_pushinteger(L, status.code);
    lua_setfield(L, -2, "code");
  }
  lua_pushboolean(L, status.success());
  lua_setfield(L, -2, "ok");
  set_number(L, "duration", to_seconds(status.elapsed));
  lua_createtable(L, 0, 3);
  set_number(L, "user", status.usage.user_seconds);
  set_number(L, "system", status.usage.system_seconds);
  lua_pushinteger(L, static_cast<lua_Integer>(status.usage.max_rss_bytes));
  lua_setfield(L, -2, "max_rss");
  lua_setfield(L, -2, "rusage");
}

void define_process(lua_State* L) {
  constexpr library_function methods[] = {
      {"wait", protect::native<wait_body>},       {"wait_op", protect::native<make_operation<wait_verb, lua_process>>},
      {"signal", protect::native<signal_body>},   {"kill", protect::native<kill_body>},
      {"close", protect::native<close_body>},     {"running", protect::native<running_body>},
      {"members", protect::native<members_body>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>},
                                              {"__gc", protect::native<collect_process>},
                                              {"__tostring", protect::native<print_process>}};
  define_type(L, type_name::process, "perilune.process", methods, metamethods, protect::native<index_process>);
  define_call<wait_call>(L, type_name::wait_call, "perilune.process.wait");
  define_call<end_call>(L, type_name::end_call, "perilune.process.end");
}

}  // namespace perilune
