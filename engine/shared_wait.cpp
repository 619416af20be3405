// How a served place wakes its task: it travels to its worker. See shared_wait.hpp.
#include <perilune/shared_wait.hpp>

#include <utility>

#include <perilune/scheduler.hpp>

#include "doorway.hpp"
#include "worker.hpp"

namespace perilune {

// To wake a thread takes long: the resource is free meanwhile.
shared_resource::access::~access() {
  shared_place* told = std::exchange(of_.told_first_, nullptr);
  of_.mutex_.unlock();
  while (told) std::exchange(told, told->told_next_)->send();
}

shared_place::shared_place(std::shared_ptr<shared_resource> of) : of_(std::move(of)) {}
shared_place::~shared_place() = default;

void shared_place::tell(std::shared_ptr<shared_place> self) noexcept {
  if (sent_) return;
  detail::expect_lines(home_.get(), 1);
  sent_ = std::move(self);
  told_next_ = nullptr;
  (of_->told_first_ ? of_->told_last_->told_next_ : of_->told_first_) = this;
  of_->told_last_ = this;
}

void shared_place::send() noexcept {
  if (home_->push(*this)) return;
  std::shared_ptr<shared_place> last;
  const shared_resource::access guard(*of_);
  last = std::move(sent_);
}

void shared_place::dispose() noexcept {
  std::shared_ptr<shared_place> last = std::move(delivered_);
  if (last) return;
  const shared_resource::access guard(*of_);
  last = std::move(sent_);
}

// A place that is told only when it has been served or refused is its worker's alone by now. Others need the mutex.
void shared_place::deliver() {
  if (!in_select && !overtaken_) {
    delivered_ = std::move(sent_);
  } else {
    const shared_resource::access guard(*of_);
    delivered_ = std::move(sent_);
    if (by_ && now == state::queued) of_->called(*this);
    if (by_ && now == state::queued) return;
  }
  if (!by_) return;
  waiter& by = *std::exchange(by_, nullptr);
  wait_->granting(by);
  by.task->home->grant(by);
}

// Even what can be served at once comes by a message: a task that is about to wait cannot be granted anything.
void shared_wait::arm(waiter& by) {
  if (!place_) place_ = make_place();
  shared_place& place = *place_;
  const shared_resource::access guard(*place.of_);
  const std::shared_ptr<detail::doorway>& home = detail::worker::of(*by.task->home).shared_door();
  if (place.home_ != home) place.home_ = home;
  place.overtaken_ |= place.sent_ != nullptr;
  place.by_ = &by;
  place.wait_ = this;
  place.task = by.task;
  place.in_select = &by != static_cast<waiter*>(by.task);
  place.of_->enter(place);
}

void shared_wait::disarm(waiter&) noexcept {
  const shared_resource::access guard(*place_->of_);
  place_->by_ = nullptr;
  place_->of_->leave(*place_);
}

bool shared_wait::give_back(waiter&) noexcept {
  const shared_resource::access guard(*place_->of_);
  place_->of_->leave(*place_);
  return true;
}

bool shared_wait::queued() const {
  const shared_resource::access guard(*place_->of_);
  return place_->now == shared_place::state::queued;
}

}  // namespace perilune
