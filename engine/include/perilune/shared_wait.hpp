// What tasks of several workers wait for together: channels, permits and events between workers.
//
// A task waits by a place in a queue of the resource. Any thread may serve a place, under the resource's mutex; but only the
// place's own worker grants: who serves it posts the place there as a message. What a place was served and its task did not
// accept goes back to the resource. Resources and places are counted, and live as long as anybody needs them.
#pragma once

#include <memory>
#include <utility>

#include <perilune/brief_mutex.hpp>
#include <perilune/inbox_message.hpp>
#include <perilune/linked_queue.hpp>
#include <perilune/operation.hpp>

namespace perilune {

class shared_place;
class shared_wait;

namespace detail {
class doorway;
}  // namespace detail

// What tasks of several workers wait at. Its state is behind a mutex.
class shared_resource : public std::enable_shared_from_this<shared_resource> {
 public:
  shared_resource(const shared_resource&) = delete;
  shared_resource& operator=(const shared_resource&) = delete;
  virtual ~shared_resource() = default;

 protected:
  friend class shared_place;
  friend class shared_wait;
  shared_resource() = default;

  // Has the mutex for as long as it lives. Messages of whoever is told meanwhile go out afterwards.
  class access {
   public:
    explicit access(shared_resource& of) noexcept : of_(of) {
      detail::expect_lines(&of, 3);
      of_.mutex_.lock();
    }
    ~access();
    access(const access&) = delete;
    access& operator=(const access&) = delete;

   private:
    shared_resource& of_;
  };

  // These three are called under the mutex.
  // The place waits from now on. It may be served at once.
  virtual void enter(shared_place& place) = 0;
  // Its task waits no longer: a queued place leaves, what a served one has goes back.
  virtual void leave(shared_place& place) = 0;
  // The place was told while it is still queued, and its worker asks.
  virtual void called(shared_place&) {}

 private:
  detail::brief_mutex mutex_;
  shared_place* told_first_ = nullptr;  // whose messages are still to go out
  shared_place* told_last_ = nullptr;
};

// Where one task waits at a shared resource. Owned by the operation, and by the resource while queued.
class shared_place : public list_node,
                     private detail::inbox_message,
                     public std::enable_shared_from_this<shared_place> {
 public:
  // Where the wait is.
  enum class state : unsigned char { idle, queued, served, refused };

  // Of this resource, in no queue yet.
  explicit shared_place(std::shared_ptr<shared_resource> of);
  shared_place(const shared_place&) = delete;
  shared_place& operator=(const shared_place&) = delete;
  ~shared_place() override;

  // Its worker's thread is to look at it. Under the mutex.
  void tell(std::shared_ptr<shared_place> self) noexcept;

  // Guarded by the resource's mutex while the task waits, the worker's afterwards.
  state now = state::idle;
  bool in_select = false;
  const task_header* task = nullptr;  // for comparing only

 private:
  friend class shared_queue;
  friend class shared_resource;
  friend class shared_wait;
  void send() noexcept;
  void deliver() override;
  void dispose() noexcept override;

  const std::shared_ptr<shared_resource> of_;
  std::shared_ptr<shared_place> queued_;     // itself, while it is in a queue
  std::shared_ptr<shared_place> sent_;       // while a message is under way
  std::shared_ptr<shared_place> delivered_;  // while that is being delivered: the place may be told anew meanwhile
  std::shared_ptr<detail::doorway> home_;
  shared_place* told_next_ = nullptr;
  bool overtaken_ = false;  // its task has waited anew before a message arrived
  waiter* by_ = nullptr;  // who waits, and by what; the worker's
  shared_wait* wait_ = nullptr;
};

// Places in the order in which they came. Guarded by the resource's mutex.
class shared_queue {
 public:
  bool empty() const noexcept { return places_.empty(); }
  std::size_t count() const noexcept { return places_.count(); }
  shared_place& first() const noexcept { return places_.first(); }
  void push_back(shared_place& place) {
    place.queued_ = place.shared_from_this();
    place.now = shared_place::state::queued;
    places_.push_back(place);
  }
  void erase(shared_place& place) noexcept {
    places_.erase(place);
    place.now = shared_place::state::idle;
    place.queued_.reset();
  }
  // The first is served, or refused, and told.
  void settle_first(shared_place::state how) noexcept {
    detail::expect_lines(&places_.first(), 4);
    shared_place& first = *places_.pop_front();
    first.now = how;
    first.tell(std::move(first.queued_));
  }

 private:
  linked_queue<shared_place> places_;
};

// The operation of waiting at a place. Belongs to the task's worker.
class shared_wait : public operation {
 public:
  void arm(waiter& by) override;
  void disarm(waiter&) noexcept override;
  bool give_back(waiter&) noexcept override;
  // The place was served or refused, and its task is about to be told.
  virtual void granting(waiter&) noexcept {}
  bool served() const noexcept { return place_ && place_->now == shared_place::state::served; }

 protected:
  shared_wait() noexcept = default;
  shared_wait(shared_wait&&) noexcept = default;
  shared_wait& operator=(shared_wait&&) noexcept = default;
  ~shared_wait() = default;
  // The place to wait at, when it comes to that.
  virtual std::shared_ptr<shared_place> make_place() = 0;
  // Whether the place is still queued, for holds().
  bool queued() const;

  std::shared_ptr<shared_place> place_;  // from the first wait on
};

}  // namespace perilune
