// perilune.native.options: checks of what modules written in Lua are given.
#include "closest_name.hpp"
#include "library.hpp"
#include "native_modules.hpp"
#include "option_table.hpp"
#include "scratch.hpp"

namespace perilune {

namespace {

constexpr std::size_t most_names = 32;

// problem(options, call, names) -> what is wrong with the names in the table, or with what is no table, or nil.
reply problem_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TTABLE) {
    lua_pushfstring(L, "bad options of '%s' (a table expected, got %s)", lua_tostring(L, 2), luaL_typename(L, 1));
    return 1;
  }
  const char* known[most_names];
  const auto count = static_cast<std::size_t>(lua_rawlen(L, 3));
  if (count > most_names) return raise_text(v, "too many option names");
  protect::need_stack(L, static_cast<int>(most_names) + 8, "option names");
  for (std::size_t i = 0; i < count; ++i) {
    lua_rawgeti(L, 3, static_cast<lua_Integer>(i) + 1);
    known[i] = lua_tostring(L, -1);
  }
  if (check_option_names(L, v, 1, lua_tostring(L, 2), known, count) < 0) return push_scratch(L, v);
  return 0;
}

// callable(value) -> whether it can be called.
reply callable_body(lua_State* L, vm&) {
  lua_pushboolean(L, is_callable(L, 1));
  return 1;
}

// closable(value) -> whether it may stand in a <close> variable.
reply closable_body(lua_State* L, vm&) {
  lua_pushboolean(L, !lua_toboolean(L, 1) || luaL_getmetafield(L, 1, "__close") != LUA_TNIL);
  return 1;
}

// count(value, least) -> the integer that it is, 2 for 2.0, or nil when it is none of at least `least`.
reply count_body(lua_State* L, vm&) {
  const lua_Integer count = read_count(L, 1);
  if (count < lua_tointeger(L, 2)) return 0;
  lua_pushinteger(L, count);
  return 1;
}

// closest(word, names) -> the name that was probably meant, or nil.
reply closest_body(lua_State* L, vm&) {
  std::size_t size = 0;
  const char* word = lua_tolstring(L, 1, &size);
  closest_name meant({word, size});
  for (lua_Integer i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; ++i) {
    const char* name = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : nullptr;
    if (name) meant.consider({name, size});
    lua_pop(L, 1);
  }
  if (meant.best().empty()) return 0;
  lua_pushlstring(L, meant.best().data(), meant.best().size());
  return 1;
}

}  // namespace

int open_option_checks(lua_State* L) {
  constexpr library_function functions[] = {{"problem", protect::native<problem_body>},
                                            {"callable", protect::native<callable_body>},
                                            {"closable", protect::native<closable_body>},
                                            {"count", protect::native<count_body>},
                                            {"closest", protect::native<closest_body>}};
  lua_createtable(L, 0, 5);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
