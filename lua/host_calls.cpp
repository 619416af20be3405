// Calls of the host's native functions by scripts: plain ones, asynchronous ones, and C++ coroutines. See <perilune/function.hpp>.
#include <optional>
#include <utility>

#include "call_frame.hpp"
#include "host_state.hpp"
#include "host_values.hpp"
#include "library.hpp"
#include "native_task.hpp"
#include "object.hpp"

namespace perilune {

using detail::call_frame;
using detail::native_function;
using detail::pending_call;

namespace {

// The function itself: the only upvalue of what scripts call.
struct host_function {
  static constexpr std::uint64_t tag = 0x686f7374'0c1d55e9ULL;
  native_function native{};
  std::string name{};
  ~host_function() {
    if (native.destroy) native.destroy(native.context);
  }
};

struct host_call {
  static constexpr std::uint64_t tag = 0x686f7374'93b7a2d1ULL;
  std::shared_ptr<pending_call> pending{};
  ~host_call() { end(); }
  void end() noexcept {
    if (pending) pending->give_up();
    pending.reset();
  }
};

using host_run = native_task<value_list>;

template <class T>
int collect(lua_State* L) {
  object_at<T>(L, 1).~T();
  return 0;
}

template <class T>
void open_collected_type(lua_State* L, type_name name) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, collect<T>);
  lua_setfield(L, -2, "__gc");
  keep_type(L, name);
}

host_function& called(lua_State* L) noexcept { return object_at<host_function>(L, lua_upvalueindex(1)); }

reply plain_body(lua_State* L, vm& v) {
  const native_function& native = called(L).native;
  call_frame frame(L, v, 1);
  native.call(native.context, frame);
  return frame.conclude();
}

reply push_given(lua_State* L, const value_list& given) {
  const int before = lua_gettop(L);
  return push_values(L, given) ? lua_gettop(L) - before : action::raise_top;
}

// What a call that waits needs first. A reply < 0 refuses.
reply check_waiting(lua_State* L, vm& v) {
  if (!v.in_task()) return raise_text(v, "no task is running here that could wait");
  if (v.running().cancel_pending()) return action::raise_cancel;
  return protect::suspendable(L, v.running()) ? 0 : action::raise_unsuspendable;
}

reply async_done(lua_State* L, vm& v) {
  pending_call& call = *object_at<host_call>(L, 1).pending;
  if (call.problem) return raise_error(v, *call.problem);
  return push_given(L, call.results);
}

// Calls the function. A reply, or nothing where its end is still to come.
std::optional<reply> begin_async(lua_State* L, vm& v, std::shared_ptr<pending_call>& pending) {
  const host_function& function = called(L);
  pending = std::make_shared<pending_call>(function.name.c_str());
  call_frame frame(L, v, 2);
  frame.pending = pending;
  function.native.call(function.native.context, frame);
  if (frame.refused < 0) return frame.refused;
  return pending->arrived() ? std::optional(async_done(L, v)) : std::nullopt;
}

// A call that has ended at once leaves nothing for the collector to end.
reply async_body(lua_State* L, vm& v) {
  if (const reply refused = check_waiting(L, v); refused < 0) return refused;
  auto& call = push_object<host_call>(L, 0);
  lua_insert(L, 1);
  try {
    const std::optional<reply> ended = begin_async(L, v, call.pending);
    if (ended) return call.end(), *ended;
  } catch (...) {
    call.end();
    throw;
  }
  push_type(L, type_name::host_call);
  lua_setmetatable(L, 1);
  return wait_for(L, v, *call.pending, async_done);
}

reply coroutine_done(lua_State* L, vm& v) {
  const outcome<value_list>& end = object_at<host_run>(L, 1).end();
  return end.returned() ? push_given(L, end.value()) : raise_end(v, end);
}

reply coroutine_body(lua_State* L, vm& v) {
  if (const reply refused = check_waiting(L, v); refused < 0) return refused;
  const host_function& function = called(L);
  auto& run =
      push_object<host_run>(L, type_name::host_run, 0, wait_description{function.name.c_str(), "native task", nullptr});
  lua_insert(L, 1);
  call_frame frame(L, v, 2);
  function.native.call(function.native.context, frame);
  if (frame.refused < 0) return frame.refused;
  run.start(std::move(frame.body), function.name.c_str());
  return wait_for(L, v, run, coroutine_done);
}

