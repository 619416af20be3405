// perilune.native.groups: what shipped modules (groups, retries, supervisors, nats) need beside the published calls.
#include "error_object.hpp"
#include "library.hpp"
#include "lua_task.hpp"
#include "native_modules.hpp"
#include "object.hpp"
#include "protect_handlers.hpp"
#include "traceback.hpp"

namespace perilune {

namespace {

// random() -> a number in [0, 1) from the worker's seeded generator.
reply random_body(lua_State* L, vm& v) {
  constexpr double steps = 4294967296.0;
  lua_pushnumber(L, static_cast<double>(v.tasks().random() & 0xFFFFFFFF) / steps);
  return 1;
}

// What shipped modules raise themselves.
error_kind kind_named(const char* name) noexcept {
  switch (*name) {
    case 'g': return error_kind::group;
    case 'i': return error_kind::io;
    default: return error_kind::error;
  }
}

// failure(kind, fields) -> an error object of kind "group", "io" or "error"; the field "value" is what was raised.
reply failure_body(lua_State* L, vm& v) {
  error_object::push_new(L, v, kind_named(lua_tostring(L, 1)), false);
  const int object = lua_gettop(L);
  push_script_traceback(L, nullptr, 1);
  error_object::set_field(L, object, "traceback");
  lua_getfield(L, 2, "value");
  lua_setiuservalue(L, object, error_object::value);
  for (lua_pushnil(L); lua_next(L, 2);) error_object::set_field(L, object, lua_tostring(L, -2));
  return 1;
}

// add_suppressed(e, list): appends to the errors that an error object suppressed.
reply add_suppressed_body(lua_State* L, vm&) {
  lua_settop(L, 2);
  if (lua_rawlen(L, 2)) protect::add_suppressed(L, 1);
  return 0;
}

}  // namespace

int open_groups(lua_State* L) {
  constexpr library_function functions[] = {
      {"random", protect::native<random_body>},
      {"failure", protect::native<failure_body>},
      {"add_suppressed", protect::native<add_suppressed_body>},
  };
  lua_createtable(L, 0, 3);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
