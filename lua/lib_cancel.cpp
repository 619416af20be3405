// Tokens, shields, deferred closers and time limits. See lua-api: Cancellation, cleanup, time limits.
#include <cmath>
#include <limits>

#include <perilune/timer.hpp>
#include <perilune/token.hpp>
#include <perilune/token_link.hpp>

#include "error_object.hpp"
#include "library.hpp"
#include "lua_select.hpp"
#include "object.hpp"
#include "operation_object.hpp"
#include "region.hpp"
#include "shared_kinds.hpp"

namespace perilune {

namespace {

constexpr double defer_grace = 5;

std::uint64_t instant_after(vm& v, double seconds) noexcept {
  return static_cast<std::uint64_t>(saturating_add(v.host_runtime().time().now(), from_seconds(seconds)).count());
}

// Conclusions of regions: the stack is [region, handler, results... or error].

reply pass_results(lua_State* L) { return lua_gettop(L) - 2; }

reply conclude_timeout(lua_State* L, vm&, region& r) {
  if (r.body_ok) return pass_results(L);
  return r.cut ? r.raise_timeout(L, "timed out") : action::raise_top;
}

reply conclude_try(lua_State* L, region& r, const char* word) {
  if (r.body_ok) {
    lua_pushboolean(L, 1);
    lua_replace(L, 2);
    return lua_gettop(L) - 1;
  }
  if (!r.cut) return action::raise_top;
  if (const reply raised = r.raise_suppressed(L); raised < 0) return raised;
  lua_pushnil(L);
  lua_pushstring(L, word);
  return 2;
}

reply conclude_try_timeout(lua_State* L, vm&, region& r) { return conclude_try(L, r, "timeout"); }
reply conclude_token(lua_State* L, vm&, region& r) { return conclude_try(L, r, "cancelled"); }

reply conclude_shield(lua_State* L, vm&, region& r) {
  if (r.body_ok) return pass_results(L);
  return r.cut ? r.raise_timeout(L, "the shield's time limit passed") : action::raise_top;
}

reply check_function(lua_State* L, vm& v, int argument) {
  return is_callable(L, argument) ? 0 : bad_argument(v, argument, "a function expected", L);
}

template <region::conclude_function Conclude, bool Absolute>
reply limited_body(lua_State* L, vm& v) {
  double seconds = 0;
  if (const reply refused = read_seconds(L, v, 1, seconds); refused < 0) return refused;
  if (const reply refused = check_function(L, v, 2); refused < 0) return refused;
  if (!v.in_task()) return action::raise_unsuspendable;
  region& r = region::prepare(L, v, lua_gettop(L) - 1, Conclude);
  r.limited = true;
  r.deadline_ns = Absolute ? static_cast<std::uint64_t>(from_seconds(seconds).count()) : instant_after(v, seconds);
  return action::run_region;
}

reply shield_body(lua_State* L, vm& v) {
  double seconds = 0;
  const bool limited = lua_type(L, 1) == LUA_TNUMBER;
  const int function = limited ? 2 : 1;
  if (limited) {
    if (const reply refused = read_seconds(L, v, 1, seconds); refused < 0) return refused;
  }
  if (const reply refused = check_function(L, v, function); refused < 0) return refused;
  if (!v.in_task()) return action::raise_unsuspendable;
  region& r = region::prepare(L, v, lua_gettop(L) - function + 1, conclude_shield);
  r.shield = true;
  r.limited = limited;
  r.deadline_ns = limited ? instant_after(v, seconds) : 0;
  return action::run_region;
}

// The smallest of all enclosing limits; infinite without any, -infinite when cancelled.
reply time_left_body(lua_State* L, vm& v) {
  lua_task& task = v.running();
  double left = std::numeric_limits<double>::infinity();
  if (task.cancel_pending()) {
    left = -left;
  } else {
    const double now = to_seconds(v.host_runtime().time().now());
    if (const auto deadline = task.top->deadline_in_force())
      left = to_seconds(instant(static_cast<std::int64_t>(*deadline))) - now;
  }
  lua_pushnumber(L, left);
  return 1;
}

// Deferred closers.

struct deferred {
  static constexpr std::uint64_t tag = 0x64656665'1c9e57b0ULL;
  bool ran = false;
};

reply conclude_defer(lua_State* L, vm&, region& r) {
  if (r.body_ok) return 0;
  return r.cut ? r.raise_timeout(L, "a deferred function did not end within its grace") : action::raise_top;
}

// A killed task without memory has had its chances: each further try is a whole collection, and there may be a million closers.
bool out_of_chances(vm& v, lua_task& task) noexcept {
  constexpr std::size_t least = std::size_t{16} * 1024;
  constexpr std::uint8_t tries = 16;
  const std::size_t most = v.options().rules.limits.memory;
  if (most == 0 || v.bytes_in_use() + least < most || !task.top->has(cancel_node::killed)) return false;
  return task.kill_strikes >= tries || ++task.kill_strikes >= tries;
}

reply run_deferred(lua_State* L, vm& v) {
  deferred* closer = to_object<deferred>(L, 1);
  if (!closer || closer->ran) return 0;
  closer->ran = true;
  if (out_of_chances(v, v.running())) return 0;
  lua_settop(L, 2);
  lua_getiuservalue(L, 1, 1);
  lua_insert(L, 2);
  region& r = region::prepare(L, v, 2, conclude_defer);
  r.shield = true;
  r.limited = true;
  r.deadline_ns = instant_after(v, defer_grace);
  return action::run_region;
}

reply defer_body(lua_State* L, vm& v) {
  if (const reply refused = check_function(L, v, 1); refused < 0) return refused;
  push_object<deferred>(L, type_name::deferred, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

// Tokens.

struct token {
  static constexpr std::uint64_t tag = 0x746f6b65'2b10c7f4ULL;
  token_state* state;
};

struct wait_kind final : operation_kind {
  const char* name() const noexcept override { return "wait"; }
  int attempt(lua_State* L, vm& v, int at) const override {
    token_state& state = *object_at<token>(L, at).state;
    state.catch_up();
    return state.cancelled() ? collect(L, v, at) : not_ready;
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const override { return *object_at<token>(L, at).state; }
  // The reason, or true when none was given.
  int collect(lua_State* L, vm&, int at) const override {
    const reason_ptr& reason = object_at<token>(L, at).state->reason();
    if (reason && !reason->text.empty())
      lua_pushlstring(L, reason->text.data(), reason->text.size());
    else
      lua_pushboolean(L, 1);
    return 1;
  }
};
constexpr wait_kind wait_verb;

token* check_token(lua_State* L) noexcept {
  token* t = to_object<token>(L, 1);
  if (t) t->state->catch_up();
  return t;
}
reply wrong_token(lua_State* L, vm& v) { return bad_argument(v, 1, "a token expected: call it with ':'", L); }

reply token_body(lua_State* L, vm&) {
  auto& holder = push_object<token>(L, type_name::token, 0, token{nullptr});
  holder.state = new token_state;
  return 1;
}

reply child_body(lua_State* L, vm& v) {
  token* parent = check_token(L);
  if (!parent) return wrong_token(L, v);
  auto& holder = push_object<token>(L, type_name::token, 0, token{nullptr});
  holder.state = &parent->state->make_child();
  return 1;
}

reply cancel_token_body(lua_State* L, vm& v) {
  token* t = check_token(L);
  if (!t) return wrong_token(L, v);
  if (!lua_isnoneornil(L, 2) && !lua_isstring(L, 2)) return bad_argument(v, 2, "reason must be a string", L);
  const char* text = lua_isnoneornil(L, 2) ? "" : lua_tostring(L, 2);
  lua_task& asker = v.running();
  t->state->cancel(reason_ptr::make(cancel_source::cancel, text, asker.id, asker.name ? asker.name : "token"));
  return 0;
}

reply is_cancelled_body(lua_State* L, vm& v) {
  token* t = check_token(L);
  if (!t) return wrong_token(L, v);
  lua_pushboolean(L, t->state->cancelled());
  return 1;
}

reply wait_body(lua_State* L, vm& v) {
  if (!check_token(L)) return wrong_token(L, v);
  return perform<wait_verb>(L, v, wait_body);
}

reply collect_token(lua_State* L, vm&) {
  auto& t = object_at<token>(L, 1);
  if (t.state) t.state->release();
  t.state = nullptr;
  return 0;
}

// The handles of a VM that mean the same token.
reply equal_tokens(lua_State* L, vm&) {
  const auto* a = to_object<token>(L, 1);
  const auto* b = to_object<token>(L, 2);
  lua_pushboolean(L, a && b && a->state == b->state);
  return 1;
}

// Each VM has a state of its own, so that scopes, waits and children are as local as ever.
class token_crossing final : public crossing {
 public:
  explicit token_crossing(std::shared_ptr<token_link> link) noexcept : link_(std::move(link)) {}
  void push(lua_State* L, vm& v) override {
    auto& holder = push_object<token>(L, type_name::token, 0, token{nullptr});
    holder.state = &link_->at(v.tasks(), v.has_worker());
  }

 private:
  const std::shared_ptr<token_link> link_;
};

reply index_token(lua_State* L, vm& v) {
  std::string_view name;
  if (push_method(L, name)) return 1;
  token* t = check_token(L);
  if (!t) return wrong_token(L, v);
  if (name == "reason" && t->state->reason() && !t->state->reason()->text.empty())
    lua_pushlstring(L, t->state->reason()->text.data(), t->state->reason()->text.size());
  return 1;
}

// Guards: cancel their token when their block is left, unless disarmed.

struct token_guard {
  static constexpr std::uint64_t tag = 0x67756172'48d3f60eULL;
  bool armed = true;
};

reply guard_body(lua_State* L, vm& v) {
  if (!check_token(L)) return wrong_token(L, v);
  push_object<token_guard>(L, type_name::token_guard, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

reply disarm_body(lua_State* L, vm& v) {
  token_guard* guard = to_object<token_guard>(L, 1);
  if (!guard) return bad_argument(v, 1, "a guard expected: call it with ':'", L);
  guard->armed = false;
  return 0;
}

reply close_guard(lua_State* L, vm& v) {
  token_guard* guard = to_object<token_guard>(L, 1);
  if (!guard || !guard->armed) return 0;
  guard->armed = false;
  lua_getiuservalue(L, 1, 1);
  object_at<token>(L, -1).state->cancel(reason_ptr::make(cancel_source::cancel, "its guard was left", v.running().id));
  return 0;
}

reply with_token_body(lua_State* L, vm& v) {
  token* t = check_token(L);
  if (!t) return bad_argument(v, 1, "a token expected", L);
  if (const reply refused = check_function(L, v, 2); refused < 0) return refused;
  if (!v.in_task()) return action::raise_unsuspendable;
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (t->state->cancelled()) {
    lua_pushnil(L);
    lua_pushliteral(L, "cancelled");
    return 2;
  }
  token_state& state = *t->state;
  region& r = region::prepare(L, v, lua_gettop(L) - 1, conclude_token);
  state.retain();
  r.bind_to = &state;
  return action::run_region;
}

}  // namespace

crossing_ptr cross_token(lua_State* L, int index) {
  const auto* t = to_object<token>(L, index);
  if (!t) return nullptr;
  vm& v = vm_of(L);
  if (!t->state->linked()) t->state->link(std::make_shared<token_link>(), v.tasks(), v.has_worker());
  return std::make_shared<token_crossing>(t->state->linked());
}

void open_cancellation(lua_State* L) {
  constexpr library_function functions[] = {
      {"timeout", protect::native<limited_body<conclude_timeout, false>>},
      {"try_timeout", protect::native<limited_body<conclude_try_timeout, false>>},
      {"deadline", protect::native<limited_body<conclude_timeout, true>>},
      {"time_left", protect::native<time_left_body>},
      {"shield", protect::native<shield_body>},
      {"defer", protect::native<defer_body>},
      {"token", protect::native<token_body>},
      {"with_token", protect::native<with_token_body>},
      {"critical", protect::critical},
  };
  set_functions(L, functions);
}

void define_deferred(lua_State* L) {
  constexpr library_function metamethods[] = {{"__close", protect::native<run_deferred>}};
  define_type(L, type_name::deferred, "perilune.deferred", {}, metamethods);
}

void define_tokens(lua_State* L) {
  constexpr library_function methods[] = {
      {"cancel", protect::native<cancel_token_body>},
      {"child", protect::native<child_body>},
      {"is_cancelled", protect::native<is_cancelled_body>},
      {"wait", protect::native<wait_body>},
      {"wait_op", protect::native<make_operation<wait_verb, token>>},
      {"guard", protect::native<guard_body>},
  };
  constexpr library_function metamethods[] = {{"__gc", protect::native<collect_token>},
                                              {"__eq", protect::native<equal_tokens>}};
  define_type(L, type_name::token, "perilune.token", methods, metamethods, protect::native<index_token>);
  constexpr library_function guard_methods[] = {{"disarm", protect::native<disarm_body>}};
  constexpr library_function guard_metamethods[] = {{"__close", protect::native<close_guard>}};
  define_type(L, type_name::token_guard, "perilune.token_guard", guard_methods, guard_metamethods);
}

}  // namespace perilune
