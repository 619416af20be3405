// The handles that VMs share. See transfer.hpp.
#include <cstring>
#include <string_view>

#include "shared_kinds.hpp"

namespace perilune {

const std::vector<crossing_kind> crossing_kinds = {cross_shared_channel, cross_shared_value, cross_buffer,
                                                   cross_task,           cross_token,        cross_semaphore};

namespace {

// The name of the type in the metatable on top, found without making a string, which might raise.
std::string_view type_name_on_top(lua_State* L) noexcept {
  std::string_view name;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING && !std::strcmp(lua_tostring(L, -2), "__name"))
      name = lua_tostring(L, -1);
  return name;
}

}  // namespace

std::string userdata_that_stays(lua_State* L, int index) {
  if (is_moved_buffer(L, index)) return "a buffer that has moved to another VM";
  std::string what = "a userdata";
  if (!lua_getmetatable(L, index)) return what;
  if (const std::string_view name = type_name_on_top(L); !name.empty()) what.append(" (").append(name).append(")");
  if (what.ends_with("(perilune.channel)")) what += "; peri.shared_channel makes one that can";
  lua_pop(L, 1);
  return what;
}

std::string transfer_names::of(int number) const {
  if (function && number == 0) return function;
  if (!numbered) return values;
  return std::string(values) + "[" + std::to_string(function ? number : number + 1) + "]";
}

void push_loaded_modules(lua_State* L) { lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE); }

}  // namespace perilune
