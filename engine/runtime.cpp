// Making, driving and ending a runtime. See runtime.hpp.
#include <perilune/runtime.hpp>

#include <cstdio>
#include <limits>
#include <random>
#include <thread>

#include "blocking_pool.hpp"
#include "reactor.hpp"
#include "worker.hpp"

namespace perilune {

namespace {

struct call_message final : detail::inbox_message {
  explicit call_message(std::function<void()> f) : fn(std::move(f)) {}
  void deliver() override { fn(); }
  std::function<void()> fn;
};

std::string label_of(const task_header& task) {
  std::string text = "task " + std::to_string(task.id);
  if (task.name) text += std::string(" (") + task.name + ")";
  return text;
}

std::optional<error> check(const runtime_options& options) {
  if (options.workers == 0) return error{error_kind::misuse, "runtime: workers must be at least 1, got 0", 0, {}};
  if (options.grace < duration::zero()) return error{error_kind::misuse, "runtime: grace must not be negative", 0, {}};
  if (options.blocking_threads == 0)
    return error{error_kind::misuse, "runtime: blocking_threads must be at least 1, got 0", 0, {}};
  if (options.joined && options.workers != 1)
    return error{error_kind::misuse, "runtime: a joined runtime has exactly one worker", 0, {}};
  return std::nullopt;
}

}  // namespace

// The threads of workers 1..N-1.
struct runtime::crew {
  std::vector<std::thread> threads;
  std::atomic<bool> leaving{false};
};

runtime::runtime(runtime_options options) : options_(std::move(options)), invalid_(check(options_)) {
  if (invalid_) options_.workers = options_.joined ? 1 : std::max(1U, options_.workers);
  if (options_.seed == 0) options_.seed = (static_cast<std::uint64_t>(std::random_device{}()) << 32) | std::random_device{}();
  if (!options_.time) own_clock_ = std::make_unique<steady_clock>();
  clock_ = options_.time ? options_.time : own_clock_.get();
  pool_ = std::make_shared<detail::blocking_pool>(options_.blocking_threads, options_.blocking_queue);
  for (unsigned i = 0; i < options_.workers; ++i)
    workers_.push_back(std::make_unique<detail::worker>(*this, i, options_));
  crew_ = std::make_unique<crew>();
  for (unsigned i = 1; i < options_.workers; ++i)
    crew_->threads.emplace_back([this, i] {
      detail::worker& self = *workers_[i];
      const auto left = [](void* c) {
        auto& [leaving, tasks] = *static_cast<std::pair<std::atomic<bool>*, scheduler*>*>(c);
        return leaving->load() && tasks->live_tasks() == 0;
      };
      std::pair<std::atomic<bool>*, scheduler*> state{&crew_->leaving, &self.tasks()};
      self.run_until(left, &state);
    });
}

runtime::~runtime() {
  crew_->leaving = true;
  for (unsigned i = 1; i < workers(); ++i)
    post(i, [this, i] { cancel(workers_[i]->tasks().roots, reason_ptr::make(cancel_source::shutdown, "shutdown")),
                        cancel(workers_[i]->tasks().detached, reason_ptr::make(cancel_source::shutdown, "shutdown")); });
  for (std::thread& thread : crew_->threads) thread.join();
  end_all();
  pool_->close(options_.grace, [this](const char* name) { report_stuck(name); });
}

unsigned runtime::workers() const noexcept { return static_cast<unsigned>(workers_.size()); }

blocking_stats runtime::blocking() const noexcept { return pool_->stats(); }

scheduler& runtime::worker_scheduler(unsigned index) noexcept { return workers_[index]->tasks(); }

bool runtime::post(unsigned worker, std::function<void()> fn) {
  return workers_[worker]->post(std::make_unique<call_message>(std::move(fn)));
}

std::optional<error> runtime::refuse_run() const {
  if (invalid_) return invalid_;
  if (scheduler::here() && scheduler::here()->current())
    return error{error_kind::misuse, "run called inside a task: await or join instead", 0, {}};
  if (options_.joined) return error{error_kind::misuse, "run called on a joined runtime: its host's loop drives it", 0, {}};
  return std::nullopt;
}

void runtime::run_until_settled(task_header& main) {
  workers_[0]->run_until([](void* task) { return static_cast<task_header*>(task)->settled(); }, &main);
  run_until_idle();
}

void runtime::end_daemons() noexcept {
  cancel_node& detached = workers_[0]->tasks().detached;
  auto reason = reason_ptr::make(cancel_source::shutdown, "daemon at the end of the run");
  for (cancel_node* node = detached.children.front(); node; node = detached.children.after(*node))
    if (node->owner().is(task_header::trait::daemon)) cancel(*node, reason);
}

void runtime::run_until_idle() {
  scheduler& tasks = workers_[0]->tasks();
  const auto only_daemons = [](void* s) {
    const cancel_node& detached = static_cast<scheduler*>(s)->detached;
    if (static_cast<scheduler*>(s)->roots.child_tasks) return false;
    for (cancel_node* node = detached.children.front(); node; node = detached.children.after(*node))
      if (!node->owner().is(task_header::trait::daemon)) return false;
    return true;
  };
  workers_[0]->run_until(only_daemons, &tasks);
  end_daemons();
  workers_[0]->run_until([](void* s) { return static_cast<scheduler*>(s)->live_tasks() == 0; }, &tasks);
}

tick_report runtime::tick(const tick_budget& budget) {
  detail::worker& self = *workers_[0];
  const auto begun = std::chrono::steady_clock::now();
  const std::uint64_t resumed = self.tasks().resumes();
  const auto spent = [&] { return std::chrono::steady_clock::now() - begun; };
  const auto over = [&] {
    if (budget.resumes && self.tasks().resumes() - resumed >= *budget.resumes) return true;
    return budget.time && spent() >= *budget.time;
  };
  self.poll_io();
  while (!over() && self.turn(1)) {
  }
  tick_report report;
  report.resumed = self.tasks().resumes() - resumed;
  report.live = self.tasks().live_tasks();
  report.idle = self.tasks().idle();
  if (const auto next = self.next_deadline()) report.next_deadline = instant(static_cast<std::int64_t>(*next));
  if (budget.time) report.slack = std::max(duration::zero(), *budget.time - spent());
  return report;
}

void runtime::cancel_all(cancel_source source, std::string text, std::string by_name) {
  scheduler& tasks = workers_[0]->tasks();
  auto reason = reason_ptr::make(source, std::move(text), 0, std::move(by_name));
  cancel(tasks.roots, reason);
  cancel(tasks.detached, reason);
  kick();
}

void runtime::end_all() {
  cancel_all(cancel_source::shutdown, "shutdown", "runtime");
  run_until_idle();
}

void runtime::kill_all(cancel_source source, std::string text, std::string by_name) {
  scheduler& tasks = workers_[0]->tasks();
  auto reason = reason_ptr::make(source, std::move(text), 0, std::move(by_name));
  kill(tasks.roots, reason);
  kill(tasks.detached, reason);
  kick();
}

void runtime::kick() noexcept { workers_[0]->kick(); }

void runtime::report_unobserved(const task_header& task, const error& problem) noexcept {
  if (options_.on_unobserved) return options_.on_unobserved(task, problem);
  std::fprintf(stderr, "perilune: %s failed and nobody looked: %s\n", label_of(task).c_str(), problem.message.c_str());
}

void runtime::report_overstay(const task_header& task) noexcept {
  if (options_.on_overstay) return options_.on_overstay(task);
  const std::string place = task.where();
  std::fprintf(stderr, "perilune: warning: %s did not end within its grace%s%s; killed\n", label_of(task).c_str(),
               place.empty() ? "" : " at ", place.c_str());
}

void runtime::report_stuck(const char* name) noexcept {
  if (options_.on_stuck) return options_.on_stuck(name);
  std::fprintf(stderr, "perilune: warning: the blocking call '%s' does not end; its thread is left behind\n", name);
}

void runtime::report_stall(const std::string& report) noexcept {
  if (options_.on_stall) return options_.on_stall(report);
  std::fprintf(stderr, "perilune: deadlock: nothing can run and nothing can wake these tasks:\n%s", report.c_str());
}

}  // namespace perilune
