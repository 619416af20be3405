// Checking option tables. See option_table.hpp.
#include "option_table.hpp"

#include <algorithm>

#include "closest_name.hpp"

namespace perilune {

namespace {

reply refuse_name(vm& v, std::string_view name, const char* call, const char* const* known, std::size_t count) {
  v.message = "unknown option '" + std::string(name.substr(0, 40)) + "' to '" + call + "'";
  closest_name meant(name);
  for (std::size_t i = 0; i < count; ++i) meant.consider(known[i]);
  if (!meant.best().empty()) v.message.append("; did you mean '").append(meant.best()).append("'?");
  v.message += " (known: ";
  for (std::size_t i = 0; i < count; ++i) v.message += std::string(i ? ", " : "") + known[i];
  v.message += ')';
  return action::raise_message;
}

}  // namespace

reply check_option_names(lua_State* L, vm& v, int index, const char* call, const char* const* known,
                         std::size_t count) {
  index = lua_absindex(L, index);
  const auto is_known = [&](std::string_view name) {
    return std::any_of(known, known + count, [&](const char* k) { return name == k; });
  };
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      return raise_text(v, std::string("bad options to '") + call + "' (names must be strings)");
    std::size_t size = 0;
    const char* name = lua_tolstring(L, -2, &size);
    if (!is_known({name, size})) return refuse_name(v, {name, size}, call, known, count);
  }
  return 0;
}

reply bad_option(lua_State* L, vm& v, const char* name, const char* call, const char* expected) {
  return raise_text(v, std::string("bad option '") + name + "' to '" + call + "' (" + expected + ", got " +
                           what_was_given(L, -1) + ")");
}

}  // namespace perilune
