// Making and ending isolates, and the runs in them. See isolate.hpp.
#include "isolate.hpp"

#include <algorithm>

#include "vm_group.hpp"

namespace perilune {

namespace {

// Finds modules among the isolate's own, then where the others of the group find theirs.
void provide(module_texts own, vm_options& options) {
  if (own.empty()) return;
  options.load_module = [own = std::move(own), others = std::move(options.load_module)](
                            std::string_view name) -> std::optional<module_source> {
    const auto found = own.find(name);
    if (found != own.end()) return module_source{found->second, "=" + found->first};
    return others ? others(name) : std::nullopt;
  };
}

// Code that is not trusted never holds the worker, whatever the host's own may. Instructions are counted where their number
// is limited, and where nobody watches the time. Time is watched all the same where it can be, ten slices long: an instruction may
// take long. What ran of a portion of fuel when the watchdog struck goes uncounted.
vm_options options_of(const vm& maker, sandbox rules, module_texts own_modules) {
  const vm_options& own = maker.options();
  vm_options options = own.group->options_for(own.worker);
  options.isolated = true;
  options.rules = std::move(rules);
  provide(std::move(own_modules), options);
  if (options.rules.each_run.fuel != run_limits::none || options.preempt.how != preemption::mode::slice)
    options.preempt.how = preemption::mode::fuel;
  return options;
}

}  // namespace

isolate::isolate(vm& maker, sandbox rules, module_texts own)
    : maker_(maker),
      machine_(std::make_unique<vm>(maker.host_runtime(), options_of(maker, std::move(rules), std::move(own)))) {}

isolate::~isolate() { free(); }

void isolate::free() noexcept {
  if (opened()) {
    machine_->begin_closing();
    flush();
  }
  machine_.reset();
}

void isolate::flush() noexcept {
  if (!opened()) return;
  machine_->flush_unobserved();
  maker_.count_unobserved(machine_->unobserved() - std::exchange(told_, machine_->unobserved()));
}

void isolate::add(isolate_run& run) { runs_.push_back(&run); }

void isolate::remove(isolate_run& run) noexcept {
  std::erase(runs_, &run);
  if (!runs_.empty()) return;
  while (waiter* by = drained_.waiting.pop_front()) by->task->home->grant(*by);
}

// One call of vm:run. Begins when its task waits for it for the first time, below that task.
class isolate_run final : public remote_wait, public operation, public remote_task {
 public:
  isolate_run(std::shared_ptr<isolate> in, std::shared_ptr<remote_request> request)
      : remote_task(std::move(request)), isolate_(std::move(in)), allowance_(isolate_->rules().each_run) {}

  // What the isolate's owner asked for.
  void cancel() noexcept {
    auto reason = reason_ptr::make(cancel_source::cancel, "the isolate was closed", 0, "isolate");
    const bool kills = isolate_->opened() && !isolate_->machine().trusted();
    (kills ? perilune::kill : perilune::cancel)(*by_, std::move(reason));
  }

  bool start() override { return false; }
  operation& op() noexcept override { return *this; }
  remote_end take() override {
    if (isolate_->runs_.empty()) isolate_->flush();
    return std::move(end_);
  }

  bool try_commit(waiter& by) override {
    if (!by_) begin(*by.task);
    return ended_;
  }
  void arm(waiter& by) override {
    detail::refuse_cycle(by, *this);
    waiting_ = &by;
  }
  void disarm(waiter&) noexcept override { waiting_ = nullptr; }
  bool give_back(waiter&) noexcept override { return false; }
  bool holds(waiter&) noexcept override { return true; }
  const task_header* held_by() const noexcept override { return task_; }
  wait_description describe() const noexcept override { return {"run", "isolate", isolate_.get()}; }

 private:
  void begin(task_header& by) {
    by_ = &by;
    ended_ = true;
    if (isolate_->closed()) {
      end_.problem = {error_kind::cancelled, "the isolate was closed", 0, {}};
      return cancel();
    }
    isolate_->add(*this);
    allowance_.begin(by, isolate_->machine().host_runtime().time().now());
    if (!spawn_in(isolate_->machine(), {.below = &allowance_})) return isolate_->remove(*this);
    task_->run = &allowance_;
    allowance_.root = task_;
    ended_ = false;
  }

  void ended() noexcept override {
    ended_ = true;
    if (*allowance_.exceeded()) {
      end_ = {};
      end_.problem.kind = error_kind::limit;
      end_.problem.message = allowance_.exceeded();
    }
    isolate_->machine().note_end_of_run(end_.problem.kind == error_kind::limit);
    isolate_->remove(*this);
    if (waiter* by = std::exchange(waiting_, nullptr)) by->task->home->grant(*by);
  }

  const std::shared_ptr<isolate> isolate_;
  allowance allowance_;
  task_header* by_ = nullptr;  // the task that waits, once it has begun to
  waiter* waiting_ = nullptr;
  bool ended_ = false;
};

void isolate::close() noexcept {
  closed_ = true;
  const auto under_way = runs_;
  for (isolate_run* run : under_way) run->cancel();
}

std::unique_ptr<remote_wait> run_in_isolate(vm&, std::shared_ptr<remote_request> request, const spawn_request& asked) {
  return std::make_unique<isolate_run>(*asked.in, std::move(request));
}

}  // namespace perilune
