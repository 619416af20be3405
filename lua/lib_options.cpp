// perilune.native.options: the check of option names for modules written in Lua.
#include "library.hpp"
#include "native_modules.hpp"
#include "option_table.hpp"
#include "scratch.hpp"

namespace perilune {

namespace {

constexpr std::size_t most_names = 32;

// problem(options, call, names) -> what is wrong with the names in the table, or nil.
reply problem_body(lua_State* L, vm& v) {
  const char* known[most_names];
  const auto count = static_cast<std::size_t>(lua_rawlen(L, 3));
  if (count > most_names) return raise_text(v, "too many option names");
  luaL_checkstack(L, static_cast<int>(most_names) + 8, "option names");
  for (std::size_t i = 0; i < count; ++i) {
    lua_rawgeti(L, 3, static_cast<lua_Integer>(i) + 1);
    known[i] = lua_tostring(L, -1);
  }
  if (check_option_names(L, v, 1, lua_tostring(L, 2), known, count) < 0) return push_scratch(L, v);
  return 0;
}

}  // namespace

int open_option_checks(lua_State* L) {
  constexpr library_function functions[] = {{"problem", protect::native<problem_body>}};
  lua_createtable(L, 0, 1);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
