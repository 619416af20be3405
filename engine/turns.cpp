// Granting turns, and the subscriptions that take theirs. See turns.hpp and subscription.hpp.
#include <perilune/turns.hpp>

#include <perilune/channel_core.hpp>
#include <perilune/subscription.hpp>

namespace perilune {

void turns::grant_waiters() noexcept {
  while (!waiters_.empty() && ready()) {
    ++promised_;
    for_outsiders{}.grant(*waiters_.pop_front());
  }
}

void subscription::leave() noexcept {
  if (!of_) return;
  subscriptions& all = *std::exchange(of_, nullptr);
  --all.count_;
  if (linked()) all.awaited_.erase(*this);
  offer();
}

void subscription::arm(waiter& by) {
  turns::arm(by);
  if (!linked()) of_->awaited_.push_back(*this);
}

void subscriptions::offer_all() noexcept {
  linked_queue<subscription> still_awaited;
  while (subscription* next = awaited_.pop_front()) {
    next->offer();
    if (next->awaited()) still_awaited.push_back(*next);
  }
  awaited_.splice_back(still_awaited);
}

std::size_t subscriptions::waiting() const noexcept {
  std::size_t sum = 0;
  for (subscription* next = awaited_.front(); next; next = awaited_.after(*next)) sum += next->waiting();
  return sum;
}

}  // namespace perilune
