// Watchers: the tree is read on the pool whenever the reactor says that something has happened. See watcher.hpp.
#include <perilune/watcher.hpp>

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <vector>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

#include "arrival_queue.hpp"
#include "blocking_pool.hpp"
#include "reactor.hpp"
#include "watch_tree.hpp"

namespace perilune::fs {

const char* to_string(watch_kind kind) noexcept {
  constexpr const char* names[] = {"created", "modified", "removed", "renamed", "overflow"};
  return names[static_cast<unsigned char>(kind)];
}

namespace detail {

namespace {

using perilune::detail::worker;

constexpr int patience = 10;  // an event is held at most so many times the debounce

}  // namespace

// What happened to each path since the last flush, told as one event.
class event_batch {
 public:
  bool empty() const noexcept { return events_.empty(); }
  void add(watch_event next) {
    const auto known = latest_.find(next.path);
    const bool joins = known != latest_.end() && merge(events_[known->second], next);
    if (joins) return;
    latest_[next.path] = events_.size();
    events_.push_back(std::move(next));
  }
  std::vector<watch_event> take() {
    latest_.clear();
    std::vector<watch_event> told;
    for (watch_event& event : std::exchange(events_, {}))
      if (!event.path.empty()) told.push_back(std::move(event));
    return told;
  }

 private:
  // True when `next` is part of `event` now. An event without path came to nothing.
  bool merge(watch_event& event, const watch_event& next) {
    if (event.kind == watch_kind::overflow || next.kind == watch_kind::overflow || next.kind == watch_kind::renamed)
      return false;
    if (next.kind == watch_kind::modified) return event.kind != watch_kind::removed;
    if (event.kind == watch_kind::removed) {
      event.kind = next.kind == watch_kind::created ? watch_kind::modified : event.kind;
      return true;
    }
    if (next.kind != watch_kind::removed || event.kind == watch_kind::renamed) return false;
    latest_.erase(next.path);
    if (event.kind == watch_kind::created)
      event.path.clear();
    else
      event.kind = watch_kind::removed;
    return true;
  }

  std::vector<watch_event> events_;
  std::unordered_map<std::string, std::size_t> latest_;
};

class watch_state final : public std::enable_shared_from_this<watch_state> {
 public:
  // On the pool; everything else on the worker that waits first.
  watch_state(std::shared_ptr<watch_tree> tree, std::vector<watch_event> first, const watch_options& options)
      : tree_(std::move(tree)),
        first_(std::move(first)),
        debounce_(options.debounce),
        longest_queue_(options.longest_queue) {}
  watch_state(const watch_state&) = delete;
  watch_state& operator=(const watch_state&) = delete;
  ~watch_state() { let_go(); }

  perilune::detail::arrival_queue<watch_event>& queue() {
    if (!live_) {
      live_ = std::make_unique<live>(worker::here(), tree_->fd());
      for (watch_event& event : std::exchange(first_, {})) live_->queue.push(std::move(event));
      hear();
    }
    return live_->queue;
  }
  void close() {
    queue().close();
    let_go();
  }
  void happened(std::vector<watch_event> events, bool over);
  void fail(const error& problem) {
    tell({watch_kind::overflow, {}, {}, problem});
    live_->queue.end();
  }

 private:
  struct live {
    live(worker& w, int fd)
        : home(w), readiness(w.io_reactor().executor(), fd), quiet(w.io_reactor().executor()), queue(w) {}
    worker& home;
    asio::posix::stream_descriptor readiness;  // the tree's descriptor, which stays the tree's
    asio::steady_timer quiet;
    perilune::detail::arrival_queue<watch_event> queue;
    event_batch held;
    asio::steady_timer::time_point held_since{};
  };

  void hear();
  void tell(watch_event event);
  void hold(std::vector<watch_event> events);
  void flush() {
    for (watch_event& event : live_->held.take()) tell(std::move(event));
  }
  void let_go() noexcept {
    if (!live_) return;
    if (live_->readiness.is_open()) live_->readiness.release();
    live_->quiet.cancel();
  }

