// table.concat, insert, move, remove and sort, and string.rep, which charge what they do. See bounded.hpp.
#include <algorithm>
#include <climits>

#include "bounded.hpp"

namespace perilune {

void refuse(lua_State* L, const char* text) {
  vm& v = vm_of(L);
  v.message = text;
  protect::conclude(L, v, action::raise_message);
  __builtin_unreachable();
}

reply wrong_type(lua_State* L, vm& v, int argument, const char* expected) {
  const bool named = luaL_getmetafield(L, argument, "__name") == LUA_TSTRING;
  v.message = std::string(expected) + " expected, got " + (named ? lua_tostring(L, -1) : luaL_typename(L, argument));
  v.argument = argument;
  return action::raise_argument;
}

bool read_integer(lua_State* L, vm& v, int argument, bool optional, lua_Integer& into, reply& refused) {
  if (optional && lua_isnoneornil(L, argument)) return true;
  int whole = 0;
  const lua_Integer given = lua_tointegerx(L, argument, &whole);
  if (whole) return into = given, true;
  if (!lua_isnumber(L, argument)) return refused = wrong_type(L, v, argument, "number"), false;
  v.message = "number has no integer representation";
  v.argument = argument;
  return refused = action::raise_argument, false;
}

namespace {

reply bad_value(vm& v, int argument, const char* what) {
  v.message = what;
  v.argument = argument;
  return action::raise_argument;
}

reply concat_body(lua_State* L, vm& v) {
  if (!lua_istable(L, 1)) return wrong_type(L, v, 1, "table");
  if (!lua_isnoneornil(L, 2) && !lua_isstring(L, 2)) return wrong_type(L, v, 2, "string");
  lua_Integer first = 1;
  lua_Integer last = lua_isnoneornil(L, 4) ? luaL_len(L, 1) : 0;
  reply refused = 0;
  if (!read_integer(L, v, 3, true, first, refused) || !read_integer(L, v, 4, true, last, refused)) return refused;
  std::size_t size = 0;
  const char* separator = lua_isnoneornil(L, 2) ? "" : lua_tolstring(L, 2, &size);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (lua_Integer i = first; i <= last; ++i) {
    protect::charge(L, 1);
    lua_geti(L, 1, i);
    if (!lua_isstring(L, -1))
      refuse(L, lua_pushfstring(L, "invalid value (%s) at index %I in table for 'concat'", luaL_typename(L, -1), i));
    luaL_addvalue(&text);
    if (i == last) break;
    luaL_addlstring(&text, separator, size);
  }
  luaL_pushresult(&text);
  return 1;
}

// Moves the element at `from` to `to`, which may be in another table.
void move_one(lua_State* L, lua_Integer from, lua_Integer to, int into = 1) {
  protect::charge(L, 1);
  lua_geti(L, 1, from);
  lua_seti(L, into, to);
}

reply insert_body(lua_State* L, vm& v) {
  if (!lua_istable(L, 1)) return wrong_type(L, v, 1, "table");
  const auto free = static_cast<lua_Integer>(static_cast<lua_Unsigned>(luaL_len(L, 1)) + 1U);
  lua_Integer at = free;
  if (lua_gettop(L) == 3) {
    reply refused = 0;
    if (!read_integer(L, v, 2, false, at, refused)) return refused;
    if (static_cast<lua_Unsigned>(at) - 1U >= static_cast<lua_Unsigned>(free))
      return bad_value(v, 2, "position out of bounds");
    for (lua_Integer i = free; i > at; --i) move_one(L, i - 1, i);
  } else if (lua_gettop(L) != 2) {
    return raise_text(v, "wrong number of arguments to 'insert'");
  }
  lua_seti(L, 1, at);
  return 0;
}

reply remove_body(lua_State* L, vm& v) {
  if (!lua_istable(L, 1)) return wrong_type(L, v, 1, "table");
  const lua_Integer size = luaL_len(L, 1);
  lua_Integer at = size;
  reply refused = 0;
  if (lua_gettop(L) > 1) {
    if (!read_integer(L, v, 2, false, at, refused)) return refused;
    if (at != size && static_cast<lua_Unsigned>(at) - 1U > static_cast<lua_Unsigned>(size))
      return bad_value(v, 2, "position out of bounds");
  }
  lua_geti(L, 1, at);
  for (; at < size; ++at) move_one(L, at + 1, at);
  lua_pushnil(L);
  lua_seti(L, 1, at);
  return 1;
}

reply move_body(lua_State* L, vm& v) {
  lua_Integer first = 0;
  lua_Integer last = 0;
  lua_Integer to = 0;
  reply refused = 0;
  const int into = lua_isnoneornil(L, 5) ? 1 : 5;
  if (!lua_istable(L, 1)) return wrong_type(L, v, 1, "table");
  if (!read_integer(L, v, 2, false, first, refused) || !read_integer(L, v, 3, false, last, refused) ||
      !read_integer(L, v, 4, false, to, refused))
    return refused;
  if (!lua_istable(L, into)) return wrong_type(L, v, into, "table");
  if (last >= first) {
    if (first <= 0 && last >= LUA_MAXINTEGER + first) return bad_value(v, 3, "too many elements to move");
    const lua_Integer count = last - first + 1;
    if (to > LUA_MAXINTEGER - count + 1) return bad_value(v, 4, "destination wrap around");
    if (to > last || to <= first || (into != 1 && !lua_compare(L, 1, into, LUA_OPEQ)))
      for (lua_Integer i = 0; i < count; ++i) move_one(L, first + i, to + i, into);
    else
      for (lua_Integer i = count - 1; i >= 0; --i) move_one(L, first + i, to + i, into);
  }
  lua_pushvalue(L, into);
  return 1;
}

// Whether the value at one place of the stack goes before that at another, by the function at 2, if any.
bool before(lua_State* L, int a, int b) {
  protect::charge(L, 1);
  if (lua_isnil(L, 2)) return lua_compare(L, a, b, LUA_OPLT) != 0;
  lua_pushvalue(L, 2);
  lua_pushvalue(L, a);
  lua_pushvalue(L, b);
  protect::call(L, 2, 1);
  const bool less = lua_toboolean(L, -1) != 0;
  lua_pop(L, 1);
  return less;
}

// Lets the element at `root` sink to its place in the heap of the first `size`.
void sink(lua_State* L, lua_Integer root, lua_Integer size) {
  lua_geti(L, 1, root);
  const int value = lua_gettop(L);
  while (2 * root <= size) {
    lua_Integer child = 2 * root;
    lua_geti(L, 1, child);
    if (child < size) {
      lua_geti(L, 1, child + 1);
      if (before(L, value + 1, value + 2)) {
        ++child;
        lua_replace(L, value + 1);
      }
      lua_settop(L, value + 1);
    }
    if (!before(L, value, value + 1)) break;
    lua_seti(L, 1, root);
    root = child;
  }
  lua_settop(L, value);
  lua_seti(L, 1, root);
}

// A heap: never more than n log n comparisons, whatever the comparing function says.
reply sort_body(lua_State* L, vm& v) {
  if (!lua_istable(L, 1)) return wrong_type(L, v, 1, "table");
  const lua_Integer size = luaL_len(L, 1);
  if (size <= 1) return 0;
  if (size >= INT_MAX) return bad_value(v, 1, "array too big");
  if (!lua_isnoneornil(L, 2) && !lua_isfunction(L, 2)) return wrong_type(L, v, 2, "function");
  lua_settop(L, 2);
  for (lua_Integer root = size / 2; root >= 1; --root) sink(L, root, size);
  for (lua_Integer last = size; last > 1; --last) {
    lua_geti(L, 1, 1);
    lua_geti(L, 1, last);
    lua_seti(L, 1, 1);
    lua_seti(L, 1, last);
    sink(L, 1, last - 1);
  }
  return 0;
}

reply rep_body(lua_State* L, vm& v) {
  std::size_t size = 0;
  std::size_t between = 0;
  const char* text = lua_tolstring(L, 1, &size);
  const char* separator = lua_isnoneornil(L, 3) ? "" : lua_tolstring(L, 3, &between);
  lua_Integer count = 0;
  reply refused = 0;
  if (!text) return wrong_type(L, v, 1, "string");
  if (!read_integer(L, v, 2, false, count, refused)) return refused;
  if (!separator) return wrong_type(L, v, 3, "string");
  if (count <= 0 || size + between == 0) return lua_pushliteral(L, ""), 1;
  constexpr std::size_t largest = INT_MAX;  // as Lua has it
  if (size + between > largest / static_cast<std::size_t>(count)) return raise_text(v, "resulting string too large");
  const std::size_t total = static_cast<std::size_t>(count) * (size + between) - between;
  protect::charge(L, total / 64 + 1);
  luaL_Buffer buffer;
  luaL_buffinitsize(L, &buffer, total);
  for (; count > 0; --count) {
    luaL_addlstring(&buffer, text, size);
    if (count > 1) luaL_addlstring(&buffer, separator, between);
  }
  luaL_pushresult(&buffer);
  return 1;
}

}  // namespace

void bound_strings(lua_State* L) {
  constexpr library_function functions[] = {{"rep", protect::native<rep_body>}};
  set_functions(L, functions);
}

void bound_tables(lua_State* L) {
  constexpr library_function functions[] = {
      {"concat", protect::native<concat_body>}, {"insert", protect::native<insert_body>},
      {"move", protect::native<move_body>},     {"remove", protect::native<remove_body>},
      {"sort", protect::native<sort_body>},
  };
  set_functions(L, functions);
}

}  // namespace perilune
