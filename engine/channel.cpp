// What the channels of all types share. See channel.hpp.
#include <perilune/channel.hpp>

namespace perilune::detail {

void refuse_foreign_channel() {
  throw task_error({error_kind::misuse, "this channel belongs to another worker; use one channel per worker", 0, {}});
}

}  // namespace perilune::detail
