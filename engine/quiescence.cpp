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
          self.outside() != 0,
          !self.only_daemons(),
          self.tasks().live_tasks(),
          deadline.value_or(timer_queue::never),
          self.tasks().resumes(),
          self.next_quiet()};
}

bool quiescence::rest(worker& self) {
  const std::lock_guard lock(mutex_);
  notes_[self.index()] = look_at(self);
  if (!all_rest()) return true;
  const note all = total();
  if (aim_met(all) && !reached_.exchange(true, std::memory_order_acq_rel)) {
    for (unsigned i = 0; i < notes_.size(); ++i) wake(i);
    return false;
  }
  if (quiet_due(all)) return serve_quiet(*all.quiet, self);
  if (const auto next = next_jump(all, true)) return jump(*next, self);
  if (all.outside) return true;
  const bool ahead = all.deadline != timer_queue::never;
  if (ahead && (moves_by_itself(owner_.time()) || !leaving())) return true;
  if (all.tasks && stalled(all)) end_stall(all);
  return true;
}

// Whether there is a stall to be ended: no fellow can go on either, and not all has been tried. Who has fellows ends his waits once,
// since who of them could do more is not known. A run that ends waits for a fellow that it needs, and for no other.
bool quiescence::stalled(const note& all) {
  const bool anew = all.resumes != stalled_at_;
  if (!circle_ || leaving() || circle_->alone()) return !all.external && (anew || !pressed_);
  return circle_->stall(*place_, all.resumes) && anew;
}

std::shared_ptr<fellowship> quiescence::fellows() {
  const std::lock_guard lock(mutex_);
  if (!circle_) {
    auto circle = std::make_shared<fellowship>();
    place_ = &circle->open(false);
    circle_ = std::move(circle);
    circle_->enter(*place_, *this);
  }
  return circle_;
}

void quiescence::join(std::shared_ptr<fellowship> circle, fellow_place& place) {
  const std::lock_guard lock(mutex_);
  circle_ = std::move(circle);
  place_ = &place;
  circle_->enter(place, *this);
}

bool quiescence::has_messages() const noexcept {
  for (unsigned i = 0; i < owner_.workers(); ++i)
    if (!owner_.worker(i).door().empty()) return true;
  return false;
}

void quiescence::look_again() noexcept { owner_.worker(0).door().tell(); }

void quiescence::end_waits() {
  for (unsigned i = 0; i < owner_.workers(); ++i) owner_.post(i, [&each = owner_.worker(i)] { each.break_stall(); });
}

void quiescence::rise(const worker& self) noexcept {
  const std::lock_guard lock(mutex_);
  notes_[self.index()].resting = false;
  if (circle_ && !leaving()) circle_->rise(*place_);
}

bool quiescence::glance(worker& self, bool own_time) {
  const std::lock_guard lock(mutex_);
  note& mine = notes_[self.index()];
  mine = look_at(self);
  bool acted = false;
  if (all_rest()) {
    const note all = total();
    const auto next = next_jump(all, own_time);
    acted = quiet_due(all) ? !serve_quiet(*all.quiet, self) : next && !jump(*next, self);
  }
  mine.resting = false;
  return acted;
}

void quiescence::aim_at(aim next) noexcept {
  const std::lock_guard lock(mutex_);
  aim_ = next;
  reached_.store(false, std::memory_order_release);
  if (next != aim::stop) return;
  leaving_.store(true, std::memory_order_release);
  if (circle_) circle_->leave(*place_);
}

bool quiescence::all_rest() const noexcept {
  const bool rest = std::all_of(notes_.begin(), notes_.end(), [](const note& each) { return each.resting; });
  return rest && !has_messages();
}

quiescence::note quiescence::total() const noexcept {
  note all;
  for (const note& each : notes_) {
    all.external |= each.external;
    all.outside |= each.outside;
    all.work |= each.work;
    all.tasks += each.tasks;
    all.deadline = std::min(all.deadline, each.deadline);
    all.resumes += each.resumes;
    if (each.quiet) all.quiet = std::min(all.quiet.value_or(timer_queue::never), *each.quiet);
  }
  return all;
}

bool quiescence::aim_met(const note& all) const noexcept {
  if (aim_ == aim::no_work) return !all.work;
  return aim_ != aim::none && all.tasks == 0;
}

// All deadlines up to the instant have come: who waits for the quiet is next. Until the end of time means until no deadline
// is left and nothing outside can bring a new one.
bool quiescence::quiet_due(const note& all) noexcept {
  if (!all.quiet) return false;
  if (*all.quiet == timer_queue::never) return all.deadline == timer_queue::never && !all.external;
  return *all.quiet < all.deadline;
}

// Where virtual time goes next: because a task has asked for it, or by itself while nothing outside is pending.
std::optional<std::uint64_t> quiescence::next_jump(const note& all, bool own_time) const noexcept {
  if (owner_.time().kind() != clock::mode::virtual_ || all.deadline == timer_queue::never) return std::nullopt;
  const bool to_the_end = all.quiet == timer_queue::never;
  const bool asked = all.quiet && (!to_the_end || !all.external);
  const bool by_itself = own_time && !all.external && static_cast<virtual_clock&>(owner_.time()).auto_advance();
  return asked || by_itself ? std::optional(all.deadline) : std::nullopt;
}

// Nobody can run: virtual time goes to the next deadline. False when that is one of the asking worker's.
bool quiescence::jump(std::uint64_t deadline, const worker& self) {
  static_cast<virtual_clock&>(owner_.time()).jump_to(instant(static_cast<std::int64_t>(deadline)));
  for (unsigned i = 0; i < notes_.size(); ++i)
    if (i != self.index() && notes_[i].deadline <= deadline) wake(i);
  return notes_[self.index()].deadline > deadline;
}

// Nobody can run: the first who waited for that, at this instant, goes on. False when it is one of the asking worker's.
bool quiescence::serve_quiet(std::uint64_t target, worker& self) {
  if (owner_.time().kind() == clock::mode::virtual_ && target != timer_queue::never)
    static_cast<virtual_clock&>(owner_.time()).jump_to(instant(static_cast<std::int64_t>(target)));
  if (notes_[self.index()].quiet == target) return self.serve_quiet(target), false;
  for (unsigned i = 0; i < notes_.size(); ++i) {
    if (notes_[i].quiet != target) continue;
    notes_[i].resting = false;
    owner_.post(i, [&each = owner_.worker(i), target] { each.serve_quiet(target); });
    break;
  }
  return true;
}

void quiescence::wake(unsigned index) noexcept {
  notes_[index].resting = false;
  owner_.worker(index).door().tell();
}

// Nothing can run and nothing can wake anything. A run that is to end kills what still holds on; otherwise the waits end, in two
// steps where the first resumes nobody.
void quiescence::end_stall(const note& all) {
  pressed_ = all.resumes == stalled_at_;
  stalled_at_ = all.resumes;
  if (pressed_ && leaving()) return;
  for (unsigned i = 0; i < notes_.size(); ++i) {
    if (notes_[i].tasks == 0) continue;
    owner_.post(i, [&each = owner_.worker(i), kill = leaving(), again = pressed_] {
      if (kill)
        each.kill_all(reason_ptr::make(cancel_source::grace, "nothing could end it", 0, "runtime"));
      else if (again)
        each.end_youngest_wait();
      else
        each.break_stall();
    });
  }
}

}  // namespace perilune::detail
