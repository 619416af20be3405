// Who has still to get which value. See broadcast.hpp.
#include <perilune/broadcast.hpp>

namespace perilune {

// Whoever has still to get a value has still to get all that were sent after it: what nobody needs is at the front.
std::size_t broadcast_core::drop_unneeded() noexcept {
  std::size_t count = 0;
  for (; !left_.empty() && left_.front() == 0; ++count) drop_oldest();
  return count;
}

std::size_t broadcast_subscription::pass() noexcept {
  --of_.left_[place()];
  ++next_;
  ++recvs_;
  accepted();
  return of_.drop_unneeded();
}

std::size_t broadcast_subscription::leave() noexcept {
  if (left()) return 0;
  for (std::size_t i = of_.held() - unread(); i < of_.held(); ++i) --of_.left_[i];
  subscription::leave();
  return of_.drop_unneeded();
}

namespace detail {

void refuse_capacity_of_broadcast() {
  throw task_error({error_kind::misuse, "a broadcast has a capacity of at least 1", 0, {}});
}

}  // namespace detail

}  // namespace perilune
