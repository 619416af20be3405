// What happens when no worker has anything to run. See quiescence.hpp.
#include "quiescence.hpp"

#include <algorithm>

#include <perilune/runtime.hpp>

#include "worker.hpp"

namespace perilune::detail {

namespace {

// Whether this clock reaches a deadline while everybody sleeps.
bool moves_by_itself(const clock& time) noexcept { return time.kind() == clock::mode::steady; }

}  // namespace

quiescence::note quiescence::look_at(worker& self) {
  const bool exact = !moves_by_itself(self.time());
  const auto deadline = exact ? self.timers().next_deadline() : self.timers().next_wake();
  return {true,
          self.externals() != 0,
          !self.only_daemons(),
          self.tasks().live_tasks(),
          deadline.value_or(timer_queue::never),
          self.tasks().resumes()};
}

bool quiescence::rest(worker& self) {
  const std::lock_guard lock(mutex_);
  notes_[self.index()] = look_at(self);
  if (!all_rest()) return true;
  const sum all = total();
  if (aim_met(all) && !reached_.exchange(true, std::memory_order_acq_rel)) {
    for (unsigned i = 0; i < notes_.size(); ++i) wake(i);
    return false;
  }
  if (all.external) return true;
  const bool ahead = all.deadline != timer_queue::never;
  if (ahead && owner_.time().kind() == clock::mode::virtual_ && static_cast<virtual_clock&>(owner_.time()).auto_advance())
    return jump(all.deadline, self);
  if (ahead && (moves_by_itself(owner_.time()) || !leaving())) return true;
  if (all.tasks && all.resumes != stalled_at_) end_stall(all);
  return true;
}

void quiescence::rise(const worker& self) noexcept {
  const std::lock_guard lock(mutex_);
  notes_[self.index()].resting = false;
}

void quiescence::aim_at(aim next) noexcept {
  const std::lock_guard lock(mutex_);
  aim_ = next;
  reached_.store(false, std::memory_order_release);
  if (next == aim::stop) leaving_.store(true, std::memory_order_relaxed);
}

bool quiescence::all_rest() const noexcept {
  for (unsigned i = 0; i < notes_.size(); ++i)
    if (!notes_[i].resting || !owner_.worker(i).door().empty()) return false;
  return true;
}

quiescence::sum quiescence::total() const noexcept {
  sum all{.deadline = timer_queue::never};
  for (const note& each : notes_) {
    all.external |= each.external;
    all.work |= each.work;
    all.tasks += each.tasks;
    all.deadline = std::min(all.deadline, each.deadline);
    all.resumes += each.resumes;
  }
  return all;
}

bool quiescence::aim_met(const sum& all) const noexcept {
  if (aim_ == aim::no_work) return !all.work;
  return aim_ != aim::none && all.tasks == 0;
}

// Nobody can run: virtual time goes to the next deadline. False when that is one of the asking worker's.
bool quiescence::jump(std::uint64_t deadline, const worker& self) {
  static_cast<virtual_clock&>(owner_.time()).jump_to(instant(static_cast<std::int64_t>(deadline)));
  for (unsigned i = 0; i < notes_.size(); ++i)
    if (i != self.index() && notes_[i].deadline <= deadline) wake(i);
  return notes_[self.index()].deadline > deadline;
}

void quiescence::wake(unsigned index) noexcept {
  notes_[index].resting = false;
  owner_.worker(index).door().tell();
}

// Nothing can run and nothing can wake anything. A run that is to end kills what still holds on; otherwise the waits end.
void quiescence::end_stall(const sum& all) {
  stalled_at_ = all.resumes;
  for (unsigned i = 0; i < notes_.size(); ++i) {
    if (notes_[i].tasks == 0) continue;
    owner_.post(i, [&each = owner_.worker(i), kill = leaving()] {
      if (kill)
        each.kill_all(reason_ptr::make(cancel_source::grace, "nothing could end it", 0, "runtime"));
      else
        each.break_stall();
    });
  }
}

}  // namespace perilune::detail
