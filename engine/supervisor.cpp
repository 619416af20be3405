// Starting, stopping and restarting children. See supervisor.hpp.
//
// Children live in a shield, so that a cancellation of the supervisor does not reach them all at once. A daemon outside of
// it feels the cancellation and tells.
#include <perilune/supervisor.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>

#include <perilune/join_set.hpp>
#include <perilune/notify.hpp>
#include <perilune/scope.hpp>
#include <perilune/select.hpp>

#include "worker.hpp"

namespace perilune {

namespace {

struct child {
  child_spec spec;
  task_handle<void> running{};
  std::optional<instant> due{};  // when it is to start
  instant started{};
  unsigned failures = 0;  // in a row
};

std::string seconds_text(duration span) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g s", to_seconds(span));
  return text.data();
}

class supervision {
 public:
  // Made in the task whose children these are.
  supervision(supervisor_options& options, notify& stopping) : options_(options), stopping_(stopping) {
    for (child_spec& spec : options_.children) children_.push_back({std::move(spec)});
  }

  task<> run() {
    for (child& each : children_) each.due = now();
    bool over = false;
    while (!over) over = co_await step();
    co_await stop_from(0);
  }

 private:
  struct restart {
    instant at;
    std::exception_ptr failure;
  };

  task<bool> step();
  void start_due();
  task<bool> child_ended(child& ended, const outcome<void>& end);
  task<> start_again(child& ended, const outcome<void>& end);
  task<> stop(child& each);
  task<> stop_from(std::size_t first);
  bool may_restart(const outcome<void>& end);
  [[noreturn]] void give_up(const child& ended, const outcome<void>& end) const;
  bool ends_with(const child& ended) const;
  void tell(const child& of, const outcome<void>& end) const;
  std::optional<instant> next_due() const;
  child* find(const task_handle<void>& running) noexcept;

