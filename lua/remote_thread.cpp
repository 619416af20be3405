// peri.thread: a function on a thread of its own, in a runtime and a VM of its own. See remote.hpp.
//
// The thread shares nothing with its caller but a thread_call, in which each side touches its part; so one that is left
// behind, since it does not end, has all that it uses.
#include <signal.h>

#include <perilune/blocking.hpp>
#include <perilune/delegated_operation.hpp>
#include <perilune/fellow_runtime.hpp>

#include "remote.hpp"
#include "vm_world.hpp"

namespace perilune {

namespace {

class thread_call final : public remote_task {
 public:
  thread_call(vm& v, std::shared_ptr<remote_request> request, bool daemon)
      : remote_task(std::move(request)),
        name(request_->name.empty() ? "peri.thread" : request_->name),
        group_(v.options().group->shared_from_this()),
        beside_(v.host_runtime()),
        daemon_(daemon) {
    const runtime_options& rules = v.host_runtime().options();
    rules_.seed = rules.seed;
    rules_.grace = rules.grace;
    rules_.long_hold = rules.long_hold;
  }

  // The thread's; nothing of it is left when this returns.
  remote_end run();
  void gone() noexcept;
  // The caller's. From begin() until the caller has what the thread returned, or has given it up and it is gone, whoever it may
  // wake is in no deadlock.
  void begin() { fellow_.emplace(beside_, daemon_); }
  void cancel(const cancel_reason& why, bool kills);
  void done() noexcept { fellow_.reset(); }
  void give_up() noexcept;

  const std::string name;

 private:
  void begin_in(vm_world& world);
  void ended() noexcept override {}
  void pass_on(const cancel_reason& why, bool kills);

  const std::shared_ptr<vm_group> group_;
  runtime& beside_;
  const bool daemon_;
  runtime_options rules_;
  std::mutex mutex_;           // guards what follows
  runtime* engine_ = nullptr;  // while the function runs
  struct asked {
    cancel_reason why;
    bool kills;
  };
  std::vector<asked> early_;  // before that
  bool over_ = false;
  bool given_up_ = false;
  bool gone_ = false;
  std::optional<fellow_runtime> fellow_;
};

void thread_call::pass_on(const cancel_reason& why, bool kills) {
  engine_->post(0, [this, why, kills] {
    if (task_) pass_cancel(*task_, why, kills);
  });
}

void thread_call::cancel(const cancel_reason& why, bool kills) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  if (engine_)
    pass_on(why, kills);
  else
    early_.push_back({why, kills});
}

void thread_call::give_up() noexcept {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
  if (gone_) fellow_.reset();
}

void thread_call::gone() noexcept {
  const std::lock_guard lock(mutex_);
  gone_ = true;
  if (given_up_) fellow_.reset();
}

void thread_call::begin_in(vm_world& world) {
  if (!spawn_in(world.machine, {})) return;
  const std::lock_guard lock(mutex_);
  engine_ = &world.engine;
  for (const asked& each : early_) pass_on(each.why, each.kills);
}

// Threads for calls receive no signals; the watchdog's is for whoever runs Lua tasks.
void admit_signal(const preemption& rules) noexcept {
  if (rules.how != preemption::mode::slice) return;
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, rules.signal);
  pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
}

remote_end thread_call::run() {
  vm_options pattern = group_->pattern();
  pattern.allocate = nullptr;
  pattern.allocate_data = nullptr;
  admit_signal(pattern.preempt);
  vm_world world(rules_, std::move(pattern), group_);
  end_.problem.message = world.problem();
  if (end_.problem.message.empty()) {
    fellow_->admit(world.engine);
    begin_in(world);
  }
  if (task_) group_->add_unobserved(world.run_to_the_end());
  const std::lock_guard lock(mutex_);
  over_ = true;
  engine_ = nullptr;
  return std::move(end_);
}

using thread_operation = blocking_operation<std::unique_ptr<remote_end>>;

class thread_wait final : public remote_wait {
 public:
  explicit thread_wait(const std::shared_ptr<thread_call>& call)
      : call_({.name = call->name.c_str(), .crew = blocking_crew::own, .fellow = true}, [call] { return run(*call); }),
        relayed_(call_, call),
        thread_(call) {}
  bool start() override {
    thread_->begin();
    return call_.start(), true;
  }
  operation& op() noexcept override { return relayed_; }
  remote_end take() override {
    thread_->done();
    return std::move(*call_.take_result());
  }

 private:
  static std::unique_ptr<remote_end> run(thread_call& call) {
    auto end = std::make_unique<remote_end>(call.run());
    call.gone();
    return end;
  }

  // Holds until the thread has ended, or its task is killed.
  class relaying final : public delegated_operation<thread_operation> {
   public:
    relaying(thread_operation& op, std::shared_ptr<thread_call> call) noexcept
        : delegated_operation(op), call_(std::move(call)) {}
    bool holds(waiter& by) noexcept override {
      relay_.look(by, [this](const cancel_reason& why, bool kills) { call_->cancel(why, kills); });
      return resource_->holds(by);
    }
    void disarm(waiter& by) noexcept override {
      delegated_operation::disarm(by);
      if (by.task->top->has(cancel_node::killed)) call_->give_up();
    }
    wait_description describe() const noexcept override { return {"thread", "thread", call_.get()}; }

   private:
    const std::shared_ptr<thread_call> call_;
    cancel_relay relay_;
  };

  thread_operation call_;
  relaying relayed_;
  const std::shared_ptr<thread_call> thread_;
};

}  // namespace

std::unique_ptr<remote_wait> call_on_thread(vm& v, std::shared_ptr<remote_request> request, const spawn_request& asked) {
  const bool daemon = asked.options.daemon || (v.in_task() && v.running().in_background());
  return std::make_unique<thread_wait>(std::make_shared<thread_call>(v, std::move(request), daemon));
}

}  // namespace perilune
