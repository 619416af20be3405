// The operation of a C++ task that waits for its turn and takes the result there. A Source names the resource and what is
// taken: `type` (counted, with use_here()), `static turns& at(type&)`, `static R take(type&)`, which accepts the turn.
// Owned by the awaiting frame; keeps the resource.
#pragma once

#include <utility>

#include <perilune/local_ptr.hpp>
#include <perilune/task.hpp>
#include <perilune/turns.hpp>

namespace perilune {

template <class Source>
class turn_operation final : public operation {
 public:
  // What has the turns.
  using resource = typename Source::type;

  explicit turn_operation(detail::local_ptr<resource> of) noexcept : of_(std::move(of)) {}

  bool try_now(waiter&) {
    of_->use_here();
    return queue().claim();
  }
  bool try_commit(waiter& by) override { return try_now(by); }
  void arm(waiter& by) override { queue().arm(by); }
  void disarm(waiter& by) noexcept override { queue().disarm(by); }
  bool give_back(waiter& by) noexcept override { return queue().give_back(by); }
  wait_description describe() const noexcept override { return queue().describe(); }
  auto take_result() { return Source::take(*of_); }

  auto operator co_await() && { return detail::awaiter<turn_operation>(std::move(*this)); }

 private:
  turns& queue() const noexcept { return Source::at(*of_); }
  detail::local_ptr<resource> of_;
};

}  // namespace perilune
