// Threads for blocking calls: started when needed up to a limit, fed from one queue, first in, first out; and, beside these,
// threads that a call has for itself. A runtime has one pool for calls on files and one for all others. Owned by
// the runtime together with the threads themselves, so that a thread stuck in a call may outlive the runtime. Any worker
// may submit and withdraw; everything is guarded by one mutex, which no call is made under. A thread touches a worker
// only under that mutex and only until the pool is closed.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include <perilune/blocking.hpp>
#include <perilune/clock.hpp>
#include <perilune/linked_queue.hpp>

namespace perilune::detail {

class blocking_pool : public std::enable_shared_from_this<blocking_pool> {
 public:
  blocking_pool(std::size_t max_threads, std::size_t bound) noexcept : max_threads_(max_threads), bound_(bound) {}
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  ~blocking_pool() = default;

  // Queues the job; its completed() will be called on the worker's thread. Requires that it is not in the pool.
  void submit(std::shared_ptr<blocking_job> job, worker& home);
  // True when the job left the queue: it will not run and not complete.
  bool withdraw(blocking_job& job) noexcept;
  // Nobody waits for the job any more: it leaves the queue, or its time until it counts as stuck begins.
  void drop(blocking_job& job) noexcept;
  // The time that the job had to end is over.
  void expire(blocking_job& job) noexcept;

  blocking_stats stats() noexcept;

  // Drops what is queued and ends the threads. A call that cannot be abandoned and still runs `limit` after it was
  // dropped is reported and its thread left behind. After this no thread touches a worker. Idempotent.
  void close(duration limit, const std::function<void(const char* name)>& report);

 private:
  struct crew_member {
    std::thread thread;
    std::shared_ptr<blocking_job> running;
    bool own = false;  // for this one call
  };
  using crew = std::list<crew_member>;

  void admit(const std::shared_ptr<blocking_job>& job);
  void serve(crew_member& self);
  void serve_once(crew_member& self);
  void finish(std::unique_lock<std::mutex>& lock, crew_member& self) noexcept;
  void start_thread();
  void start_own_thread(std::shared_ptr<blocking_job> job);
  std::shared_ptr<blocking_job> unqueue(blocking_job& job) noexcept;
  bool settled_by(std::chrono::steady_clock::time_point now, duration limit) const noexcept;
  std::chrono::steady_clock::time_point last_limit(duration limit) const noexcept;

  const std::size_t max_threads_;
  const std::size_t bound_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable rest_;
  linked_queue<blocking_job> queue_;
  std::size_t queued_ = 0;
  std::size_t idle_ = 0;
  std::size_t shared_ = 0;  // threads in the crew that serve the queue
  crew crew_;
  crew ended_;  // threads to join
  bool closed_ = false;
};

}  // namespace perilune::detail