struct definition {
  std::string_view path;
  lua_CFunction call;
  native_function* native;
  const void* type = nullptr;  // of a method
  std::string_view class_name;
};

// Pushes the Lua function; from here on the collector owns the native one.
void push_function(lua_State* L, const definition& made) {
  auto& function = push_object<host_function>(L, type_name::host_function, 0);
  lua_pushcclosure(L, made.call, 1);
  function.native = std::exchange(*made.native, {});
  function.name = made.path;
}

reply function_body(lua_State* L, vm& v) {
  const auto& made = *static_cast<const definition*>(lua_touserdata(L, 1));
  if (!push_place(L, made.path, true)) return no_place(v, made.path);
  push_function(L, made);
  lua_rawset(L, -3);
  return 0;
}

reply method_body(lua_State* L, vm&) {
  const auto& made = *static_cast<const definition*>(lua_touserdata(L, 1));
  push_class(L, made.type, made.class_name);
  lua_getfield(L, -1, "__index");
  lua_pushlstring(L, made.path.data(), made.path.size());
  push_function(L, made);
  lua_rawset(L, -3);
  return 0;
}

}  // namespace

void open_host_types(lua_State* L) {
  open_collected_type<host_function>(L, type_name::host_function);
  open_collected_type<host_call>(L, type_name::host_call);
  open_collected_type<host_run>(L, type_name::host_run);
}

namespace detail {

bool pending_call::finish(value_list with, std::optional<error> failed) {
  if (!claim()) return false;
  results = std::move(with);
  problem = std::move(failed);
  deliver();
  return true;
}

reply call_frame::conclude() {
  if (refused < 0) return refused;
  if (results.empty()) return pushed;
  const reply more = push_given(L, results);
  return more < 0 ? more : pushed + more;
}

std::size_t argument_count(const call_frame& frame) noexcept { return static_cast<std::size_t>(frame.count); }

value_type argument_type(const call_frame& frame, std::size_t index) noexcept {
  const int at = frame.index_of(index);
  switch (at ? lua_type(frame.L, at) : LUA_TNONE) {
    case LUA_TBOOLEAN:
      return value_type::boolean;
    case LUA_TNUMBER:
      return lua_isinteger(frame.L, at) ? value_type::integer : value_type::number;
    case LUA_TSTRING:
      return value_type::string;
    case LUA_TTABLE:
      return value_type::table;
    case LUA_TFUNCTION:
      return value_type::function;
    case LUA_TNIL:
    case LUA_TNONE:
      return value_type::nil;
    default:
      if (to_object<host_object>(frame.L, at)) return value_type::object;
      return to_object<lua_task>(frame.L, at) ? value_type::task : value_type::other;
  }
}

void refuse_argument(call_frame& frame, std::size_t index, const char* expected) {
  if (frame.refused < 0) return;
  const int at = frame.index_of(index);
  frame.refuse(bad_argument(frame.machine, at, expected, frame.L));
  frame.machine.argument = static_cast<int>(index) + 1;
  if (!at) frame.machine.message = std::string(expected) + ", got no value";
}

void fail_call(call_frame& frame, error problem) {
  if (frame.refused == 0) frame.refuse(raise_error(frame.machine, std::move(problem)));
}

bool read_argument(call_frame& frame, std::size_t index, bool& to) {
  const int at = frame.index_of(index);
  if (!at || !lua_isboolean(frame.L, at)) return refuse_argument(frame, index, "boolean expected"), false;
  to = lua_toboolean(frame.L, at) != 0;
  return true;
}

bool read_argument(call_frame& frame, std::size_t index, double& to) {
  const int at = frame.index_of(index);
  if (!at || lua_type(frame.L, at) != LUA_TNUMBER) return refuse_argument(frame, index, "number expected"), false;
  to = lua_tonumber(frame.L, at);
  return true;
}

bool read_argument(call_frame& frame, std::size_t index, std::int64_t& to) {
  const int at = frame.index_of(index);
  int whole = 0;
  if (at && lua_type(frame.L, at) == LUA_TNUMBER) to = lua_tointegerx(frame.L, at, &whole);
  if (!whole) refuse_argument(frame, index, "integer expected");
  return whole != 0;
}

bool read_argument(call_frame& frame, std::size_t index, std::string_view& to) {
  const int at = frame.index_of(index);
  if (!at || lua_type(frame.L, at) != LUA_TSTRING) return refuse_argument(frame, index, "string expected"), false;
  std::size_t size = 0;
  const char* text = lua_tolstring(frame.L, at, &size);
  to = {text, size};
  return true;
}

bool read_argument(call_frame& frame, std::size_t index, value& to) {
  const int at = frame.index_of(index);
  if (!at || read_value(frame.L, frame.machine, at, to)) return true;
  return refuse_argument(frame, index, "a table nested less deep expected"), false;
}

void push_result(call_frame& frame, std::nullptr_t) { push_result(frame, value()); }

namespace {

// Whether a scalar can be pushed at once: nothing is in front of it that has to wait.
bool may_push(const call_frame& frame) noexcept { return frame.results.empty() && frame.pushed < LUA_MINSTACK / 2; }

}  // namespace

void push_result(call_frame& frame, bool b) {
  if (!may_push(frame)) return static_cast<void>(frame.results.emplace_back(b));
  lua_pushboolean(frame.L, b);
  ++frame.pushed;
}
void push_result(call_frame& frame, std::int64_t i) {
  if (!may_push(frame)) return static_cast<void>(frame.results.emplace_back(i));
  lua_pushinteger(frame.L, i);
  ++frame.pushed;
}
void push_result(call_frame& frame, double d) {
  if (!may_push(frame)) return static_cast<void>(frame.results.emplace_back(d));
  lua_pushnumber(frame.L, d);
  ++frame.pushed;
}
void push_result(call_frame& frame, value v) { frame.results.push_back(std::move(v)); }

completion completion_of(call_frame& frame) { return completion(frame.pending); }

void await_in_call(call_frame& frame, task<value_list> body) { frame.body = std::move(body); }

}  // namespace detail

