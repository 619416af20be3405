// string.find, match, gmatch and gsub on counted steps, for VMs whose code is not trusted. See pattern.hpp.
#include <algorithm>
#include <cctype>
#include <cstring>

#include "bounded.hpp"
#include "pattern.hpp"

namespace perilune {

namespace {

using text = pattern_match::text;

// The string, or number as a string, at an argument. False: refused, the reply is set.
bool read_text(lua_State* L, vm& v, int argument, text& into, reply& refused) {
  std::size_t size = 0;
  const char* begin = lua_tolstring(L, argument, &size);
  if (!begin) return refused = wrong_type(L, v, argument, "string"), false;
  into = {begin, begin + size};
  return true;
}

std::size_t size_of(const text& t) noexcept { return static_cast<std::size_t>(t.end - t.begin); }

// The place that the position at an argument, 1 by default, means; may lie behind the end. False: refused.
bool read_start(lua_State* L, vm& v, int argument, const text& subject, std::size_t& start, reply& refused) {
  lua_Integer at = 1;
  if (!read_integer(L, v, argument, true, at, refused)) return false;
  const auto size = static_cast<lua_Integer>(size_of(subject));
  if (at < 0) at = at < -size ? 1 : size + at + 1;
  start = at > 0 ? static_cast<std::size_t>(at) - 1 : 0;
  return true;
}

bool is_plain(const text& pattern) noexcept {
  return std::none_of(pattern.begin, pattern.end, [](char c) { return c && std::strchr("^$*+?.([%-", c); });
}

reply find_plainly(lua_State* L, const text& subject, const text& wanted, std::size_t start) {
  protect::charge(L, (size_of(subject) - start) / 16);
  const void* found = size_of(wanted)
                          ? memmem(subject.begin + start, size_of(subject) - start, wanted.begin, size_of(wanted))
                          : subject.begin + start;
  if (!found) return lua_pushnil(L), 1;
  const auto at = static_cast<lua_Integer>(static_cast<const char*>(found) - subject.begin) + 1;
  lua_pushinteger(L, at);
  lua_pushinteger(L, at + static_cast<lua_Integer>(size_of(wanted)) - 1);
  return 2;
}

// Takes a leading '^' off a pattern.
bool take_anchor(text& pattern) noexcept {
  if (pattern.begin == pattern.end || *pattern.begin != '^') return false;
  ++pattern.begin;
  return true;
}

template <bool Finds>
reply search(lua_State* L, const text& subject, text pattern, std::size_t start) {
  const bool anchored = take_anchor(pattern);
  pattern_match match(L, subject, pattern);
  for (const char* at = subject.begin + start; at <= subject.end; ++at) {
    if (const char* end = match.at(at)) {
      match.settle();
      if constexpr (!Finds) return match.push_all(at, end);
      lua_pushinteger(L, at - subject.begin + 1);
      lua_pushinteger(L, end - subject.begin);
      return match.push_all(nullptr, nullptr) + 2;
    }
    if (anchored) break;
  }
  match.settle();
  lua_pushnil(L);
  return 1;
}

template <bool Finds>
reply find_body(lua_State* L, vm& v) {
  text subject;
  text pattern;
  std::size_t start = 0;
  reply refused = 0;
  if (!read_text(L, v, 1, subject, refused) || !read_text(L, v, 2, pattern, refused) ||
      !read_start(L, v, 3, subject, start, refused))
    return refused;
  if (start > size_of(subject)) return lua_pushnil(L), 1;
  if (Finds && (lua_toboolean(L, 4) || is_plain(pattern))) return find_plainly(L, subject, pattern, start);
  return search<Finds>(L, subject, pattern, start);
}

// gmatch: upvalues are subject, pattern, where to go on, where the last match ended (positions from 0, -1 for none).
reply next_match(lua_State* L, vm&) {
  text subject;
  text pattern;
  std::size_t size = 0;
  subject.begin = lua_tolstring(L, lua_upvalueindex(1), &size);
  subject.end = subject.begin + size;
  pattern.begin = lua_tolstring(L, lua_upvalueindex(2), &size);
  pattern.end = pattern.begin + size;
  const lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
  pattern_match match(L, subject, pattern);
  for (const char* at = subject.begin + lua_tointeger(L, lua_upvalueindex(3)); at <= subject.end; ++at) {
    const char* end = match.at(at);
    if (!end || end - subject.begin == last) continue;
    match.settle();
    lua_pushinteger(L, end - subject.begin);
    lua_pushvalue(L, -1);
    lua_replace(L, lua_upvalueindex(3));
    lua_replace(L, lua_upvalueindex(4));
    return match.push_all(at, end);
  }
  match.settle();
  return 0;
}

reply gmatch_body(lua_State* L, vm& v) {
  text subject;
  text pattern;
  std::size_t start = 0;
  reply refused = 0;
  if (!read_text(L, v, 1, subject, refused) || !read_text(L, v, 2, pattern, refused) ||
      !read_start(L, v, 3, subject, start, refused))
    return refused;
  lua_settop(L, 2);
  lua_pushinteger(L, static_cast<lua_Integer>(std::min(start, size_of(subject) + 1)));
  lua_pushinteger(L, -1);
  lua_pushcclosure(L, protect::native<next_match>, 4);
  return 1;
}

// One match of gsub on its way into the result.
struct replacing {
  lua_State* L;
  luaL_Buffer* result;
  pattern_match* match;
  const char* begin;
  const char* end;
};

// The replacement text at argument 3, with what its escapes stand for.
void add_text(const replacing& r) {
  std::size_t size = 0;
  const char* from = lua_tolstring(r.L, 3, &size);
  const char* const end = from + size;
  while (const void* found = std::memchr(from, '%', static_cast<std::size_t>(end - from))) {
    const char* mark = static_cast<const char*>(found);
    luaL_addlstring(r.result, from, static_cast<std::size_t>(mark - from));
    const char which = mark[1];
    if (which == '%') {
      luaL_addchar(r.result, '%');
    } else if (which == '0') {
      luaL_addlstring(r.result, r.begin, static_cast<std::size_t>(r.end - r.begin));
    } else if (std::isdigit(static_cast<unsigned char>(which))) {
      r.match->push(which - '1', r.begin, r.end);
      luaL_tolstring(r.L, -1, nullptr);
      lua_remove(r.L, -2);
      luaL_addvalue(r.result);
    } else {
      refuse(r.L, "invalid use of '%' in replacement string");
    }
    from = mark + 2;
  }
  luaL_addlstring(r.result, from, static_cast<std::size_t>(end - from));
}

// What a function or table makes of the match; false leaves it as it is.
bool add_value(const replacing& r, int kind) {
  lua_State* L = r.L;
  if (kind == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    protect::call(L, r.match->push_all(r.begin, r.end), 1);
  } else {
    r.match->push(0, r.begin, r.end);
    lua_gettable(L, 3);
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(r.result, r.begin, static_cast<std::size_t>(r.end - r.begin));
    return false;
  }
  if (!lua_isstring(L, -1)) refuse(L, lua_pushfstring(L, "invalid replacement value (a %s)", luaL_typename(L, -1)));
  luaL_addvalue(r.result);
  return true;
}

reply substitute(lua_State* L, const text& subject, text pattern, lua_Integer most) {
  const int kind = lua_type(L, 3);
  const bool anchored = take_anchor(pattern);
  pattern_match match(L, subject, pattern);
  luaL_Buffer result;
  luaL_buffinit(L, &result);
  lua_Integer count = 0;
  bool changed = false;
  const char* last = nullptr;
  const char* at = subject.begin;
  while (count < most) {
    const char* const end = match.at(at);
    if (end && end != last) {
      ++count;
      const replacing one{L, &result, &match, at, end};
      if (kind == LUA_TFUNCTION || kind == LUA_TTABLE)
        changed = add_value(one, kind) || changed;
      else
        add_text(one), changed = true;
      at = last = end;
    } else if (at < subject.end) {
      luaL_addchar(&result, *at++);
    } else {
      break;
    }
    if (anchored) break;
  }
  match.settle();
  luaL_addlstring(&result, at, static_cast<std::size_t>(subject.end - at));
  luaL_pushresult(&result);
  if (!changed) lua_pushvalue(L, 1);
  lua_pushinteger(L, count);
  return 2;
}

reply gsub_body(lua_State* L, vm& v) {
  text subject;
  text pattern;
  reply refused = 0;
  if (!read_text(L, v, 1, subject, refused) || !read_text(L, v, 2, pattern, refused)) return refused;
  auto most = static_cast<lua_Integer>(size_of(subject)) + 1;
  const int kind = lua_type(L, 3);
  if (!read_integer(L, v, 4, true, most, refused)) return refused;
  if (kind != LUA_TNUMBER && kind != LUA_TSTRING && kind != LUA_TFUNCTION && kind != LUA_TTABLE)
    return wrong_type(L, v, 3, "string/function/table");
  lua_settop(L, 3);
  return substitute(L, subject, pattern, most);
}

}  // namespace

void bound_patterns(lua_State* L) {
  constexpr library_function functions[] = {
      {"find", protect::native<find_body<true>>},
      {"match", protect::native<find_body<false>>},
      {"gmatch", protect::native<gmatch_body>},
      {"gsub", protect::native<gsub_body>},
  };
  set_functions(L, functions);
}

}  // namespace perilune
