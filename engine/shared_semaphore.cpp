// The rules of permits between workers. See shared_semaphore.hpp.
#include <perilune/shared_semaphore.hpp>

#include <algorithm>
#include <string>

namespace perilune {

permit_pot::counts permit_pot::look() {
  const access guard(*this);
  return {total_, available_, waiting_.count(), closed_};
}

bool permit_pot::try_take(std::size_t permits) {
  const access guard(*this);
  if (closed_ || !waiting_.empty() || permits > available_) return false;
  available_ -= permits;
  return true;
}

void permit_pot::take_over(std::size_t permits) {
  const access guard(*this);
  const std::size_t there = std::min(permits, available_);
  available_ -= there;
  owed_ += permits - there;
}

void permit_pot::give(std::size_t permits) {
  const access guard(*this);
  const std::size_t owed = std::min(permits, owed_);
  owed_ -= owed;
  available_ += permits - owed;
  serve();
}

void permit_pot::forget(std::size_t permits) {
  const access guard(*this);
  total_ -= permits;
}

void permit_pot::close() {
  const access guard(*this);
  closed_ = true;
  while (!waiting_.empty()) waiting_.settle_first(shared_place::state::refused);
}

void permit_pot::serve() {
  while (!waiting_.empty()) {
    const std::size_t wanted = static_cast<place&>(waiting_.first()).wanted;
    if (wanted > available_) return;
    available_ -= wanted;
    waiting_.settle_first(shared_place::state::served);
  }
}

void permit_pot::enter(shared_place& p) {
  waiting_.push_back(p);
  if (closed_)
    waiting_.settle_first(shared_place::state::refused);
  else
    serve();
}

// Others may have waited only because this one wants so many.
void permit_pot::leave(shared_place& p) {
  if (p.now == shared_place::state::queued) waiting_.erase(p);
  if (p.now == shared_place::state::served) available_ += static_cast<place&>(p).wanted;
  p.now = shared_place::state::idle;
  serve();
}

std::shared_ptr<shared_place> permit_wait::make_place() {
  return std::make_shared<permit_pot::place>(pot_, permits_);
}

std::size_t permit_wait::take() noexcept {
  place_->now = shared_place::state::idle;
  return permits_;
}

bool shared_acquire_operation::try_now(waiter&) {
  const permit_pot::counts now = pot_->look();
  if (!now.closed && permits_ > now.total) {
    std::string text = "acquire asks for " + std::to_string(permits_) + " permits of a semaphore that has " +
                       std::to_string(now.total);
    throw task_error({error_kind::misuse, std::move(text), 0, {}});
  }
  taken_ = pot_->try_take(permits_);
  return taken_ || now.closed;
}

std::optional<shared_permit> shared_acquire_operation::take_result() noexcept {
  if (std::exchange(taken_, false)) return shared_permit(pot_, permits_);
  if (!served()) return std::nullopt;
  return shared_permit(pot_, take());
}

}  // namespace perilune
