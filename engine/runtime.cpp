// Making, driving and ending a runtime. See runtime.hpp.
#include <perilune/runtime.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <system_error>

#include "blocking_pool.hpp"
#include "call_message.hpp"
#include "poll_door.hpp"
#include "quiescence.hpp"
#include "worker.hpp"

namespace perilune {

namespace {

using detail::quiescence;

// A host's function must not throw; what it throws all the same goes no further.
template <class F, class... Args>
void tell_host(const F& fn, const Args&... args) noexcept {
  try {
    fn(args...);
  } catch (...) {
    std::fprintf(stderr, "perilune: a function of the host's runtime_options threw: %s\n",
                 describe_exception(std::current_exception()).message.c_str());
  }
}

bool runs_on_this_thread(const runtime& rt) noexcept {
  const scheduler* here = scheduler::here();
  return here && &here->owner().owner() == &rt;
}

std::optional<error> check(const runtime_options& options) {
  if (options.workers == 0) return error{error_kind::misuse, "runtime: workers must be at least 1, got 0", 0, {}};
  if (options.grace < duration::zero()) return error{error_kind::misuse, "runtime: grace must not be negative", 0, {}};
  if (options.long_hold < duration::zero())
    return error{error_kind::misuse, "runtime: long_hold must not be negative", 0, {}};
  if (options.blocking_threads == 0)
    return error{error_kind::misuse, "runtime: blocking_threads must be at least 1, got 0", 0, {}};
  if (options.file_threads == 0)
    return error{error_kind::misuse, "runtime: file_threads must be at least 1, got 0", 0, {}};
  if (options.joined && options.workers != 1)
    return error{error_kind::misuse, "runtime: a joined runtime has exactly one worker", 0, {}};
  return std::nullopt;
}

}  // namespace

runtime::runtime(runtime_options options) : options_(std::move(options)), invalid_(check(options_)) {
  if (invalid_) options_.workers = 1;
  if (options_.seed == 0)
    options_.seed = (static_cast<std::uint64_t>(std::random_device{}()) << 32) | std::random_device{}();
  if (!options_.time) own_clock_ = std::make_unique<steady_clock>();
  clock_ = options_.time ? options_.time : own_clock_.get();
  poll_ = std::make_unique<detail::poll_door>();
  options_.on_ready = [poll = poll_.get(), tell = std::move(options_.on_ready)] {
    poll->ring();
    if (tell) tell_host(tell);
  };
  quiet_ = std::make_unique<quiescence>(*this, options_.workers);
  pool_ = std::make_shared<detail::blocking_pool>(options_.blocking_threads, options_.blocking_queue);
  files_ = std::make_shared<detail::blocking_pool>(options_.file_threads, options_.blocking_queue);
  for (unsigned i = 0; i < options_.workers; ++i)
    workers_.push_back(std::make_unique<detail::worker>(*this, i, options_));
  start_crew();
}

void runtime::start_crew() {
  crew_.reserve(workers());
  try {
    for (unsigned i = 1; i < workers(); ++i)
      crew_.emplace_back([this, i] {
        workers_[i]->run_until([](void* quiet) { return static_cast<quiescence*>(quiet)->over(); }, quiet_.get());
        workers_[i]->close();
      });
  } catch (const std::system_error& e) {
    invalid_ = error::system("runtime: start the thread of a worker", e.code().value());
  }
}

runtime::~runtime() {
  if (runs_on_this_thread(*this)) {
    const task_header* task = scheduler::here()->current();
    std::fprintf(stderr,
                 "perilune: fatal: a runtime was destroyed inside %s that it runs; let run() or tick() return first\n",
                 task ? label_of(*task).c_str() : "a call");
    std::abort();
  }
  quiet_->aim_at(quiescence::aim::stop);
  cancel_all(cancel_source::shutdown, "shutdown", "runtime");
  if (options_.joined)
    abandon_unfinished();
  else
    run_until([](void* quiet) { return static_cast<quiescence*>(quiet)->reached(); }, quiet_.get());
  for (std::thread& thread : crew_) thread.join();
  for (const auto& each : workers_)
    if (each) each->close();
  for (const auto& pool : {files_, pool_})
    pool->close(options_.grace, [this](const char* name) { report_stuck(name); });
}

// The host's loop is not ours to run. Whoever still waits for it afterwards must find his worker in place.
void runtime::abandon_unfinished() noexcept {
  detail::worker& self = *workers_[0];
  {
    const detail::worker::driving guard(self);
    while (self.turn()) {
    }
    self.kill_all(reason_ptr::make(cancel_source::grace, "the runtime ended before its host's loop", 0, "runtime"));
    while (self.turn()) {
    }
  }
  if (self.tasks().live_tasks() == 0) return;
  std::fprintf(stderr,
               "perilune: warning: a joined runtime ended with %llu tasks waiting for its host's loop; left behind\n",
               static_cast<unsigned long long>(self.tasks().live_tasks()));
  self.io_reactor().abandon();
  self.close();
  static_cast<void>(workers_[0].release());
}

unsigned runtime::workers() const noexcept { return static_cast<unsigned>(workers_.size()); }

blocking_stats runtime::blocking() const noexcept { return pool_->stats(); }

scheduler& runtime::worker_scheduler(unsigned index) noexcept { return workers_[index]->tasks(); }

bool runtime::post(unsigned worker, std::function<void()> fn) {
  return worker < workers() && workers_[worker]->post(std::make_unique<detail::call_message>(*this, std::move(fn)));
}

std::optional<error> runtime::refuse_run() const {
  if (invalid_) return invalid_;
  if (scheduler::here() && scheduler::here()->current())
    return error{error_kind::misuse, "run called inside a task: await or join instead", 0, {}};
  if (workers_[0]->driven())
    return error{error_kind::misuse, "run called while the runtime is being driven already", 0, {}};
  if (options_.joined)
    return error{error_kind::misuse, "run called on a joined runtime: its host's loop drives it", 0, {}};
  return std::nullopt;
}

void runtime::run_until(bool (*done)(void*), void* argument) { workers_[0]->run_until(done, argument); }

void runtime::run_until_settled(task_header& main) {
  run_until([](void* task) { return static_cast<task_header*>(task)->settled(); }, &main);
  run_until_idle();
}

// Alone, worker 0 sees by itself when it is done. With others it is done when all of them rest.
void runtime::run_until_idle() {
  const auto no_work = [](void* self) {
    runtime& rt = *static_cast<runtime*>(self);
    return rt.workers_[0]->only_daemons() && (rt.workers() == 1 || rt.quiet_->reached());
  };
  const auto no_tasks = [](void* self) {
    runtime& rt = *static_cast<runtime*>(self);
    return rt.workers_[0]->tasks().live_tasks() == 0 && (rt.workers() == 1 || rt.quiet_->reached());
  };
  quiet_->aim_at(quiescence::aim::no_work);
  run_until(no_work, this);
  quiet_->aim_at(quiescence::aim::no_tasks);
  for (unsigned i = 0; i < workers(); ++i) post(i, [&each = *workers_[i]] { each.cancel_daemons(); });
  run_until(no_tasks, this);
  quiet_->aim_at(quiescence::aim::none);
  workers_[0]->admit_daemons();
  for (unsigned i = 1; i < workers(); ++i) post(i, [&each = *workers_[i]] { each.admit_daemons(); });
}

tick_report runtime::tick(const tick_budget& budget) {
  detail::worker& self = *workers_[0];
  tick_report report;
  if (self.driven()) {
    report.refused = error{error_kind::misuse, "tick called while the runtime is being driven already", 0, {}};
    return report;
  }
  const detail::worker::driving guard(self);
  const auto begun = std::chrono::steady_clock::now();
  const auto spent = [&] { return std::chrono::steady_clock::now() - begun; };
  const std::uint64_t before = self.tasks().resumes();
  poll_->silence();
  self.poll_io();
  for (;;) {
    std::uint64_t most = scheduler::fair_interval;
    if (budget.resumes) most = std::min(most, *budget.resumes - (self.tasks().resumes() - before));
    if (most == 0 || (budget.time && spent() >= *budget.time)) break;
    if (!self.turn(static_cast<unsigned>(most)) && !(self.tasks().idle() && quiet_->glance(self, false))) break;
  }
  report.resumed = self.tasks().resumes() - before;
  report.live = self.tasks().live_tasks();
  report.idle = self.tasks().idle() && !self.has_news();
  if (const auto next = self.next_deadline()) report.next_deadline = instant(static_cast<std::int64_t>(*next));
  if (budget.time) report.slack = std::max(duration::zero(), *budget.time - spent());
  return report;
}

result<int> runtime::poll_fd() {
  if (options_.joined)
    return error{error_kind::misuse, "poll_fd called on a joined runtime: its host's loop drives it", 0, {}};
  if (auto opened = poll_->open(workers_[0]->io_reactor()); !opened) return std::move(opened).error();
  return poll_->descriptor();
}

std::optional<duration> runtime::time_to_next() noexcept {
  detail::worker& self = *workers_[0];
  if (!self.tasks().idle() || self.has_news()) return duration::zero();
  const auto next = self.next_deadline();
  if (!next) return std::nullopt;
  return std::max(duration::zero(), instant(static_cast<std::int64_t>(*next)) - clock_->now());
}

result<tick_report> runtime::advance(duration by) {
  if (clock_->kind() == clock::mode::steady || by < duration::zero())
    return error{error_kind::misuse, "advance needs a manual or virtual clock and a span that is not negative", 0, {}};
  const auto move_to = [this](instant at) {
    if (clock_->kind() == clock::mode::manual) return static_cast<manual_clock*>(clock_)->set(at);
    return static_cast<virtual_clock*>(clock_)->jump_to(at);
  };
  const instant end = saturating_add(clock_->now(), by);
  tick_report report = tick();
  std::uint64_t resumed = report.resumed;
  while (!report.refused && clock_->now() < end) {
    move_to(report.next_deadline ? std::clamp(*report.next_deadline, clock_->now(), end) : end);
    for (unsigned i = 1; i < workers(); ++i) workers_[i]->door().tell();
    report = tick();
    resumed += report.resumed;
  }
  if (report.refused) return *std::move(report.refused);
  report.resumed = resumed;
  return report;
}

void runtime::each_worker(void (*act)(detail::worker&, const reason_ptr&), const cancel_reason& reason) {
  const auto copy = [](const cancel_reason& r) { return reason_ptr::make(r.source, r.text, r.by_task, r.by_name); };
  act(*workers_[0], copy(reason));
  for (unsigned i = 1; i < workers(); ++i)
    post(i, [&each = *workers_[i], act, copy, reason] { act(each, copy(reason)); });
}

void runtime::cancel_all(cancel_source source, std::string text, std::string by_name) {
  each_worker([](detail::worker& each, const reason_ptr& reason) { each.cancel_all(reason); },
              *reason_ptr::make(source, std::move(text), 0, std::move(by_name)));
}

void runtime::kill_all(cancel_source source, std::string text, std::string by_name) {
  each_worker([](detail::worker& each, const reason_ptr& reason) { each.kill_all(reason); },
              *reason_ptr::make(source, std::move(text), 0, std::move(by_name)));
}

void runtime::end_all() {
  cancel_all(cancel_source::shutdown, "shutdown", "runtime");
  run_until_idle();
}

void runtime::kick() noexcept { workers_[0]->kick(); }

void runtime::report_unobserved(const task_header& task, const error& problem) noexcept {
  if (options_.on_unobserved) return tell_host(options_.on_unobserved, task, problem);
  std::fprintf(stderr, "perilune: %s failed and nobody looked: %s\n", label_of(task).c_str(), problem.message.c_str());
}

void runtime::report_escaped(const error& problem) noexcept {
  std::fprintf(stderr, "perilune: a posted call failed: %s\n", problem.message.c_str());
}

void runtime::report_overstay(const task_header& task) noexcept {
  if (options_.on_overstay) return tell_host(options_.on_overstay, task);
  std::string place = task.where();
  const char* how = place.empty() ? ", spawned at " : " at ";
  if (place.empty()) place = task.spawned_at();
  std::fprintf(stderr, "perilune: warning: %s did not end within its grace%s%s; killed\n", label_of(task).c_str(),
               place.empty() ? "" : how, place.c_str());
}

void runtime::report_long_hold(const std::string& warning) noexcept {
  if (options_.on_long_hold) return tell_host(options_.on_long_hold, warning);
  std::fprintf(stderr, "perilune: warning: %s\n", warning.c_str());
}

void runtime::report_stuck(const char* name) noexcept {
  if (options_.on_stuck) return tell_host(options_.on_stuck, name);
  std::fprintf(stderr, "perilune: warning: the blocking call '%s' does not end; its thread is left behind\n", name);
}

void runtime::report_stall(const std::string& report) noexcept {
  if (options_.on_stall) return tell_host(options_.on_stall, report);
  std::fprintf(stderr, "perilune: deadlock: nothing can run and nothing can wake these tasks:\n%s", report.c_str());
}

}  // namespace perilune