// Completions.

struct completion::last_copy {
  explicit last_copy(std::shared_ptr<pending_call> end) noexcept : call(std::move(end)) {}
  last_copy(const last_copy&) = delete;
  last_copy& operator=(const last_copy&) = delete;
  ~last_copy() {
    if (!call->claim()) return;
    call->problem = error{error_kind::error, "the host dropped the call without an end", 0, {}};
    call->deliver();
  }
  std::shared_ptr<pending_call> call;
};

completion::completion(std::shared_ptr<pending_call> call) : end_(std::make_shared<last_copy>(std::move(call))) {}

bool completion::resolve_all(value_list results) const { return end_->call->finish(std::move(results), std::nullopt); }
bool completion::fail(error problem) const { return end_->call->finish({}, std::move(problem)); }
void completion::on_cancel(std::function<void()> fn) const { end_->call->on_cancel(std::move(fn)); }
bool completion::cancelled() const noexcept { return end_->call->given_up(); }

// Defining.

status host::define_native(std::string_view name, kind how, native_function fn) const {
  constexpr lua_CFunction calls[] = {protect::native<plain_body>, protect::native<async_body>,
                                     protect::native<coroutine_body>};
  return state_->define(name, calls[static_cast<int>(how)], fn);
}

status host::define_method(const void* type, std::string_view class_name, std::string_view name,
                           native_function fn) const {
  definition made{name, protect::native<plain_body>, &fn, type, class_name};
  return state_->define_by(protect::native<method_body>, &made, fn);
}

status detail::host_state::define(std::string_view name, lua_CFunction body, native_function fn) {
  definition made{name, body, &fn, nullptr, {}};
  return define_by(protect::native<function_body>, &made, fn);
}

status detail::host_state::define_by(lua_CFunction how, void* what, native_function& fn) {
  error problem;
  if (auto why = refuse())
    problem = *std::move(why);
  else
    call(how, what, problem);
  if (fn.destroy) fn.destroy(fn.context);
  return problem.message.empty() ? status() : status(std::move(problem));
}

}  // namespace perilune
