// The pool's threads and the operations that wait for their calls. See blocking.hpp and blocking_pool.hpp.
#include <perilune/blocking.hpp>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <pthread.h>
#include <signal.h>

#include "blocking_pool.hpp"
#include "inbox.hpp"
#include "worker.hpp"

namespace perilune::detail {

namespace {

using steady_time = std::chrono::steady_clock::time_point;

struct completion_message final : inbox_message {
  void deliver() override { job->completed(refusal.message.empty() ? nullptr : &refusal); }
  std::shared_ptr<blocking_job> job;
  error refusal;
};

steady_time later(steady_time at, duration by) noexcept {
  return steady_time(saturating_add(std::chrono::duration_cast<instant>(at.time_since_epoch()), by));
}

// Threads started inside receive no signals: those are for the host's threads and the reactor.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

blocking_job::blocking_job(const blocking_options& options) noexcept : options_(options) {}
blocking_job::~blocking_job() = default;

void blocking_pool::start_thread() {
  crew_member& member = crew_.emplace_back();
  try {
    const signals_blocked guard;
    member.thread = std::thread([pool = shared_from_this(), &member] { pool->serve(member); });
    ++shared_;
  } catch (const std::system_error&) {
    crew_.pop_back();
    if (shared_ == 0) throw;
  }
}

void blocking_pool::start_own_thread(std::shared_ptr<blocking_job> job) {
  for (; !ended_.empty(); ended_.pop_front()) ended_.front().thread.join();
  crew_member& member = crew_.emplace_back();
  member.own = true;
  member.running = std::move(job);
  try {
    const signals_blocked guard;
    member.thread = std::thread([pool = shared_from_this(), &member] { pool->serve_once(member); });
  } catch (const std::system_error&) {
    crew_.pop_back();
    throw;
  }
}

void blocking_pool::submit(std::shared_ptr<blocking_job> job, worker& home) {
  auto completion = std::make_unique<completion_message>();
  completion_message& message = *completion;
  const auto refuse = [&](const char* why, int code) {
    message.refusal = error::system(std::string(job->options_.name) + why, code);
  };
  const std::lock_guard lock(mutex_);
  job->home_ = &home;
  job->completion_ = std::move(completion);
  if (closed_) {
    refuse(": the runtime has shut down", ECANCELED);
  } else if (job->options_.refuse_when_full && queued_ >= bound_) {
    refuse(": the queue of the blocking pool is full", EAGAIN);
  } else {
    try {
      admit(job);
    } catch (const std::system_error& e) {
      refuse(": start a thread", e.code().value());
    }
  }
  if (message.refusal.message.empty()) return;
  std::unique_ptr<inbox_message> refusal = std::move(job->completion_);
  message.job = std::move(job);
  home.post(std::move(refusal));
}

void blocking_pool::admit(const std::shared_ptr<blocking_job>& job) {
  if (job->options_.crew == blocking_crew::own) {
    job->phase_ = blocking_job::phase::running;
    return start_own_thread(job);
  }
  if (idle_ <= queued_ && shared_ < max_threads_) start_thread();
  job->phase_ = blocking_job::phase::queued;
  job->self_ = job;
  queue_.push_back(*job);
  ++queued_;
  work_.notify_one();
}

std::shared_ptr<blocking_job> blocking_pool::unqueue(blocking_job& job) noexcept {
  queue_.erase(job);
  --queued_;
  job.phase_ = blocking_job::phase::idle;
  job.completion_.reset();
  return std::move(job.self_);
}

bool blocking_pool::withdraw(blocking_job& job) noexcept {
  std::shared_ptr<blocking_job> kept;
  const std::lock_guard lock(mutex_);
  if (job.phase_ != blocking_job::phase::queued) return false;
  kept = unqueue(job);
  return true;
}

void blocking_pool::drop(blocking_job& job) noexcept {
  std::shared_ptr<blocking_job> kept;
  const std::lock_guard lock(mutex_);
  if (job.phase_ == blocking_job::phase::queued) kept = unqueue(job);
  if (job.dropped_ == steady_time{}) job.dropped_ = std::chrono::steady_clock::now();
}

void blocking_pool::expire(blocking_job& job) noexcept {
  const std::lock_guard lock(mutex_);
  job.dropped_ = steady_time::min();
}

blocking_stats blocking_pool::stats() noexcept {
  const std::lock_guard lock(mutex_);
  const auto running =
      std::count_if(crew_.begin(), crew_.end(), [](const crew_member& m) { return m.running && !m.own; });
  return {shared_, static_cast<std::size_t>(running), queued_};
}

void blocking_pool::serve(crew_member& self) {
  pthread_setname_np(pthread_self(), "perilune-pool");
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    --idle_;
    if (closed_) return;
    blocking_job& job = *queue_.pop_front();
    --queued_;
    job.phase_ = blocking_job::phase::running;
    self.running = std::move(job.self_);
    lock.unlock();
    job.run();
    lock.lock();
    finish(lock, self);
  }
}

// The thread is joined by whoever starts the next one, or closes the pool.
void blocking_pool::serve_once(crew_member& self) {
  pthread_setname_np(pthread_self(), std::string(self.running->options_.name).substr(0, 15).c_str());
  self.running->run();
  std::unique_lock lock(mutex_);
  finish(lock, self);
  if (closed_) return;
  const auto at = std::find_if(crew_.begin(), crew_.end(), [&](const crew_member& each) { return &each == &self; });
  ended_.splice(ended_.end(), crew_, at);
}

// Sends the job home. The message takes the pool's reference with it, so that what the call left behind is destroyed on
// the worker's thread; a call that outlived the runtime is destroyed here.
void blocking_pool::finish(std::unique_lock<std::mutex>& lock, crew_member& self) noexcept {
  std::shared_ptr<blocking_job> job = std::move(self.running);
  job->phase_ = blocking_job::phase::done;
  rest_.notify_all();
  if (!closed_) {
    std::unique_ptr<inbox_message> message = std::move(job->completion_);
    worker& home = *job->home_;
    static_cast<completion_message&>(*message).job = std::move(job);
    home.post(std::move(message));
    return;
  }
  lock.unlock();
  job.reset();
  lock.lock();
}

steady_time blocking_pool::last_limit(duration limit) const noexcept {
  steady_time last{};
  for (const crew_member& member : crew_)
    if (member.running && !member.running->options_.abandonable)
      last = std::max(last, later(member.running->dropped_, limit));
  return last;
}

bool blocking_pool::settled_by(steady_time now, duration limit) const noexcept { return last_limit(limit) <= now; }

void blocking_pool::close(duration limit, const std::function<void(const char* name)>& report) {
  linked_queue<blocking_job> unwanted;
  crew members;
  {
    std::unique_lock lock(mutex_);
    if (closed_) return;
    closed_ = true;
    members.swap(ended_);
    unwanted.splice_back(queue_);
    queued_ = 0;
    work_.notify_all();
    const steady_time begun = std::chrono::steady_clock::now();
    for (crew_member& member : crew_)
      if (member.running && member.running->dropped_ == steady_time{}) member.running->dropped_ = begun;
    while (!settled_by(std::chrono::steady_clock::now(), limit)) rest_.wait_until(lock, last_limit(limit));
    for (auto member = crew_.begin(); member != crew_.end();) {
      const auto next = std::next(member);
      if (!member->running) {
        members.splice(members.end(), crew_, member);
      } else {
        if (!member->running->options_.abandonable && report) report(member->running->options_.name);
        member->thread.detach();
      }
      member = next;
    }
  }
  for (crew_member& member : members) member.thread.join();
  while (blocking_job* job = unwanted.pop_front()) {
    std::unique_ptr<inbox_message> completion = std::move(job->completion_);
    std::shared_ptr<blocking_job> last = std::move(job->self_);
  }
}

void blocking_call::run() noexcept {
  try {
    call();
  } catch (...) {
    fail(std::current_exception());
  }
}

void blocking_call::completed(const error* refusal) noexcept {
  if (refusal) fail(std::make_exception_ptr(task_error(*refusal)));
  ready = true;
  if (waiter* by = std::exchange(waiting, nullptr)) {
    home->external_ends(options().fellow);
    home->tasks().grant(*by);
  }
}

void blocking_wait::arm(waiter& by) {
  blocking_call& c = *call_;
  c.waiting = &by;
  start_on(worker::of(*by.task->home));
  c.home->external_begins(c.options().fellow);
}

void blocking_wait::start() { start_on(worker::here()); }

blocking_pool& blocking_call::pool() const noexcept {
  runtime& rt = home->owner();
  return options().crew == blocking_crew::files ? rt.files() : rt.pool();
}

void blocking_wait::start_on(worker& home) {
  blocking_call& c = *call_;
  c.home = &home;
  if (c.submitted) return;
  c.submitted = true;
  c.pool().submit(call_, home);
}

bool blocking_wait::withdraw() noexcept {
  blocking_call& c = *call_;
  if (!c.submitted || c.ready || !c.pool().withdraw(c)) return false;
  c.submitted = false;
  return true;
}

// A task that is killed has had its grace, and the call with it.
void blocking_wait::disarm(waiter& by) noexcept {
  call_->waiting = nullptr;
  call_->home->external_ends(call_->options().fellow);
  if (!withdraw() && by.task->top->has(cancel_node::killed)) call_->pool().expire(*call_);
}

bool blocking_wait::holds(waiter& by) noexcept {
  if (call_->options().abandonable || by.task->top->has(cancel_node::killed)) return false;
  return !withdraw();
}

void blocking_wait::drop() noexcept {
  if (call_ && call_->submitted && !call_->ready) call_->pool().drop(*call_);
}

}  // namespace perilune::detail
