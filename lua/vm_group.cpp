// Making, finding and ending the VMs of a host. See vm_group.hpp.
#include "vm_group.hpp"

#include <condition_variable>
#include <cstdio>
#include <utility>

namespace perilune {

namespace {

// Reports come from every VM's thread; the host's function sees them one by one.
std::function<void(const std::string&)> one_by_one(std::function<void(const std::string&)> report) {
  if (!report) return report;
  return [report = std::move(report), lock = std::make_shared<std::mutex>()](const std::string& text) {
    const std::lock_guard guard(*lock);
    report(text);
  };
}

}  // namespace

vm_group::vm_group(runtime& rt, const vm_options& pattern, std::shared_ptr<vm_group> above)
    : runtime_(rt),
      pattern_(pattern),
      above_(std::move(above)),
      blocking_places_(std::make_shared<permit_pot>(rt.options().blocking_queue)),
      places_(rt.workers()) {
  pattern_.report = one_by_one(std::move(pattern_.report));
}

vm_group::~vm_group() = default;

vm_options vm_group::options_for(unsigned worker) const {
  vm_options options = pattern_;
  options.worker = worker;
  options.group = const_cast<vm_group*>(this);
  if (worker == 0) return options;
  options.allocate = nullptr;
  options.allocate_data = nullptr;
  return options;
}

std::unique_ptr<vm> vm_group::make(unsigned worker) {
  auto machine = std::make_unique<vm>(runtime_, options_for(worker));
  if (!machine->opened()) machine.reset();
  return machine;
}

vm* vm_group::here(unsigned worker) {
  if (worker == 0) return main_;
  place& mine = places_[worker];
  if (!mine.machine) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return nullptr;
    }
    mine.machine = make(worker);
    mine.made = mine.machine != nullptr;
  }
  return mine.machine.get();
}

unsigned vm_group::next_after(unsigned worker) noexcept {
  const auto all = static_cast<unsigned>(places_.size());
  if (all == 1) return 0;
  return (worker + 1 + turn_.fetch_add(1, std::memory_order_relaxed) % (all - 1)) % all;
}

std::unique_ptr<vm> vm_group::borrow() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<vm> last = std::move(idle_.back());
      idle_.pop_back();
      return last;
    }
  }
  return make(vm_options::no_worker);
}

void vm_group::give_back(std::unique_ptr<vm> machine) {
  const std::lock_guard lock(mutex_);
  if (!closed_) idle_.push_back(std::move(machine));
}

void vm_group::count_blocking(duration took) {
  constexpr std::uint64_t sample = 256;
  constexpr duration worth_it = std::chrono::microseconds(20);
  {
    const std::lock_guard lock(mutex_);
    blocking_time_ += took;
    if (warned_ || ++blocking_calls_ < sample) return;
    const duration each = std::exchange(blocking_time_, duration(0)) / sample;
    blocking_calls_ = 0;
    if (each >= worth_it) return;
    warned_ = true;
  }
  const std::string text =
      "warning: calls of peri.blocking take less than 20 us each, which is what it costs to send them; call such "
      "functions directly, or send more work at once";
  pattern_.report ? pattern_.report(text) : static_cast<void>(std::fprintf(stderr, "perilune: %s\n", text.c_str()));
}

void vm_group::exit(int code, std::string by) {
  if (above_) return above_->exit(code, std::move(by));
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  runtime_.post(0, [this, code, by = std::move(by)] {
    if (!main_ || main_->exiting) return;
    main_->exiting = true;
    main_->exit_code = code;
    runtime_.cancel_all(cancel_source::shutdown, "os.exit", by);
  });
}

template <class F>
void vm_group::on_each_worker(F fn) {
  std::mutex lock;
  std::condition_variable done;
  unsigned open = 0;
  for (unsigned i = 1; i < places_.size(); ++i) {
    if (!places_[i].made) continue;
    {
      const std::lock_guard guard(lock);
      ++open;
    }
    const auto run = [&, i] {
      fn(places_[i]);
      const std::lock_guard guard(lock);
      if (--open == 0) done.notify_one();
    };
    if (!runtime_.post(i, run)) run();
  }
  std::unique_lock guard(lock);
  done.wait(guard, [&] { return open == 0; });
}

std::uint64_t vm_group::flush_unobserved() {
  std::atomic<std::uint64_t> total = unobserved_.load();
  on_each_worker([&](place& each) {
    each.machine->flush_unobserved();
    total += each.machine->unobserved();
  });
  return total;
}

void vm_group::close() {
  std::vector<std::unique_ptr<vm>> unused;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    unused.swap(idle_);
  }
  on_each_worker([](place& each) {
    each.machine->begin_closing();
    each.machine.reset();
    each.made = false;
  });
  main_ = nullptr;
}

}  // namespace perilune
