// A host on a thread of ours, for programs that want scripts beside their own loop: the thread makes the host, drives it as long as
// this lives, and ends it.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include <perilune/host.hpp>

namespace perilune {

class host_thread {
 public:
  // Starts the thread, which makes a host and calls `setup` for it: functions are defined there, scripts spawned.
  explicit host_thread(std::function<void(host&)> setup, host_options options = {});
  host_thread(const host_thread&) = delete;
  host_thread& operator=(const host_thread&) = delete;
  // As stop().
  ~host_thread();

  // Calls `fn` on the host's thread, soon. Any thread. False when the host has ended.
  bool post(std::function<void(host&)> fn);
  // Cancels the tasks, waits for their closers, and joins the thread. Not on the host's thread.
  void stop();
  // Why the host could not be made, or "".
  std::string invalid() const;

 private:
  struct shared;
  std::shared_ptr<shared> shared_;
  std::thread thread_;
};

}  // namespace perilune
