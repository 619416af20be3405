// Passing a token's cancellation from worker to worker. See token_link.hpp.
#include <perilune/token_link.hpp>

#include <algorithm>

#include <perilune/scheduler.hpp>
#include <perilune/token.hpp>

namespace perilune {

token_state& token_link::at(scheduler& home, bool told) {
  {
    const std::lock_guard lock(mutex_);
    for (const member& each : members_)
      if (each.home == &home) return each.state->retain(), *each.state;
  }
  auto* made = new token_state;
  try {
    made->link(shared_from_this(), home, told);
  } catch (...) {
    made->release();
    throw;
  }
  return *made;
}

void token_link::join(token_state& state, scheduler& home, bool told) {
  const std::lock_guard lock(mutex_);
  members_.push_back({&home, &state, told ? detail::worker_door(home) : detail::worker_door()});
}

void token_link::leave(const token_state& state) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase_if(members_, [&](const member& each) { return each.state == &state; });
}

reason_ptr token_link::reason_here() const {
  return reason_ptr::make(why_.source, why_.text, why_.by_task, why_.by_name);
}

void token_link::spread(const cancel_reason& why) noexcept {
  const std::lock_guard lock(mutex_);
  if (cancelled()) return;
  why_ = why;
  cancelled_.store(true, std::memory_order_release);
  for (const member& each : members_)
    each.door.post([self = shared_from_this(), home = each.home] { self->reach(home); });
}

// On the member's thread: nobody else lets go of its state.
void token_link::reach(const scheduler* home) {
  token_state* state = nullptr;
  {
    const std::lock_guard lock(mutex_);
    for (const member& each : members_)
      if (each.home == home) state = each.state;
  }
  if (state) state->catch_up();
}

}  // namespace perilune
