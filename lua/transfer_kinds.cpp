// The handles that VMs share. See transfer.hpp.
#include "transfer.hpp"

namespace perilune {

const std::vector<crossing_kind> crossing_kinds = {};

}  // namespace perilune
