// The rules of a mutex. See mutex.hpp.
#include <perilune/mutex.hpp>

namespace perilune {

void mutex_core::pass_on() noexcept {
  waiter* first = waiters_.pop_front();
  owner_ = first ? first->task : nullptr;
  if (first) for_outsiders().grant(*first);
}

void mutex_core::release(holding& held, bool abandons) noexcept {
  end(held);
  abandoned_ = abandons;
  pass_on();
}

bool mutex_core::try_commit(waiter& by) {
  if (owner_ == by.task) refuse_relock(holdings().front(), *by.task);
  return try_lock(*by.task);
}

void mutex_core::arm(waiter& by) {
  detail::refuse_cycle(by, *this);
  waiters_.push_back(by);
  by.task->home->holds.watch(*this, by.task->home->now_ms());
}

bool mutex_core::give_back(waiter&) noexcept {
  pass_on();
  return true;
}

std::string mutex_core::held_at() const {
  if (const holding* held = holdings().front()) return held->site.text();
  return owner_ ? owner_->where() : std::string();
}

}  // namespace perilune
