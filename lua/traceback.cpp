// Trimming Lua's own traceback. See traceback.hpp.
#include "traceback.hpp"

#include <string_view>

namespace perilune {

void push_script_traceback(lua_State* L, const char* heading, int level) {
  constexpr std::string_view entry = "\n\t[C]: in ?";
  luaL_traceback(L, L, heading, level);
  std::size_t size = 0;
  const char* text = lua_tolstring(L, -1, &size);
  if (!std::string_view(text, size).ends_with(entry)) return;
  lua_pushlstring(L, text, size - entry.size());
  lua_replace(L, -2);
}

}  // namespace perilune
