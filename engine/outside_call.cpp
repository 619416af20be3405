// Ending a wait from outside the runtime. See outside_call.hpp.
#include <perilune/outside_call.hpp>

#include <utility>

#include <asio/executor_work_guard.hpp>

#include "worker.hpp"

namespace perilune {

using detail::worker;

struct outside_call::arrival final : detail::inbox_message {
  explicit arrival(std::shared_ptr<outside_call> what) noexcept : call(std::move(what)) {}
  void deliver() override { call->arrive(); }
  std::shared_ptr<outside_call> call;
};

outside_call::outside_call(const char* verb) : verb_(verb), home_(worker::here()), door_(home_.shared_door()) {
  if (const detail::reactor& io = home_.io_reactor(); io.joined())
    busy_ = std::make_shared<asio::executor_work_guard<asio::any_io_executor>>(io.executor());
  home_.external_begins();
}

outside_call::~outside_call() = default;

bool outside_call::claim() noexcept {
  state expected = state::pending;
  return state_.compare_exchange_strong(expected, state::claimed, std::memory_order_acq_rel);
}

// On the call's own worker nothing has to be posted.
void outside_call::deliver() {
  if (scheduler::here() == &home_.tasks()) return arrive();
  door_->post(std::make_unique<arrival>(shared_from_this()));
}

void outside_call::arrive() noexcept {
  if (std::exchange(over_, true)) return;
  end_work();
  arrived_ = true;
  waiter* const by = std::exchange(waiting_, nullptr);
  if (!by) return;
  if (was_stopped())
    by->task->home->interrupt(*by->task, wake_kind::cancelled);
  else
    by->task->home->grant(*by);
}

void outside_call::end_work() noexcept {
  home_.external_ends();
  busy_.reset();
}

void outside_call::give_up() noexcept {
  waiting_ = nullptr;
  if (!std::exchange(over_, true)) end_work();
  state expected = state::pending;
  if (!state_.compare_exchange_strong(expected, state::given_up, std::memory_order_acq_rel)) return;
  std::function<void()> fn;
  {
    const std::lock_guard lock(mutex_);
    fn = std::exchange(cancel_, nullptr);
  }
  if (!fn) return;
  try {
    fn();
  } catch (...) {
    home_.owner().report_escaped(describe_exception(std::current_exception()));
  }
}

void outside_call::on_cancel(std::function<void()> fn) {
  {
    const std::lock_guard lock(mutex_);
    if (!given_up()) {
      cancel_ = std::move(fn);
      return;
    }
  }
  fn();
}

}  // namespace perilune
