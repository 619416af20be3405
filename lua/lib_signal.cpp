// perilune.signal: waiting for signals of the operating system. See lua-api: The world outside.
#include <optional>
#include <string>

#include <perilune/signal.hpp>

#include "library.hpp"
#include "native_modules.hpp"
#include "object.hpp"
#include "operation_object.hpp"

namespace perilune {

namespace {

// What listen returns. Every wait uses the same operation.
struct lua_listener {
  static constexpr std::uint64_t tag = 0x7369676e'c5d0a731ULL;
  std::optional<signal_listener> open{};
  std::optional<signal_operation> receiving{};
};

// The number that has arrived; 0 when the listener was closed.
int take_arrival(lua_listener& listener) { return listener.receiving->take_result().value_or(0); }

reply push_arrival(lua_State* L, int number) {
  if (number == 0) {
    lua_pushnil(L);
    lua_pushliteral(L, "closed");
    return 2;
  }
  const std::string_view name = signal_name(number);
  lua_pushlstring(L, name.data(), name.size());
  return 1;
}

struct recv_kind final : operation_kind {
  const char* name() const noexcept override { return "recv"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    auto& listener = object_at<lua_listener>(L, at);
    return listener.receiving->try_now(v.running()) ? push_arrival(L, take_arrival(listener)) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override {
    return *object_at<lua_listener>(L, at).receiving;
  }
  int collect(lua_State* L, vm&, int at) const override {
    return push_arrival(L, take_arrival(object_at<lua_listener>(L, at)));
  }
};
constexpr recv_kind recv_verb;

reply wrong_self(lua_State* L, vm& v) { return bad_argument(v, 1, "a listener expected: call it with ':'", L); }

reply recv_body(lua_State* L, vm& v) {
  if (!to_object<lua_listener>(L, 1)) return wrong_self(L, v);
  return perform<recv_verb>(L, v, recv_body);
}

reply iter_body(lua_State* L, vm& v) {
  if (!to_object<lua_listener>(L, 1)) return wrong_self(L, v);
  return push_iterator<recv_body>(L);
}

reply close_body(lua_State* L, vm& v) {
  lua_listener* listener = to_object<lua_listener>(L, 1);
  if (!listener) return wrong_self(L, v);
  listener->open->close();
  return 0;
}

reply collect_listener(lua_State* L, vm&) {
  object_at<lua_listener>(L, 1).~lua_listener();
  return 0;
}

// Opens the listener for the `count` names at the bottom of the stack. A reply < 0 refuses.
reply start_listening(lua_State* L, vm& v, int count, lua_listener& into) {
  std::vector<int> numbers;
  for (int i = 1; i <= count; ++i) {
    const char* name = lua_tostring(L, i);
    numbers.push_back(signal_number(name));
    if (numbers.back()) continue;
    v.argument = i;
    v.message = std::string("no signal is called '") + name + "'; known are INT, TERM, HUP, USR1, ...";
    return action::raise_argument;
  }
  auto opened = signal_listener::listen(numbers);
  if (!opened && opened.error().kind == error_kind::misuse) return raise_text(v, opened.error().message);
  if (!opened) return raise_error(v, std::move(opened).error());
  into.open.emplace(*std::move(opened));
  into.receiving.emplace(into.open->recv());
  return 0;
}

reply listen_body(lua_State* L, vm& v) {
  const int count = lua_gettop(L);
  if (count == 0) return bad_argument(v, 1, "the name of a signal expected", L);
  for (int i = 1; i <= count; ++i)
    if (lua_type(L, i) != LUA_TSTRING) return bad_argument(v, i, "the name of a signal expected", L);
  if (!v.in_task()) return action::raise_unsuspendable;
  auto& made = push_object<lua_listener>(L, type_name::signal_listener, 0);
  if (const reply refused = start_listening(L, v, count, made); refused < 0) return refused;
  return 1;
}

}  // namespace

int open_signal(lua_State* L) {
  constexpr library_function methods[] = {
      {"recv", protect::native<recv_body>},
      {"recv_op", protect::native<make_operation<recv_verb, lua_listener>>},
      {"iter", protect::native<iter_body>},
      {"close", protect::native<close_body>},
  };
  constexpr library_function metamethods[] = {{"__close", protect::native<close_body>},
                                              {"__gc", protect::native<collect_listener>}};
  define_type(L, type_name::signal_listener, "perilune.signal_listener", methods, metamethods);
  constexpr library_function functions[] = {{"listen", protect::native<listen_body>}};
  lua_createtable(L, 0, 1);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
