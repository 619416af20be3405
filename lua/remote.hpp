// A function that runs in another VM for a task of this one. The task that stands for it here is a Lua task like any other,
// with a native body that waits for the end (remote_body): so it is joined, awaited, cancelled and listed like any other.
//
// A remote is a userdata on that task's stack. What it waits for is a remote_wait: a call on the blocking pool, or a task
// of another worker. Request and end are parcels, which belong to no VM.
#pragma once

#include <memory>

#include <lua.hpp>

#include "library.hpp"
#include "transfer.hpp"

namespace perilune {

class vm_group;

// What is called, in words for the VM that calls it.
struct remote_request {
  parcel values;      // the function and its arguments
  std::string path;   // package.path of the caller
  std::string cpath;  // package.cpath
  std::string name;   // of the task, or ""
};

// How the function ended: with results, with an error object, or, before either, with a problem.
struct remote_end {
  bool returned = false;
  parcel values;
  error problem;  // has a message where there is one
};

class remote_wait {
 public:
  virtual ~remote_wait() = default;
  // Sends the request away. False: nothing happens before a task begins to wait.
  virtual bool start() = 0;
  // Holds while the function runs; passes on a cancellation.
  virtual operation& op() noexcept = 0;
  virtual remote_end take() = 0;
};

// A request as a task of the VM that runs it. Touched by that VM's worker only.
class remote_task : private end_watcher {
 public:
  explicit remote_task(std::shared_ptr<const remote_request> request) noexcept : request_(std::move(request)) {}
  remote_task(const remote_task&) = delete;
  remote_task& operator=(const remote_task&) = delete;

  // Spawns the task; ended() is called when it has settled. False: end_ says why not.
  bool spawn_in(vm& machine, const spawn_options& options) noexcept;

 protected:
  ~remote_task() = default;
  // The task has settled, and its outcome is packed. Nothing of a script's may run.
  virtual void ended() noexcept = 0;

  const std::shared_ptr<const remote_request> request_;
  lua_task* task_ = nullptr;  // while it lives
  remote_end end_;

 private:
  static int spawn(lua_State* L);
  void task_settled(lua_task& task) noexcept override;

  spawn_options options_;
};

struct remote {
  static constexpr std::uint64_t tag = 0x72656d6f'e3a7195bULL;
  std::unique_ptr<remote_wait> wait{};
  remote_end end{};
};

// Spawns the task for the function and arguments on the stack, as peri.spawn does, where `make` is given the request and
// returns what the task waits for.
using make_remote = std::unique_ptr<remote_wait> (*)(vm& v, std::shared_ptr<remote_request> request,
                                                     const spawn_request& asked);
reply spawn_remote(lua_State* L, vm& v, const spawn_request& asked, make_remote make);

// Pushes the function that runs a request, which is a light userdata, in this VM. May raise.
void push_remote_entry(lua_State* L);
// Keeps `count` values from `first` on, results or one error object, as the end. Modules on top of the stack.
void pack_end(lua_State* L, int first, int count, bool returned, remote_end& end) noexcept;
// Keeps how the task ended whose handle is at a stack index. `looks`: whoever gets it has looked at the outcome.
void pack_task_end(lua_State* L, int handle, bool looks, remote_end& end) noexcept;
// The same for a task that settles now.
void pack_settling(lua_task& task, bool looks, remote_end& end) noexcept;

// Passes what becomes of a waiting task on to the function it waits for: that it was cancelled, that it was killed. Each once.
class cancel_relay {
 public:
  // Asked by holds(). `send(reason, kills)` may throw bad_alloc; it is called again then.
  template <class F>
  void look(const waiter& by, F send) noexcept {
    const cancel_node& node = *by.task->top;
    const bool kills = node.has(cancel_node::killed);
    if (!node.has(cancel_node::cancelled) || (kills ? kill_sent_ : cancel_sent_)) return;
    const reason_ptr& reason = node.reason_in_force();
    try {
      send(reason ? *reason : cancel_reason{}, kills);
      cancel_sent_ = true;
      kill_sent_ = kills;
    } catch (const std::bad_alloc&) {
    }
  }

 private:
  bool cancel_sent_ = false;
  bool kill_sent_ = false;
};
// Asks a task of this thread as another task has been asked.
void pass_cancel(lua_task& task, const cancel_reason& why, bool kills) noexcept;

std::unique_ptr<remote_wait> call_on_pool(vm& v, std::shared_ptr<remote_request> request, const spawn_request& asked);
std::unique_ptr<remote_wait> call_on_worker(vm& v, std::shared_ptr<remote_request> request, const spawn_request& asked);
std::unique_ptr<remote_wait> call_on_thread(vm& v, std::shared_ptr<remote_request> request, const spawn_request& asked);

// peri.blocking itself: it waits while the queue of the pool is full.
reply blocking_body(lua_State* L, vm& v);

}  // namespace perilune
