// The kinds of handles that VMs share, each a crossing_kind. See transfer.hpp.
#pragma once

#include "transfer.hpp"

namespace perilune {

crossing_ptr cross_shared_channel(lua_State* L, int index);

}  // namespace perilune
