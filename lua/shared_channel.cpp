// The queues of a channel between VMs. See shared_channel.hpp.
#include "shared_channel.hpp"

#include <algorithm>

#include <perilune/runtime.hpp>
#include <perilune/scheduler.hpp>

namespace perilune {

// A place in a queue. All of it is guarded by the channel's mutex, but `by` and `home`, which are the worker's.
struct shared_place : std::enable_shared_from_this<shared_place> {
  enum class state : unsigned char { idle, queued, granted, closed };

  // Tells the worker that something has happened here.
  void tell() {
    engine->post(worker, [self = shared_from_this()] { self->arrive(); });
  }
  // On the worker's thread.
  void arrive() {
    if (!by) return;
    if (sends && in_select) channel->commit(shared_from_this());
    {
      const std::lock_guard lock(channel->mutex_);
      if (now == state::queued) return;
    }
    std::exchange(by, nullptr)->task->home->grant(*granted_by);
  }

  std::shared_ptr<shared_channel> channel;
  runtime* engine = nullptr;
  unsigned worker = 0;
  const task_header* task = nullptr;  // who waits; for comparing only
  waiter* by = nullptr;
  waiter* granted_by = nullptr;
  bool sends = false;
  bool in_select = false;
  bool told = false;  // a sender in a select, asked to commit
  state now = state::idle;
  std::uint64_t order = 0;
  parcel value;
  shared_channel::place_queue::iterator at;
};

using state = shared_place::state;

// Takes in a value that there is room for.
void shared_channel::accept(parcel&& value) {
  ++sends_;
  values_.push_back({next_order_++, std::move(value)});
  if (receivers_.empty()) peak_ = std::max(peak_, values_.size());
}

void shared_channel::put_back(stored&& value) {
  const auto later = [&](const stored& each) { return each.order > value.order; };
  values_.insert(std::find_if(values_.begin(), values_.end(), later), std::move(value));
}

// Serves the first of a queue: it has its value, or has sent it.
void shared_channel::grant(place_queue& from) {
  const place_ptr place = std::move(from.front());
  from.pop_front();
  place->now = state::granted;
  place->tell();
}

// Moves values on until nothing more can move.
void shared_channel::settle() {
  for (;;) {
    if (!values_.empty() && !receivers_.empty()) {
      shared_place& first = *receivers_.front();
      first.order = values_.front().order;
      first.value = std::move(values_.front().value);
      values_.pop_front();
      ++recvs_;
      grant(receivers_);
      continue;
    }
    if (senders_.empty() || !has_room()) break;
    shared_place& first = *senders_.front();
    if (first.in_select) {
      if (!std::exchange(first.told, true)) first.tell();
      break;
    }
    accept(std::move(first.value));
    grant(senders_);
  }
  if (!closed_) return;
  for (place_queue* queue : {&senders_, &receivers_}) {
    while (!queue->empty()) {
      const place_ptr place = std::move(queue->front());
      queue->pop_front();
      place->now = state::closed;
      place->tell();
    }
  }
}

channel_status shared_channel::try_send(parcel& value) {
  const std::lock_guard lock(mutex_);
  if (closed_) return channel_status::closed;
  if (!senders_.empty() || !has_room()) return channel_status::full;
  accept(std::move(value));
  settle();
  return channel_status::done;
}

bool shared_channel::take_first(parcel& value) {
  if (values_.empty() && !senders_.empty() && !senders_.front()->in_select) {
    accept(std::move(senders_.front()->value));
    grant(senders_);
  }
  if (values_.empty()) return false;
  value = std::move(values_.front().value);
  values_.pop_front();
  ++recvs_;
  return true;
}

channel_status shared_channel::try_recv(parcel& value) {
  const std::lock_guard lock(mutex_);
  if (!receivers_.empty()) return channel_status::empty;
  if (!take_first(value)) return closed_ ? channel_status::closed : channel_status::empty;
  settle();
  return channel_status::done;
}

void shared_channel::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  settle();
}

bool shared_channel::closed() {
  const std::lock_guard lock(mutex_);
  return closed_;
}

channel_stats shared_channel::stats() {
  const std::lock_guard lock(mutex_);
  channel_stats all{};
  all.length = values_.size();
  all.capacity = capacity_;
  all.peak = peak_;
  all.sends = sends_;
  all.recvs = recvs_;
  all.waiting_senders = senders_.size();
  all.waiting_receivers = receivers_.size();
  return all;
}

// A sender in a select, on its own worker: sends if its turn is still there.
void shared_channel::commit(const place_ptr& place) {
  const std::lock_guard lock(mutex_);
  if (place->now != state::queued) return;
  place->told = false;
  if (senders_.front() != place || !has_room()) return;
  // The two sides of one select do not meet.
  if (values_.size() >= capacity_ && receivers_.front()->task == place->task) return;
  senders_.pop_front();
  place->now = state::granted;
  accept(std::move(place->value));
  settle();
}

// The task of the place does not wait any more: what it was handed goes back.
void shared_channel::leave(const place_ptr& place) {
  const std::lock_guard lock(mutex_);
  if (place->now == state::queued) {
    (place->sends ? senders_ : receivers_).erase(place->at);
  } else if (place->now == state::granted && !place->sends) {
    --recvs_;
    put_back({place->order, std::move(place->value)});
  }
  place->now = state::idle;
  settle();
}

shared_channel::wait::wait(std::shared_ptr<shared_channel> channel, std::optional<parcel> value, runtime& engine,
                           unsigned worker)
    : channel_(std::move(channel)), place_(std::make_shared<shared_place>()) {
  place_->channel = channel_;
  place_->engine = &engine;
  place_->worker = worker;
  place_->sends = value.has_value();
  if (value) place_->value = *std::move(value);
}

// Even what can be served at once comes by a message: a task that is about to wait cannot be granted anything.
void shared_channel::wait::arm(waiter& by) {
  place_->by = place_->granted_by = &by;
  place_->task = by.task;
  place_->in_select = &by != static_cast<waiter*>(by.task);
  const std::lock_guard lock(channel_->mutex_);
  place_queue& queue = place_->sends ? channel_->senders_ : channel_->receivers_;
  place_->now = state::queued;
  place_->at = queue.insert(queue.end(), place_);
  channel_->settle();
}

void shared_channel::wait::disarm(waiter&) noexcept {
  place_->by = nullptr;
  channel_->leave(place_);
}

bool shared_channel::wait::give_back(waiter&) noexcept {
  if (place_->sends) return false;
  channel_->leave(place_);
  return true;
}

// A sender whose value has been taken has sent: the message that tells so is on its way.
bool shared_channel::wait::holds(waiter&) noexcept {
  const std::lock_guard lock(channel_->mutex_);
  return place_->sends && place_->now != state::queued;
}

wait_description shared_channel::wait::describe() const noexcept {
  return {place_->sends ? "send" : "recv", "shared channel", channel_.get()};
}

bool shared_channel::wait::found_closed() const noexcept { return place_->now == state::closed; }
const parcel& shared_channel::wait::value() const noexcept { return place_->value; }

}  // namespace perilune
