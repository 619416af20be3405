// Catching signals and carrying out their rules. See run_signals.hpp.
#include "run_signals.hpp"

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <mutex>
#include <vector>

#include <poll.h>
#include <unistd.h>

namespace perilune::cli {

bool nobody_reads_output() noexcept {
  pollfd output{STDOUT_FILENO, 0, 0};
  return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

namespace {

constexpr int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
constexpr std::int64_t same_signal_ms = 50;  // `timeout` and terminals may deliver one request twice
constexpr auto notice_after = std::chrono::seconds(1);
constexpr std::size_t tasks_named = 8;

// What the signal handler touches: lock-free, and of the process rather than of an object.
struct {
  std::atomic<interrupt*> request{nullptr};
  std::atomic<int> count{0};
  std::atomic<int> first{0};
  std::atomic<std::int64_t> last_ms{0};
  struct sigaction before[std::size(watched)];
} caught;
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<interrupt*>::is_always_lock_free);

const char* name_of(int signal) noexcept {
  switch (signal) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGHUP:
      return "SIGHUP";
    default:
      return "SIGPIPE";
  }
}

std::int64_t now_ms() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// Exits without running anything. What stdio still holds is written as far as that needs no waiting: stdio itself may be
// in the middle of something, so only its pointers are read.
[[noreturn]] void exit_now(int signal) noexcept {
#ifdef __GLIBC__
  pollfd output{STDOUT_FILENO, POLLOUT, 0};
  const char* from = stdout->_IO_write_base;
  const char* to = stdout->_IO_write_ptr;
  if (from && from < to && poll(&output, 1, 0) == 1 && (output.revents & POLLOUT))
    static_cast<void>(!write(STDOUT_FILENO, from, static_cast<std::size_t>(to - from)));
#endif
  _exit(128 + signal);
}

void on_signal(int signal) {
  const int saved = errno;
  const std::int64_t now = now_ms();
  const bool repeated = caught.count.load() > 0 && now - caught.last_ms.load() < same_signal_ms;
  if (!repeated && (signal != SIGPIPE || nobody_reads_output())) {
    caught.last_ms.store(now);
    const int count = caught.count.fetch_add(1) + 1;
    if (count == 1) caught.first.store(signal);
    if (count > 2) exit_now(signal);
    if (interrupt* request = caught.request.load()) request->raise();
  }
  errno = saved;
}

// A process that was told to ignore hang-ups (nohup) goes on ignoring them.
bool is_left_alone(int signal, const struct sigaction& before) noexcept {
  return signal == SIGHUP && before.sa_handler == SIG_IGN;
}

cancel_node* next_below(cancel_node& root, cancel_node& node) noexcept {
  if (!node.children.empty()) return node.children.front();
  for (cancel_node* at = &node; at != &root; at = at->parent)
    if (cancel_node* sibling = at->parent->children.after(*at)) return sibling;
  return nullptr;
}

// The tasks below that stand somewhere, and do not just wait for those that they have spawned.
void collect_standing(cancel_node& root, std::vector<task_header*>& standing) {
  for (cancel_node* node = &root; node && standing.size() <= tasks_named; node = next_below(root, *node)) {
    if (!node->has(cancel_node::is_task)) continue;
    task_header& task = node->owner();
    if (task.status != task_state::closing && !task.is(task_header::trait::uninterruptible)) standing.push_back(&task);
  }
}

std::string describe(const task_header& task) {
  std::string text = "\n  task " + std::to_string(task.id);
  if (task.name) text += std::string(" (") + task.name + ")";
  const std::string place = task.where();
  return place.empty() ? text : text + " at " + place;
}

}  // namespace

run_signals::run_signals(runtime& rt, message_sink say) : runtime_(rt), say_(say), request_(rt, [this] { heard(); }) {
  caught.request.store(&request_);
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : watched) sigaddset(&action.sa_mask, signal);
  for (std::size_t i = 0; i < std::size(watched); ++i) {
    sigaction(watched[i], nullptr, &caught.before[i]);
    if (!is_left_alone(watched[i], caught.before[i])) sigaction(watched[i], &action, nullptr);
  }
}

run_signals::~run_signals() {
  for (std::size_t i = 0; i < std::size(watched); ++i) sigaction(watched[i], &caught.before[i], nullptr);
  caught.request.store(nullptr);
  notice_ = {};
}

// On the worker's thread, between two tasks: a signal came, or the notice is due.
void run_signals::heard() {
  const int count = caught.count.load();
  if (count >= 1 && !ended_by_) {
    ended_by_ = caught.first.load();
    runtime_.cancel_all(cancel_source::signal, name_of(ended_by_), name_of(ended_by_));
    if (ended_by_ != SIGPIPE) begin_notice();
  }
  if (count >= 2 && !killed_) {
    killed_ = true;
    runtime_.kill_all(cancel_source::signal, name_of(ended_by_), name_of(ended_by_));
  }
  if (notice_due_.exchange(false)) say_what_is_waited_for();
}

// The thread that waits gets no signals: they are for the worker's.
void run_signals::begin_notice() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  notice_ = std::jthread([this](const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any waiting;
    std::unique_lock lock(mutex);
    waiting.wait_for(lock, stop, notice_after, [] { return false; });
    if (stop.stop_requested()) return;
    notice_due_.store(true);
    request_.raise();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void run_signals::say_what_is_waited_for() const {
  std::vector<task_header*> standing;
  scheduler& tasks = runtime_.worker_scheduler(0);
  collect_standing(tasks.roots, standing);
  collect_standing(tasks.detached, standing);
  if (standing.empty()) return;
  std::string text = std::string(name_of(ended_by_)) + ": waiting for what is still closing; " +
                     (killed_ ? "once more to exit at once" : "once more to kill it");
  for (std::size_t i = 0; i < standing.size() && i < tasks_named; ++i) text += describe(*standing[i]);
  if (standing.size() > tasks_named) text += "\n  ...";
  say_(text);
}

}  // namespace perilune::cli
