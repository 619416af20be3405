// One Lua VM and what the runtime keeps beside it: the running task, the pool of Lua threads, the registry of types.
// Owned by the host; lives on one worker and is touched by that worker's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <lua.hpp>

#include <perilune/error.hpp>
#include <perilune/runtime.hpp>

#include <perilune/hooks.hpp>
#include <perilune/limits.hpp>
#include <perilune/sandbox.hpp>

#include "allocator.hpp"
#include "watchdog.hpp"

namespace perilune {

class lua_task;
class lua_select;
class error_object;
class task_link;
class vm_group;

namespace detail {
struct anchor_home;
}

// Keys of the registry's integer part, filled when the VM opens, in this order.
enum class registry_slot : int {
  first = 4,
  slots = first,  // thread of slot i at 2i+1, handle of its task at 2i+2
  modules,        // the perilune table
  on_unobserved,  // the script's reporter, or nil
  last_cancel,    // the newest cancellation object
  close_request,  // the object that coroutine.close raises inside a coroutine
  failures,       // failures not looked at, by address; weak
  main_task,      // handle of the script that runs
  remote_entry,   // the function that runs what other VMs ask for, or not yet loaded
  loader,         // what perilune.loader has of the VM, and its functions, once it is loaded
  composite,      // the function that selects over wrapped and chosen operations
  linked_tasks,   // handles of tasks that other VMs have, by their links
  last,
};

struct vm_options {
  static constexpr unsigned no_worker = ~0U;
  unsigned worker = 0;        // whose tasks run in the VM; no_worker: none do, it is used by one thread after another
  vm_group* group = nullptr;  // the VMs of the same host
  lua_Alloc allocate = nullptr;  // default: an allocator of the VM's own
  void* allocate_data = nullptr;
  // Receives the text of failures that nobody looked at and of warnings. Default: standard error.
  std::function<void(const std::string&)> report;
  std::function<void(const log_record&)> log;  // what perilune.log writes; default: standard error
  // The source of a module that scripts require, asked before files are looked for.
  std::function<std::optional<module_source>(std::string_view)> load_module;
  bool manual_gc = false;      // the collector works when the host says so
  bool deterministic = false;  // math.random begins with the runtime's seed, and pairs goes in the order of keys
  std::string script_path = "?";
  preemption preempt;
  watchdog* dog = nullptr;  // of the host, in mode slice; outlives the VM
  sandbox rules;
  bool isolated = false;  // an isolate: its tasks stand below those of another VM
};

class vm {
 public:
  vm(runtime& rt, vm_options options);
  vm(const vm&) = delete;
  vm& operator=(const vm&) = delete;
  // Requires that every task of this VM has settled.
  ~vm();

  lua_State* main() const noexcept { return main_; }
  bool opened() const noexcept { return opened_; }
  runtime& host_runtime() const noexcept { return runtime_; }
  scheduler& tasks() const noexcept { return tasks_; }
  // Whether tasks can run here.
  bool has_worker() const noexcept { return !idle_; }
  // The task whose Lua code runs, or a stand-in while Lua runs outside of any task.
  lua_task& running() const noexcept { return *running_; }
  bool in_task() const noexcept { return running_ != outside_; }
  void set_running(lua_task& task) noexcept { running_ = &task; }

  // A Lua thread for a task, pooled; its slot is reserved. Raises when memory is out.
  std::uint32_t take_slot(lua_State* L);
  lua_State* thread_of(std::uint32_t slot) const noexcept { return threads_[slot]; }
  // The task of the slot has settled: drops its handle and pools its thread.
  void free_slot(std::uint32_t slot) noexcept;
  // Keeps the handle at `index` alive while its task runs.
  void hold_handle(lua_State* L, std::uint32_t slot, int index);
  void push_handle(lua_State* L, std::uint32_t slot) const;

  static void push_registry(lua_State* L, registry_slot which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, static_cast<lua_Integer>(which));
  }
  static void set_registry(lua_State* L, registry_slot which) {
    lua_rawseti(L, LUA_REGISTRYINDEX, static_cast<lua_Integer>(which));
  }

  // Reports the failure at `index` that nobody looked at, to the script's reporter or the host's. Once.
  void report_failure(lua_State* L, int index);
  void report(const std::string& text) const;
  // Reports failures of settled tasks that nobody looked at so far, to the script's reporter where it has one. Whether
  // tasks were started for that.
  bool flush_unobserved();
  // No task is left, and none can be spawned any more: what is still unobserved is reported by the host.
  void begin_closing();
  bool closing() const noexcept { return closing_; }
  // The main thread runs a call: its stack is not at its base.
  class main_in_use {
   public:
    explicit main_in_use(vm& v) noexcept : vm_(v), before_(std::exchange(v.main_idle_, false)) {}
    ~main_in_use() { vm_.main_idle_ = before_; }
    main_in_use(const main_in_use&) = delete;
    main_in_use& operator=(const main_in_use&) = delete;

