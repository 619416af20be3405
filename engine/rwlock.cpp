// The rules of an rwlock. See rwlock.hpp.
#include <perilune/rwlock.hpp>

namespace perilune {

const task_header* rwlock_core::holder() const noexcept {
  if (writer_) return writer_;
  const holding* only = readers_ == 1 ? sole() : nullptr;
  return only ? only->by : nullptr;
}

const holding* rwlock_core::holding_of(const task_header& task) const noexcept {
  if (task.locks == 0) return nullptr;
  const holding* at = holdings().front();
  while (at && at->by != &task) at = holdings().after(const_cast<holding&>(*at));
  return at;
}

// Grants to the front of the queue what it can have now. The state is whole before each grant: a grant may withdraw other
// arms of its select from this very queue, and so come back here.
void rwlock_core::admit() noexcept {
  while (waiter* first = waiters_.front()) {
    const bool writes = first->deadline != 0;
    if (writer_ || (writes && readers_ != 0)) return;
    waiters_.pop_front();
    if (writes)
      writer_ = first->task;
    else
      ++readers_;
    for_outsiders().grant(*first);
  }
}

void rwlock_core::release(holding& held, bool abandons) noexcept {
  const bool shared = held.shared;
  end(held);
  if (shared) {
    --readers_;
  } else {
    writer_ = nullptr;
    abandoned_ = abandons;
  }
  admit();
}

void rwlock_core::downgrade(holding& held) noexcept {
  held.shared = true;
  writer_ = nullptr;
  abandoned_ = false;
  ++readers_;
  admit();
}

bool rwlock_core::side::available() const noexcept {
  return !lock_.writer_ && lock_.waiters_.empty() && !(writes_ && lock_.readers_ != 0);
}

bool rwlock_core::side::try_lock(task_header& by) noexcept {
  if (!available()) return false;
  if (writes_)
    lock_.writer_ = &by;
  else
    ++lock_.readers_;
  return true;
}

bool rwlock_core::side::try_commit(waiter& by) {
  if (try_lock(*by.task)) return true;
  const holding* own = lock_.holding_of(*by.task);
  if (own && own->shared && !writes_)
    lock_.refuse_relock(own, *by.task, " for reading, and a writer waits for its end");
  if (own) lock_.refuse_relock(own, *by.task);
  return false;
}

void rwlock_core::side::arm(waiter& by) {
  detail::refuse_cycle(by, *this);
  by.deadline = writes_ ? 1 : 0;
  lock_.waiters_.push_back(by);
  by.task->home->holds.watch(lock_, by.task->home->now_ms());
}

// Readers may have waited for the writer that leaves.
void rwlock_core::side::disarm(waiter& by) noexcept {
  lock_.waiters_.erase(by);
  lock_.admit();
}

bool rwlock_core::side::give_back(waiter&) noexcept {
  if (writes_)
    lock_.writer_ = nullptr;
  else
    --lock_.readers_;
  lock_.admit();
  return true;
}

std::string rwlock_core::side::held_at() const {
  const holding* first = lock_.holdings().front();
  return first ? first->site.text() : std::string();
}

void rwlock_core::side::hold(holding& held, task_header& by) noexcept {
  held.by = &by;
  held.shared = !writes_;
  lock_.begin(held, by);
}

void rwlock_guard::downgrade() {
  const scheduler* here = scheduler::here();
  detail::check_release(held_, here ? here->current() : nullptr);
  if (held_.shared) throw task_error({error_kind::misuse, "downgrade: this guard is for reading", 0, {}});
  static_cast<rwlock_core*>(held_.of)->downgrade(held_);
}

}  // namespace perilune
