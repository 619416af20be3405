// Waiting for one's turn at something that stays where it is until its turn is used: the value of a oneshot, the next
// value of a subscription, a change of a watch, an end.
//
// A grant is a promise of one turn and hands nothing over; who was granted takes what is there when it resumes. So a
// waiter that is cancelled in between gives back no more than the promise: no value moved, nothing was marked seen, and
// the next in line is granted. Nobody barges in: a newcomer gets a turn only beyond those already promised.
//
// The base of a resource's core, which says how many turns there are. Owned by the resource; one worker only.
#pragma once

#include <cstddef>
#include <limits>

#include <perilune/operation.hpp>

namespace perilune {

class turns : public operation {
 public:
  turns(const turns&) = delete;
  turns& operator=(const turns&) = delete;

  // Whether a turn could be taken now.
  bool ready() const noexcept { return promised_ < available(); }
  // Takes a turn now, if there is one; accepted() follows when its result has been taken.
  bool claim() noexcept {
    if (!ready()) return false;
    ++promised_;
    return true;
  }
  // Whoever was promised a turn has used it.
  void accepted() noexcept {
    --promised_;
    offer();
  }
  // Grants as many waiters as there are turns. To be called whenever there may be more of them.
  void offer() noexcept {
    if (!waiters_.empty()) [[unlikely]]
      grant_waiters();
  }
  bool awaited() const noexcept { return !waiters_.empty(); }
  std::size_t waiting() const noexcept { return waiters_.count(); }

  bool try_commit(waiter&) override { return claim(); }
  void arm(waiter& by) override { waiters_.push_back(by); }
  void disarm(waiter& by) noexcept override { waiters_.erase(by); }
  bool give_back(waiter&) noexcept override {
    accepted();
    return true;
  }

 protected:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();  // turns at an end, which stays

  turns() noexcept = default;
  ~turns() = default;
  // How many turns there are, promised ones included.
  virtual std::size_t available() const noexcept = 0;

 private:
  void grant_waiters() noexcept;

  wait_queue waiters_;
  std::size_t promised_ = 0;
};

}  // namespace perilune
