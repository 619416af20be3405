// The handles that VMs share. See transfer.hpp.
#include "shared_kinds.hpp"

namespace perilune {

const std::vector<crossing_kind> crossing_kinds = {cross_shared_channel};

}  // namespace perilune
