// peri.parallel: a function as a task of another worker, in that worker's VM. See remote.hpp.
//
// A worker_call is shared by both sides. What only one side's thread touches says so; everything goes from one to the other by
// messages, which arrive in the order in which they were sent.
#include <perilune/cancel.hpp>

#include "error_object.hpp"
#include "object.hpp"
#include "remote.hpp"
#include "vm_group.hpp"

namespace perilune {

namespace {

class worker_call final : public operation, public remote_task, public std::enable_shared_from_this<worker_call> {
 public:
  worker_call(vm& v, unsigned away, std::shared_ptr<remote_request> request)
      : remote_task(std::move(request)),
        engine_(v.host_runtime()),
        group_(v.options().group->shared_from_this()),
        home_(v.options().worker),
        away_(away) {}

  // The caller's side.
  void start() {
    if (!engine_.post(away_, [self = shared_from_this()] { self->begin(); })) end_.problem = shut_down(), ended_ = true;
  }
  bool try_commit(waiter&) override { return ended_; }
  void arm(waiter& by) override { waiting_ = &by; }
  void disarm(waiter&) noexcept override { waiting_ = nullptr; }
  bool give_back(waiter&) noexcept override { return false; }
  bool holds(waiter& by) noexcept override;
  wait_description describe() const noexcept override { return {"parallel", "worker", this}; }
  remote_end take() { return std::move(end_); }

 private:
  static error shut_down() { return {error_kind::cancelled, "the worker has shut down", 0, {}}; }
  void begin() noexcept;
  void ended() noexcept override;
  void arrive() noexcept;

  runtime& engine_;
  const std::shared_ptr<vm_group> group_;
  const unsigned home_;
  const unsigned away_;
  waiter* waiting_ = nullptr;  // the caller's side from here on
  bool ended_ = false;
  cancel_relay relay_;
  std::shared_ptr<worker_call> kept_;  // the other worker's, as what remote_task has until it is sent home
};

// Asked when the waiting task is cancelled or killed: so is the function, and its end is waited for.
bool worker_call::holds(waiter& by) noexcept {
  if (ended_) return true;
  relay_.look(by, [this](const cancel_reason& why, bool kills) {
    engine_.post(away_, [self = shared_from_this(), why, kills] {
      if (self->task_) pass_cancel(*self->task_, why, kills);
    });
  });
  return true;
}

void worker_call::begin() noexcept {
  kept_ = shared_from_this();
  vm* machine = group_->here(away_);
  if (machine && spawn_in(*machine, {})) return;
  if (!machine) end_.problem = shut_down();
  ended();
}

void worker_call::ended() noexcept {
  engine_.post(home_, [self = std::move(kept_)] { self->arrive(); });
}

void worker_call::arrive() noexcept {
  ended_ = true;
  if (waiter* by = std::exchange(waiting_, nullptr)) by->task->home->grant(*by);
}

class worker_wait final : public remote_wait {
 public:
  explicit worker_wait(std::shared_ptr<worker_call> call) : call_(std::move(call)) {}
  bool start() override { return call_->start(), true; }
  operation& op() noexcept override { return *call_; }
  remote_end take() override { return call_->take(); }

 private:
  std::shared_ptr<worker_call> call_;
};

}  // namespace

std::unique_ptr<remote_wait> call_on_worker(vm& v, std::shared_ptr<remote_request> request,
                                            const spawn_request& asked) {
  const unsigned home = v.options().worker;
  const unsigned away = asked.worker ? static_cast<unsigned>(asked.worker) - 1 : v.options().group->next_after(home);
  return std::make_unique<worker_wait>(std::make_shared<worker_call>(v, away, std::move(request)));
}

}  // namespace perilune