   private:
    vm& vm_;
    bool before_;
  };
  // A task failed and there was no memory for its error object. Reported at the end of a run unless looked at.
  void note_memory_failure() noexcept { ++starved_; }
  std::uint64_t flushes() const noexcept { return flushes_; }
  // Somebody looks at one that was noted after so many flushes.
  void memory_failure_seen(std::uint64_t noted_after) noexcept { starved_ -= noted_after == flushes_; }
  // A run of this isolate has ended. What failed at a limit until the next flush is no news where all of them ended by a limit, which
  // their owners are told.
  void note_end_of_run(bool by_limit) noexcept { (by_limit ? limit_told_ : limit_untold_) = true; }
  std::size_t bytes_in_use() const noexcept { return memory_.bytes_in_use(); }
  allocator& memory() noexcept { return memory_; }
  // Answers for memory beside Lua's; garbage makes room first where there is none. Throws bad_alloc at the limit.
  void answer_for(lua_State* L, std::size_t bytes, memory_share& share);
  bool trusted() const noexcept { return options_.rules.kind == profile::trusted; }
  // Whether as many tasks live as may.
  bool full() const noexcept {
    const std::size_t most = options_.rules.limits.max_tasks;
    return most > 0 && threads_.size() - free_slots_.size() >= most;
  }
  std::uint64_t unobserved() const noexcept { return unobserved_; }
  // So many failures were reported by an isolate of this VM.
  void count_unobserved(std::uint64_t more) noexcept { unobserved_ += more; }
  const vm_options& options() const noexcept { return options_; }

  // A stay of a task in Lua begins and ends.
  void begin_turn() noexcept {
    fuel_spent = duration::zero();
    if (watch) watch->begin();
  }
  // True when it was longer than the hold limit.
  bool end_turn() noexcept { return watch && watch->end(); }

  // Scratch for a raise: text that must outlive the C++ body which made it.
  std::string message;
  error problem;
  int argument = 0;
  bool suspending = false;        // the yield under way is a suspension, not a script's coroutine.yield
  lua_State* to_close = nullptr;  // the coroutine that is to raise the close request when it resumes
  int (*continuation)(lua_State*, vm&) = nullptr;
  bool unyielding = false;                  // the budget is spent where nothing can yield: the next operation is free
  bool refused_to_suspend = false;          // the last error said that Lua cannot suspend here
  lua_CFunction stock_traceback = nullptr;  // debug.traceback
  lua_CFunction stock_load = nullptr;       // load
  bool exiting = false;                     // os.exit was called
  int exit_code = 0;

  std::shared_ptr<detail::anchor_home> anchors;  // where the host keeps values of this VM, if it does
  std::unique_ptr<turn_watch> watch;             // in mode slice
  bool holder_told = false;                      // the long turn under way has been reported already
  duration fuel_spent{0};          // in mode fuel: what the present turn has used, a slice for a stretch of fuel
  std::uint64_t fuel_portion = 0;  // in mode fuel: instructions from one look to the next

  // What other workers send here looks whether the VM is still there. Touched by its own thread.
  const std::shared_ptr<vm*> here = std::make_shared<vm*>(this);
  std::unordered_map<std::uint64_t, std::weak_ptr<task_link>> task_links;  // by the ids of tasks

  lua_select* free_selects = nullptr;
  lua_select* building = nullptr;  // a block whose arms are being set up; released when that raises
  reason_ptr object_reason;        // of the newest cancellation object: held, so that its address stays its identity
  // A failure not looked at yet. Its object may be gone without having said so: a finalizer needs memory, too.
  struct unobserved_failure {
    error_object* object;
    bool sought = false;  // was not found once
    bool lost = false;    // is told of as one for want of memory
  };
  std::list<unobserved_failure> unobserved_failures;  // oldest first

 private:
  void limit_memory() noexcept;
  bool tell_reporter(lua_State* L, int failure);
  unobserved_failure* oldest_unobserved() noexcept;
  void note_lost(unobserved_failure& failure) noexcept;
  void report_text(std::string text, error_kind kind);
  void report_counted();
  void set_handle(std::uint32_t slot) noexcept;

  runtime& runtime_;
  std::unique_ptr<scheduler> idle_;  // stands in where there is no worker; runs nothing
  scheduler& tasks_;
  allocator memory_;
  vm_options options_;
  lua_State* main_ = nullptr;
  lua_task* outside_ = nullptr;
  lua_task* running_ = nullptr;
  std::vector<lua_State*> threads_;
  std::vector<std::uint32_t> free_slots_;
  std::uint64_t unobserved_ = 0;
  // Failures that nobody has looked at since the last flush: for want of memory for an error object, at a limit in an isolate, and those
  // that could not be told.
  std::uint64_t starved_ = 0;
  std::uint64_t at_limit_ = 0;
  std::uint64_t lost_ = 0;
  std::string first_at_limit_;
  std::uint64_t flushes_ = 0;
  bool limit_told_ = false;
  bool limit_untold_ = false;
  bool opened_ = false;
  bool closing_ = false;
  bool main_idle_ = false;
};

// The extra space of a Lua thread names its VM; the low bits mark threads that scripts may not resume.
enum class thread_mark : std::uintptr_t { none = 0, waiting = 1, of_task = 2, all = 3 };

// The VM of a Lua thread.
inline vm& vm_of(lua_State* L) noexcept {
  const auto word = *static_cast<std::uintptr_t*>(lua_getextraspace(L));
  return *reinterpret_cast<vm*>(word & ~static_cast<std::uintptr_t>(thread_mark::all));
}
inline bool is_marked(lua_State* thread, thread_mark mark) noexcept {
  return (*static_cast<std::uintptr_t*>(lua_getextraspace(thread)) & static_cast<std::uintptr_t>(mark)) != 0;
}
inline void set_mark(lua_State* thread, thread_mark mark, bool on) noexcept {
  auto& word = *static_cast<std::uintptr_t*>(lua_getextraspace(thread));
  word = on ? word | static_cast<std::uintptr_t>(mark) : word & ~static_cast<std::uintptr_t>(mark);
}

}  // namespace perilune