  supervisor_options& options_;
  notify& stopping_;
  std::vector<child> children_;
  std::vector<restart> recent_;
  join_set<void> set_;
};

task<> begin(const child_spec& spec) { co_await spec.start(); }

void supervision::start_due() {
  for (child& each : children_) {
    if (!each.due || *each.due > now()) continue;
    each.due.reset();
    each.started = now();
    each.running = set_.spawn(begin(each.spec));
  }
}

std::optional<instant> supervision::next_due() const {
  std::optional<instant> first;
  for (const child& each : children_)
    if (each.due && (!first || *each.due < *first)) first = each.due;
  return first;
}

child* supervision::find(const task_handle<void>& running) noexcept {
  for (child& each : children_)
    if (each.running && &each.running.header() == &running.header()) return &each;
  return nullptr;
}

// Waits for what happens next. True when the supervisor is to end.
task<bool> supervision::step() {
  start_due();
  const std::optional<instant> due = next_due();
  if (set_.size() == 0) {
    if (!due) co_return true;
    const auto first = co_await select_biased(stopping_.wait_op(), until_op(*due));
    co_return first.index() == 0;
  }
  const auto first =
      co_await select_biased(stopping_.wait_op(), set_.join_next_op(), until_op(due.value_or(instant::max())));
  if (first.index() != 1) co_return first.index() == 0;
  const task_handle<void> gone = *std::get<1>(first);
  child* const ended = find(gone);
  if (!ended) co_return false;
  ended->running = {};
  const bool over = co_await child_ended(*ended, gone.outcome_now());
  co_return over;
}

// A child has ended by itself. True when the supervisor ends with it.
task<bool> supervision::child_ended(child& ended, const outcome<void>& end) {
  tell(ended, end);
  const restart_kind kind = ended.spec.restart;
  if (kind == restart_kind::permanent || (kind == restart_kind::transient && end.failed())) {
    co_await start_again(ended, end);
    co_return false;
  }
  co_return ends_with(ended);
}

task<> supervision::start_again(child& ended, const outcome<void>& end) {
  const bool allowed = may_restart(end);
  if (!allowed) {
    co_await stop_from(0);
    give_up(ended, end);
  }
  const auto place = static_cast<std::size_t>(&ended - children_.data());
  const bool alone = options_.strategy == restart_strategy::one_for_one;
  const std::size_t first = options_.strategy == restart_strategy::one_for_all ? 0 : place;
  if (!alone) co_await stop_from(first);
  ended.failures = now() - ended.started >= options_.period ? 1 : ended.failures + 1;
  const instant due = saturating_add(now(), ended.spec.pauses.pause(ended.failures, scheduler::here()->random()));
  for (std::size_t i = first; i < (alone ? first + 1 : children_.size()); ++i)
    if (i == place || children_[i].spec.restart != restart_kind::temporary) children_[i].due = due;
}

// Counts a restart; false when there were too many.
bool supervision::may_restart(const outcome<void>& end) {
  std::erase_if(recent_, [this](const restart& each) { return now() - each.at > options_.period; });
  recent_.push_back({now(), end.failed() ? end.exception() : nullptr});
  return recent_.size() <= options_.intensity;
}

void supervision::give_up(const child& ended, const outcome<void>& end) const {
  std::vector<std::exception_ptr> failures;
  for (const restart& each : recent_)
    if (each.failure) failures.push_back(each.failure);
  std::string message = "restart intensity exceeded: " + std::to_string(recent_.size()) + " restarts within " +
                        seconds_text(options_.period) + "; the last: ";
  message += end.returned() ? ended.spec.name + " ended" : end.error().message;
  throw restart_intensity_exceeded({error_kind::error, std::move(message), 0, {}}, std::move(failures));
}

// Ends a child: asked first, killed when its time has passed.
task<> supervision::stop(child& each) {
  each.due.reset();
  const task_handle<void> running = std::exchange(each.running, {});
  if (!running) co_return;
  running.cancel("stopped by its supervisor");
  const auto first = co_await select_biased(running.join_op(), sleep_op(each.spec.shutdown));
  if (first.index() == 1) {
    kill(running.header(), scheduler::here()->asked_by_current("outlived its shutdown time"));
    co_await running.join();
  }
  tell(each, running.outcome_now());
}

task<> supervision::stop_from(std::size_t first) {
  for (std::size_t i = children_.size(); i > first; --i) co_await stop(children_[i - 1]);
}

bool supervision::ends_with(const child& ended) const {
  if (!ended.spec.significant || options_.ends == auto_shutdown::never) return false;
  if (options_.ends == auto_shutdown::any_significant) return true;
  return std::none_of(children_.begin(), children_.end(),
                      [](const child& each) { return each.spec.significant && (each.running || each.due); });
}

void supervision::tell(const child& of, const outcome<void>& end) const {
  if (!end.failed()) return;
  if (options_.on_failure) return options_.on_failure(of.spec, end.error());
  detail::worker::here().owner().report_unobserved(*scheduler::here()->current(), end.error());
}

// Says that it goes: the supervisor was cancelled, or is over.
struct leaving {
  std::shared_ptr<notify> stopping;
  ~leaving() { stopping->notify_one(); }
};

task<> watch(std::shared_ptr<notify> stopping) {
  const leaving told{std::move(stopping)};
  co_await sleep(duration::max());
}

task<> supervise(supervisor_options options, std::shared_ptr<notify> stopping) {
  supervision children(options, *stopping);
  co_await children.run();
}

task<> run_shielded(supervisor_options options) {
  const auto stopping = std::make_shared<notify>();
  const auto watcher = spawn(watch(stopping), {.daemon = true});
  co_await shield(supervise(std::move(options), stopping));
  watcher.cancel();
  co_await detail::cancel_point();  // where a cancellation that has stopped the children ends the supervisor
}

void check(const supervisor_options& options) {
  const auto refuse = [](const std::string& what) {
    throw task_error({error_kind::misuse, "supervisor: " + what, 0, {}});
  };
  if (options.period < duration::zero()) refuse("the period must not be negative");
  if (options.children.empty()) refuse("no children");
  for (const child_spec& spec : options.children) {
    if (!spec.start) refuse("the child '" + spec.name + "' has no start");
    if (spec.shutdown < duration::zero()) refuse("the shutdown time of '" + spec.name + "' must not be negative");
    spec.pauses.check("supervisor");
  }
}

}  // namespace

task<> supervisor(supervisor_options options) {
  check(options);
  return run_shielded(std::move(options));
}

}  // namespace perilune
