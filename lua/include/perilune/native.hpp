// Opt-in: Lua's own interface below a host, for what the API has no words for. The only public header with lua_State.
//
// The rules of the VM hold: what runs here must not keep a C++ object with a destructor alive where Lua can raise, must not yield, and
// must not keep the state. Functions that scripts are to call are better defined by host::define.
#pragma once

#include <lua.hpp>

#include <perilune/host.hpp>

namespace perilune {

// Calls `fn` with `data` as a light userdata at stack index 1, protected, outside of any task. An error it raises is the status.
// Thread of the host.
status call_lua(const host& h, lua_CFunction fn, void* data = nullptr);

}  // namespace perilune
