// The native half of perilune.process: starting children, running them to their end, and raising how they ended. What
// scripts pass is checked in scripts/perilune/process.lua.
#include <cstring>

#include "error_object.hpp"
#include "library.hpp"
#include "lua_process.hpp"
#include "lua_stream.hpp"
#include "native_modules.hpp"
#include "native_task.hpp"
#include "object.hpp"

namespace perilune {

namespace {

using native_run = native_task<result<run_result>>;

// Spawning.

bool start_process(lua_State* L, vm& v, lua_process& into) {
  process_options options;
  read_process_options(L, options);
  auto started = process::spawn(options);
  if (!started) return v.problem = std::move(started).error(), false;
  into.owner.emplace(*std::move(started));
  into.child = into.owner->child();
  into.grace = options.grace;
  into.id = into.owner->id();
  into.left = !options.kill_on_close;
  return true;
}

// The stream of one of the standard streams, made before the child; empty where that is no pipe.
lua_stream* push_pipe(lua_State* L, int stream, int process_at) {
  if (!asks_pipe(L, stream)) return nullptr;
  lua_stream& made = push_stream(L);
  lua_setiuservalue(L, process_at, stream + 1);
  return &made;
}

reply spawn_body(lua_State* L, vm& v) {
  if (!v.in_task()) return action::raise_unsuspendable;
  lua_settop(L, process_arguments);
  auto& made = push_object<lua_process>(L, type_name::process, lua_process::user_values);
  const int at = lua_gettop(L);
  lua_stream* const in = push_pipe(L, 0, at);
  lua_stream* const out = push_pipe(L, 1, at);
  lua_stream* const err = push_pipe(L, 2, at);
  if (!start_process(L, v, made)) return action::raise_problem;
  if (in) in->out = made.owner->input();
  if (out) out->in = made.owner->output();
  if (err) err->in = made.owner->errors();
  return 1;
}

// Running: the engine's run is a task below the caller.

void start_run(lua_State* L, native_run& call) {
  run_options options;
  read_process_options(L, options);
  if (lua_type(L, arg_timeout) == LUA_TNUMBER) options.timeout = from_seconds(lua_tonumber(L, arg_timeout));
  if (const lua_Integer bytes = read_count(L, arg_output_limit); bytes >= 0)
    options.output_limit = static_cast<std::size_t>(bytes);
  call.start(perilune::run(std::move(options)), "process.run");
}

void set_text(lua_State* L, const char* name, const std::string& text) {
  lua_pushlstring(L, text.data(), text.size());
  lua_setfield(L, -2, name);
}

// Returns the result, and what stopped the child, if something did. The strings stay in the task until they are pushed.
reply run_ended(lua_State* L, vm& v) {
  auto& call = object_at<native_run>(L, process_arguments + 1);
  const auto& end = call.end();
  if (!end.returned()) return raise_end(v, end);
  if (!end.value()) return raise_error(v, end.value().error());
  const run_result& done = *end.value();
  push_exit_status(L, done.status);
  if (asks_pipe(L, 1)) set_text(L, "stdout", done.out);
  if (asks_pipe(L, 2)) set_text(L, "stderr", done.err);
  const run_stop stop = done.stopped_by;
  call.drop();
  if (stop == run_stop::none) return 1;
  lua_pushstring(L, stop == run_stop::timeout ? "timeout" : "limit");
  return 2;
}

reply run_body(lua_State* L, vm& v) {
  if (v.running().cancel_pending()) return action::raise_cancel;
  if (!protect::suspendable(L, v.running())) return action::raise_unsuspendable;
  lua_settop(L, process_arguments);
  auto& call = push_object<native_run>(L, type_name::native_run, 0, wait_description{"run", "process", nullptr});
  start_run(L, call);
  return wait_for(L, v, call, run_ended);
}

reply collect_run(lua_State* L, vm&) {
  object_at<native_run>(L, 1).~native_run();
  return 0;
}

// raise(kind, message, fields): an error object with further fields.
reply raise_body(lua_State* L, vm& v) {
  constexpr error_kind kinds[] = {error_kind::process, error_kind::timeout, error_kind::limit};
  const char* name = lua_tostring(L, 1);
  error_kind kind = error_kind::error;
  for (const error_kind each : kinds)
    if (!std::strcmp(name, to_string(each))) kind = each;
  error_object::push_new(L, v, kind, false);
  const int object = lua_gettop(L);
  lua_pushvalue(L, 2);
  error_object::set_field(L, object, "message");
  luaL_traceback(L, L, nullptr, 2);
  error_object::set_field(L, object, "traceback");
  for (lua_pushnil(L); lua_next(L, 3);) error_object::set_field(L, object, lua_tostring(L, -2));
  return action::raise_top;
}

}  // namespace

int open_process(lua_State* L) {
  open_streams(L);
  define_process(L);
  constexpr library_function run_metamethods[] = {{"__gc", protect::native<collect_run>}};
  define_type(L, type_name::native_run, "perilune.process.run", {}, run_metamethods);
  constexpr library_function functions[] = {
      {"spawn", protect::native<spawn_body>},
      {"run", protect::native<run_body>},
      {"raise", protect::native<raise_body>},
  };
  lua_createtable(L, 0, 3);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
