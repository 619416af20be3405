// How a served place wakes its task: a message to its worker. See shared_wait.hpp.
#include <perilune/shared_wait.hpp>

#include <utility>

#include <perilune/scheduler.hpp>

#include "doorway.hpp"
#include "worker.hpp"

namespace perilune {

namespace detail {

// Part of its place, and under way once at a time; meanwhile it keeps the place. Once it is being delivered the place may be
// told anew, so what keeps it until then is taken over first.
class place_message final : public inbox_message {
 public:
  void deliver() override {
    delivered_ = std::move(place);
    delivered_->arrive();
  }
  void dispose() noexcept override {
    const std::shared_ptr<shared_place> last = delivered_ ? std::move(delivered_) : std::move(place);
  }
  std::shared_ptr<shared_place> place;

 private:
  std::shared_ptr<shared_place> delivered_;
};

}  // namespace detail

shared_place::shared_place(std::shared_ptr<shared_resource> of) : of_(std::move(of)) {}
shared_place::~shared_place() = default;

void shared_place::tell() noexcept {
  if (std::exchange(told_, true)) return;
  message_->place = shared_from_this();
  if (home_->push(*message_)) return;
  message_->place.reset();
  told_ = false;
}

void shared_place::arrive() {
  {
    const std::lock_guard lock(of_->mutex_);
    told_ = false;
    if (!by_) return;
    if (now == state::queued) of_->called(*this);
    if (now == state::queued) return;
  }
  waiter& by = *std::exchange(by_, nullptr);
  wait_->granting(by);
  by.task->home->grant(by);
}

// Even what can be served at once comes by a message: a task that is about to wait cannot be granted anything.
void shared_wait::arm(waiter& by) {
  shared_place& place = *place_;
  if (!place.message_) place.message_ = std::make_unique<detail::place_message>();
  const std::lock_guard lock(place.of_->mutex_);
  place.home_ = detail::worker::of(*by.task->home).shared_door();
  place.by_ = &by;
  place.wait_ = this;
  place.task = by.task;
  place.in_select = &by != static_cast<waiter*>(by.task);
  place.of_->enter(place);
}

void shared_wait::disarm(waiter&) noexcept {
  const std::lock_guard lock(place_->of_->mutex_);
  place_->by_ = nullptr;
  place_->of_->leave(*place_);
}

bool shared_wait::give_back(waiter&) noexcept {
  const std::lock_guard lock(place_->of_->mutex_);
  place_->of_->leave(*place_);
  return true;
}

bool shared_wait::queued() const {
  const std::lock_guard lock(place_->of_->mutex_);
  return place_->now == shared_place::state::queued;
}

}  // namespace perilune
