// The rules of a semaphore and its permits. See semaphore.hpp.
#include <perilune/semaphore.hpp>

#include <algorithm>
#include <string>

namespace perilune {

namespace {

[[noreturn]] void misuse(std::string message) { throw task_error({error_kind::misuse, std::move(message), 0, {}}); }

}  // namespace

class semaphore_core::pot_wait final : public permit_wait {
 public:
  pot_wait(semaphore_core& of, waiter& w) : permit_wait(of.pot_, w.deadline), by(&w), of_(&of) {}
  ~pot_wait() = default;
  waiter* const by;

 private:
  // From here on it is as if the permits had been granted here.
  void granting(waiter& w) noexcept override {
    const std::shared_ptr<pot_wait> self = of_->leave_pot(w);
    if (served()) return static_cast<void>(take());
    w.deadline = 0;
    of_->refuse(w);
  }
  semaphore_core* const of_;
};

semaphore_core::~semaphore_core() = default;

const std::shared_ptr<permit_pot>& semaphore_core::share() {
  if (pot_) return pot_;
  pot_ = std::make_shared<permit_pot>(total_, available_, closed_);
  while (waiter* by = waiters_.pop_front()) arm_at_pot(*by);
  return pot_;
}

void semaphore_core::arm_at_pot(waiter& by) {
  pot_wait& made = *at_pot_.emplace_back(std::make_shared<pot_wait>(*this, by));
  made.arm(by);
}

std::shared_ptr<semaphore_core::pot_wait> semaphore_core::leave_pot(const waiter& by) noexcept {
  const auto at = std::find_if(at_pot_.begin(), at_pot_.end(), [&](const auto& each) { return each->by == &by; });
  std::shared_ptr<pot_wait> found = std::move(*at);
  at_pot_.erase(at);
  return found;
}

bool semaphore_core::try_take(std::size_t permits) noexcept {
  if (pot_) return pot_->try_take(permits);
  if (closed_ || !waiters_.empty() || permits > available_) return false;
  available_ -= permits;
  return true;
}

// Serves the queue from its front, as far as the permits go. The state is whole before each grant; see rwlock_core::admit.
void semaphore_core::admit() noexcept {
  while (waiter* first = waiters_.front()) {
    if (first->deadline > available_) return;
    waiters_.pop_front();
    available_ -= first->deadline;
    for_outsiders().grant(*first);
  }
}

bool semaphore_core::try_commit(waiter& by) {
  if (closed()) return true;
  if (const std::size_t all = total(); by.deadline > all)
    misuse("acquire asks for " + std::to_string(by.deadline) + " permits of a semaphore that has " +
           std::to_string(all));
  return try_take(by.deadline);
}

void semaphore_core::arm(waiter& by) {
  if (pot_)
    arm_at_pot(by);
  else
    waiters_.push_back(by);
  by.task->home->holds.watch(*this, by.task->home->now_ms());
}

// Others may have waited only because this one wants so many.
void semaphore_core::disarm(waiter& by) noexcept {
  if (pot_) return leave_pot(by)->disarm(by);
  waiters_.erase(by);
  admit();
}

bool semaphore_core::give_back(waiter& by) noexcept {
  give(by.deadline);
  return true;
}

void semaphore_core::hold(holding& held, task_header& by, std::size_t permits) noexcept {
  held.permits = permits;
  begin(held, by);
}

void semaphore_core::release(holding& held, bool) noexcept {
  end(held);
  give(held.permits);
}

void semaphore_core::give(std::size_t permits) noexcept {
  if (pot_) return pot_->give(permits);
  available_ += permits;
  admit();
}

void semaphore_core::forget(holding& held) noexcept {
  end(held);
  if (pot_) return pot_->forget(held.permits);
  total_ -= held.permits;
}

void semaphore_core::split(holding& from, holding& to, task_header& by, std::size_t permits) noexcept {
  from.permits -= permits;
  hold(to, by, permits);
}

void semaphore_core::merge(holding& to, holding& from) noexcept {
  end(from);
  to.permits += from.permits;
}

void semaphore_core::close() noexcept {
  if (pot_) return pot_->close();
  closed_ = true;
  while (waiter* by = waiters_.pop_front()) {
    by->deadline = 0;
    refuse(*by);
    for_outsiders().grant(*by);
  }
}

std::optional<permit> permit::split(std::size_t permits) {
  if (permits > count()) return std::nullopt;
  permit part(held_.site);
  static_cast<semaphore_core*>(held_.of)->split(held_, part.held_, *scheduler::here()->current(), permits);
  return part;
}

void permit::merge(permit&& other) {
  detail::check_release(held_, nullptr);
  detail::check_release(other.held_, nullptr);
  if (held_.of != other.held_.of) misuse("merge: the permits are of different semaphores");
  if (this != &other) static_cast<semaphore_core*>(held_.of)->merge(held_, other.held_);
}

void permit::forget() {
  detail::check_release(held_, nullptr);
  static_cast<semaphore_core*>(held_.of)->forget(held_);
}

std::optional<permit> acquire_operation::take_result() noexcept {
  if (refused_) return std::nullopt;
  permit taken(site_);
  resource_->hold(taken.held(), *scheduler::here()->current(), permits_);
  return taken;
}

std::optional<permit> semaphore::try_acquire(std::size_t permits, hold_site at) {
  if (!try_take(permits)) return std::nullopt;
  return acquire_operation(*this, permits, at).take_result();
}

}  // namespace perilune