  std::shared_ptr<watch_tree> tree_;
  std::vector<watch_event> first_;
  const duration debounce_;
  const std::size_t longest_queue_;
  std::unique_ptr<live> live_;
};

namespace {

// Reads the tree on the pool.
class tree_read final : public perilune::detail::blocking_job {
 public:
  tree_read(std::weak_ptr<watch_state> to, std::shared_ptr<watch_tree> tree)
      : blocking_job({.name = "watch", .crew = blocking_crew::files, .abandonable = true}),
        to_(std::move(to)),
        tree_(std::move(tree)) {}

  void run() noexcept override {
    try {
      tree_->read(events_);
    } catch (const std::exception& e) {
      events_.push_back({watch_kind::overflow, {}, {}, error{error_kind::error, e.what(), 0, {}}});
    }
  }
  void completed(const error* refusal) noexcept override {
    const auto state = to_.lock();
    if (!state) return;
    if (refusal)
      state->fail(*refusal);
    else
      state->happened(std::move(events_), tree_->over());
  }

 private:
  std::weak_ptr<watch_state> to_;
  std::shared_ptr<watch_tree> tree_;
  std::vector<watch_event> events_;
};

}  // namespace

void watch_state::hear() {
  live_->readiness.async_wait(asio::posix::stream_descriptor::wait_read,
                              [weak = weak_from_this()](const asio::error_code& stopped) {
                                const auto self = weak.lock();
                                if (stopped || !self || self->live_->queue.closed()) return;
                                worker& home = self->live_->home;
                                home.owner().files().submit(std::make_shared<tree_read>(self, self->tree_), home);
                              });
}

void watch_state::happened(std::vector<watch_event> events, bool over) {
  if (live_->queue.closed()) return;
  if (debounce_ > duration::zero() && !over) {
    hold(std::move(events));
  } else {
    flush();
    for (watch_event& event : events) tell(std::move(event));
  }
  if (over)
    live_->queue.end();
  else
    hear();
}

void watch_state::tell(watch_event event) {
  const watch_event* last = live_->queue.newest();
  const bool repeats = last && last->path == event.path && last->kind == event.kind &&
                       (event.kind == watch_kind::modified || event.kind == watch_kind::overflow);
  if (repeats) return;
  if (live_->queue.size() < longest_queue_) return live_->queue.push(std::move(event));
  if (last && last->kind != watch_kind::overflow) live_->queue.push({});
}

void watch_state::hold(std::vector<watch_event> events) {
  const auto now = asio::steady_timer::clock_type::now();
  if (live_->held.empty()) live_->held_since = now;
  for (watch_event& event : events) live_->held.add(std::move(event));
  live_->quiet.expires_at(std::min(now + debounce_, live_->held_since + patience * debounce_));
  live_->quiet.async_wait([weak = weak_from_this()](const asio::error_code& stopped) {
    const auto self = weak.lock();
    if (!stopped && self && !self->live_->queue.closed()) self->flush();
  });
}

}  // namespace detail

bool watch_operation::try_now(waiter&) { return state_->queue().attempt(); }
void watch_operation::arm(waiter& by) { state_->queue().arm(by); }
void watch_operation::disarm(waiter& by) noexcept { state_->queue().disarm(by); }

bool watch_operation::give_back(waiter&) noexcept {
  state_->queue().give_back();
  return true;
}

std::optional<watch_event> watch_operation::take_result() { return state_->queue().take(); }

void watcher::close() const noexcept { state_->close(); }

pending<watcher> watch(std::string path, const watch_options& options) {
  return pending<watcher>(
      {.name = "watch", .crew = blocking_crew::files, .abandonable = true},
      [path = std::move(path), options]() -> result<watcher> {
        std::vector<watch_event> first;
        auto tree = detail::watch_tree::open(path, options.recursive, first);
        if (!tree.ok()) return std::move(tree).error();
        std::shared_ptr<detail::watch_tree> shared = *std::move(tree);
        return watcher(std::make_shared<detail::watch_state>(std::move(shared), std::move(first), options));
      });
}

}  // namespace perilune::fs
