// The kinds of handles that VMs share, each a crossing_kind. See transfer.hpp.
#pragma once

#include "transfer.hpp"

namespace perilune {

crossing_ptr cross_shared_channel(lua_State* L, int index);
crossing_ptr cross_shared_value(lua_State* L, int index);
crossing_ptr cross_buffer(lua_State* L, int index);
crossing_ptr cross_task(lua_State* L, int index);
crossing_ptr cross_token(lua_State* L, int index);
crossing_ptr cross_semaphore(lua_State* L, int index);

// A buffer whose bytes another handle has.
bool is_moved_buffer(lua_State* L, int index) noexcept;

}  // namespace perilune
