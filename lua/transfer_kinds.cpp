// The handles that VMs share. See transfer.hpp.
#include "shared_kinds.hpp"

namespace perilune {

const std::vector<crossing_kind> crossing_kinds = {cross_shared_channel, cross_shared_value, cross_buffer,
                                                   cross_task,           cross_token,        cross_semaphore};

const char* userdata_that_stays(lua_State* L, int index) noexcept {
  return is_moved_buffer(L, index) ? "a buffer that has moved to another VM" : "a userdata";
}

}  // namespace perilune
