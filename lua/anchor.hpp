// What keeps a function, task or object of a VM alive for the host: a counted entry of the VM's registry. An anchor may be dropped on
// any thread and after its VM; the entry itself is freed on the VM's thread, the next time that the host is used.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <perilune/error.hpp>
#include <perilune/value.hpp>

struct lua_State;

namespace perilune {

class lua_task;

namespace detail {

class host_state;

// Shared by a host and all its anchors.
struct anchor_home {
  std::mutex mutex;                                     // guards what follows
  host_state* host = nullptr;                           // nullptr when it is gone
  std::vector<int> dropped;                             // entries that nobody refers to
  std::thread::id thread = std::this_thread::get_id();  // the host's
};

class anchor {
 public:
  anchor(std::shared_ptr<anchor_home> home, int entry, lua_task* task) noexcept
      : home_(std::move(home)), entry_(entry), task_(task) {}
  anchor(const anchor&) = delete;
  anchor& operator=(const anchor&) = delete;
  ~anchor();

  const std::shared_ptr<anchor_home>& home() const noexcept { return home_; }
  int entry() const noexcept { return entry_; }
  // Of a task: its block, which is there as long as the anchor and the host.
  lua_task* task() const noexcept { return task_; }
  // The host, where this thread may use it; else nullptr, and why.
  host_state* use(error* refused) const noexcept;

 private:
  std::shared_ptr<anchor_home> home_;
  int entry_;
  lua_task* task_;
};

}  // namespace detail

}  // namespace perilune
