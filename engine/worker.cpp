// The loop of a worker. See worker.hpp.
#include "worker.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <perilune/asio.hpp>
#include <perilune/brief_mutex.hpp>

#include "quiescence.hpp"

namespace perilune::detail {

namespace {

constexpr duration::rep longest_hold_ms = 1U << 30;
constexpr std::uint64_t rest_per_timer_ns = 5'000;
constexpr std::uint64_t longest_rest_ns = 500'000;
constexpr std::chrono::microseconds longest_spin{20};  // about what it costs to sleep and to be woken
constexpr unsigned spins_per_look = 64;
constexpr unsigned longest_sit_out = 63;

reactor make_reactor(worker& self, const runtime_options& options) {
  if (options.joined) return reactor(options.joined->executor, [&self] { self.drive(); });
  return reactor();
}

}  // namespace

worker::worker(runtime& owner, unsigned index, const runtime_options& options)
    : runtime_(owner),
      index_(index),
      clock_(owner.time()),
      scheduler_(*this, options.workers),
      timers_(now_ns()),
      reactor_(make_reactor(*this, options)),
      door_(std::make_shared<doorway>(reactor_, index == 0 ? options.on_ready : nullptr)),
      origin_ns_(now_ns()),
      may_spin_(options.workers > 1 && options.workers <= std::thread::hardware_concurrency() && !options.joined) {
  scheduler_.seed(options.seed + index * 0x9E3779B97F4A7C15ULL);
  scheduler_.shuffle(options.shuffle);
  scheduler_.observe(options.observed_by);
  scheduler_.holds.set_limit(
      static_cast<std::uint32_t>(std::min(options.long_hold.count() / 1'000'000, longest_hold_ms)));
  sweep_.self = this;
  sweep_.kind = static_cast<std::uint8_t>(timer_kind::callback);
  sweep_.fire = [](timer_callback& timer) noexcept { static_cast<sweep_timer&>(timer).self->sweep(); };
}

worker::~worker() { close(); }

worker::driving::driving(worker& w) noexcept : worker_(w), entered_(w.scheduler_) {
  worker_.driven_ = true;
  worker_.door_->attend();
}

worker::driving::~driving() {
  worker_.driven_ = false;
  if (!worker_.door_->depart()) worker_.door_->tell();
}

void worker::look_at_clock() noexcept {
  scheduler_.set_now_ms(static_cast<std::uint32_t>((now_ns() - origin_ns_) / 1'000'000));
}

// Warnings keep no run alive and move no clock, so they have no timer.
void worker::look_at_holds() {
  const auto due = scheduler_.holds.next_look();
  if (!due || *due > scheduler_.now_ms()) return;
  const auto tell = [](void* rt, const std::string& warning) { static_cast<runtime*>(rt)->report_long_hold(warning); };
  scheduler_.holds.look(scheduler_.now_ms(), tell, &runtime_);
}

std::optional<std::uint64_t> worker::next_wake() const noexcept {
  auto wake = timers_.next_wake();
  if (const auto due = scheduler_.holds.next_look()) {
    const std::uint64_t look = origin_ns_ + std::uint64_t{*due} * 1'000'000;
    if (!wake || look < *wake) wake = look;
  }
  return wake;
}

// A few timers are exact. With many, waking for each by itself would cost more than it serves.
std::optional<std::uint64_t> worker::next_rest() const noexcept {
  const auto wake = next_wake();
  const std::uint64_t apart = std::min(timers_.size() * rest_per_timer_ns, longest_rest_ns);
  return wake ? std::optional(std::max(*wake, fired_at_ + apart)) : wake;
}

void worker::fire_due_timers() {
  look_at_clock();
  look_at_holds();
  if (timers_.empty()) return;
  const std::uint64_t now = now_ns();
  while (timer_node* timer = timers_.pop_due(now)) {
    fired_at_ = now;
    fire(*timer);
  }
}

void worker::fire(timer_node& timer) {
  switch (static_cast<timer_kind>(timer.kind)) {
    case timer_kind::waiter:
      scheduler_.grant(static_cast<waiter&>(timer));
      break;
    case timer_kind::deadline:
      static_cast<scope_node::deadline_timer&>(timer).scope->expire();
      break;
    case timer_kind::callback: {
      auto& callback = static_cast<timer_callback&>(timer);
      callback.fire(callback);
      break;
    }
  }
}

// A batch may be short; the system is asked once in fair_interval resumes, when a task has overstayed, and when nothing is
// left to run.
void worker::poll_io_now_and_then() {
  const std::uint64_t resumes = scheduler_.resumes();
  if (resumes - polled_at_ < scheduler::fair_interval && !scheduler_.idle() && !scheduler_.take_look_around()) return;
  polled_at_ = resumes;
  reactor_.poll();
}

bool worker::timer_due() const noexcept {
  const auto wake = timers_.next_wake();
  return wake && *wake <= now_ns();
}

bool worker::turn(unsigned most) {
  bool progressed = !door_->empty() && door_->drain() != 0;
  spoken_to_ |= progressed;
  if (external_ || background_) poll_io_now_and_then();
  fire_due_timers();
  return scheduler_.run_batch(most) != 0 || progressed;
}

void worker::run_until(bool (*done)(void*), void* argument) {
  const driving guard(*this);
  while (!done(argument)) {
    if (turn() || done(argument) || !scheduler_.idle()) continue;
    wait_for_work();
  }
}

bool worker::others_attend() const noexcept {
  for (unsigned i = 0; i < runtime_.workers(); ++i)
    if (i != index_ && runtime_.worker(i).door().attended()) return true;
  return false;
}

// Workers that talk to each other answer sooner than a thread falls asleep and wakes up. So who has been told something
// since the last time waits awake for the next message, for a short while and as long as another worker is awake. Where that
// is in vain it is tried less and less often.
bool worker::await_message() {
  if (!may_spin_ || !std::exchange(spoken_to_, false)) return false;
  if (sit_out_ > 0) return --sit_out_, false;
  const auto end = std::chrono::steady_clock::now() + longest_spin;
  while (others_attend() && std::chrono::steady_clock::now() < end) {
    for (unsigned i = 0; i < spins_per_look; ++i) {
      if (!door_->empty()) return missed_ = 0, true;
      spin_once();
    }
    if (external_ || background_) reactor_.poll();
    if (has_news() || !scheduler_.idle()) return true;
  }
  sit_out_ = missed_ = std::min(2 * missed_ + 1, longest_sit_out);
  return false;
}

void worker::wait_for_work() {
  if (await_message()) return;
  quiescence& others = runtime_.quiet();
  if (!door_->wait()) return;
  if (others.rest(*this)) {
    const bool real = clock_.kind() == clock::mode::steady;
    reactor_.wait(real ? next_rest() : std::nullopt);
  }
  door_->attend();
  others.rise(*this);
}

namespace {

std::uint64_t target_of(const waiter& by) noexcept {
  const bool end_of_time = by.deadline == static_cast<std::uint64_t>(instant::max().count());
  return end_of_time ? timer_queue::never : by.deadline;
}

}  // namespace

std::optional<std::uint64_t> worker::next_quiet() const noexcept {
  std::optional<std::uint64_t> next;
  for (waiter* by = quiet_waiters_.front(); by; by = quiet_waiters_.after(*by))
    if (!next || target_of(*by) < *next) next = target_of(*by);
  return next;
}

void worker::serve_quiet(std::uint64_t target) noexcept {
  for (waiter* by = quiet_waiters_.front(); by; by = quiet_waiters_.after(*by)) {
    if (target_of(*by) != target) continue;
    quiet_waiters_.erase(*by);
    return scheduler_.grant(*by);
  }
}

void worker::drive() {
  bool more = false;
  {
    const driving guard(*this);
    for (int batch = 0; batch < 16 && turn(); ++batch) {
    }
    more = !scheduler_.idle() || runtime_.quiet().glance(*this, true);
  }
  if (more) return door_->tell();
  if (clock_.kind() != clock::mode::steady) return;
  if (const auto wake = next_rest()) reactor_.drive_at(*wake);
}

void worker::close() noexcept {
  door_->close();
  scheduler_.report_unobserved();
}

namespace {

// Calls `visit` for every task without a parent: those below the root, and those that the host holds together there.
template <class F>
void each_root_task(cancel_node& root, F visit) {
  for (cancel_node* node = root.children.front(); node; node = root.children.after(*node))
    node->has(cancel_node::is_root) ? each_root_task(*node, visit) : visit(node->owner());
}

bool is_daemon(const task_header& task) noexcept { return task.is(task_header::trait::daemon); }

}  // namespace

bool worker::only_daemons() noexcept {
  bool only = true;
  for (cancel_node* root : {&scheduler_.roots, &scheduler_.detached})
    each_root_task(*root, [&](const task_header& task) { only &= is_daemon(task); });
  return only;
}

void worker::cancel_all(const reason_ptr& reason) noexcept {
  cancel(scheduler_.roots, reason);
  cancel(scheduler_.detached, reason);
  kick();
}

void worker::kill_all(const reason_ptr& reason) noexcept {
  kill(scheduler_.roots, reason);
  kill(scheduler_.detached, reason);
  kick();
}

void worker::daemon_spawned(task_header& task) noexcept {
  if (ends_daemons_) cancel(task, reason_ptr::make(cancel_source::shutdown, "daemon at the end of the run"));
}

void worker::cancel_daemons() noexcept {
  ends_daemons_ = true;
  const auto reason = reason_ptr::make(cancel_source::shutdown, "daemon at the end of the run");
  for (cancel_node* root : {&scheduler_.roots, &scheduler_.detached})
    each_root_task(*root, [&](task_header& task) {
      if (is_daemon(task)) cancel(task, reason);
    });
}

}  // namespace perilune::detail
