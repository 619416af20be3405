// Watchers as scripts hold them. Owned by the collector; one worker only.
#pragma once

#include <lua.hpp>

#include <perilune/watcher.hpp>

#include "library.hpp"
#include "object.hpp"

namespace perilune {

// Pushes a watcher that shares `opened`. Raises when memory is out.
reply push_watcher(lua_State* L, fs::watcher& opened);

void define_watcher(lua_State* L);

}  // namespace perilune
