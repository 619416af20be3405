// Regular expressions (those of ECMAScript) for what a pipeline asks of its parameters. Short texts of people who run their own
// files; the library recurses, so the length of what is matched is for the caller to bound.
#include <regex>

#include "library.hpp"
#include "native_modules.hpp"

namespace perilune {

namespace {

// 1 or 0, whether the pattern occurs in the text; -1 with the problem in vm::message.
int search(const char* pattern, const char* text, std::size_t size, vm& v) {
  try {
    return std::regex_search(text, text + size, std::regex(pattern, std::regex::ECMAScript)) ? 1 : 0;
  } catch (const std::regex_error& problem) {
    v.message = problem.what();
    return -1;
  }
}

// search(pattern, text) -> boolean, or nil and what is wrong with the pattern
reply search_body(lua_State* L, vm& v) {
  if (lua_type(L, 1) != LUA_TSTRING) return bad_argument(v, 1, "a pattern expected", L);
  std::size_t size = 0;
  const char* text = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &size) : nullptr;
  if (!text) return bad_argument(v, 2, "a string expected", L);
  const int found = search(lua_tostring(L, 1), text, size, v);
  if (found >= 0) {
    lua_pushboolean(L, found);
    return 1;
  }
  lua_pushnil(L);
  lua_pushlstring(L, v.message.data(), v.message.size());
  return 2;
}

}  // namespace

int open_regex(lua_State* L) {
  constexpr library_function functions[] = {{"search", protect::native<search_body>}};
  lua_createtable(L, 0, 1);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
