// What the oneshots of all types share. See oneshot.hpp.
#include <perilune/oneshot.hpp>

namespace perilune::detail {

void refuse_second_send() {
  throw task_error({error_kind::misuse, "this oneshot has its value: it is sent once", 0, {}});
}

}  // namespace perilune::detail
