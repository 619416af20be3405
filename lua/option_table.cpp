// Checking option tables. See option_table.hpp.
#include "option_table.hpp"

#include <algorithm>
#include <vector>

namespace perilune {

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

reply refuse_name(vm& v, std::string_view name, const char* call, const char* const* known, std::size_t count) {
  v.message = "unknown option '" + std::string(name.substr(0, 40)) + "' to '" + call + "'";
  if (const std::string_view meant = closest_name(name, known, count); !meant.empty())
    v.message += "; did you mean '" + std::string(meant) + "'?";
  v.message += " (known: ";
  for (std::size_t i = 0; i < count; ++i) v.message += std::string(i ? ", " : "") + known[i];
  v.message += ')';
  return action::raise_message;
}

}  // namespace

std::string_view closest_name(std::string_view word, const char* const* known, std::size_t count) {
  std::string_view best;
  std::size_t least = std::min<std::size_t>(3, word.size() / 2 + 2);
  for (std::size_t i = 0; word.size() <= 40 && i < count; ++i) {
    const std::size_t distance = edit_distance(word, known[i]);
    if (distance >= least) continue;
    least = distance;
    best = known[i];
  }
  return best;
}

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
