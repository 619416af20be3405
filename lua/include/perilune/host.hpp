// A host of scripts: a game or a tool owns one, loads scripts into it, runs them as tasks and gives them functions to call.
//
// Whose thread: a host belongs to the thread that made it, which is the one that drives it. Every member is for that thread unless it
// says otherwise, and may be called between ticks and from inside native functions, where it does not drive. Called from another
// thread, on the wrong host or inside a task, a member does nothing and its result says so (kind misuse).
//
// Lifetime: scripts, tasks, groups and values may outlive their host and may be dropped on any thread. What they are asked for then is
// refused. A host that is destroyed inside a call of one of its own tasks ends when the tick or run around it returns, or when the
// loop that it is joined to goes on.
//
// Driving: run() and join() run the tasks until an end. Or the host's own loop calls tick(), which never blocks, waits for poll_fd()
// and time_to_next() meanwhile. Or the host is joined to an asio context (<perilune/asio.hpp>), whose loop then drives it. Or a
// thread of ours does (<perilune/host_thread.hpp>).
//
// Memory: what the VM is refused, by its limits or by host_options::allocate, is an error of the call that asked for it. Where the
// program itself has none left (operator new), it ends.
//
// Nothing here needs exceptions or RTTI in the program that includes it. What is opt-in: <perilune/native.hpp> has lua_State,
// <perilune/asio.hpp> has asio. The same for other languages: <perilune/perilune.h>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <perilune/clock.hpp>
#include <perilune/error.hpp>
#include <perilune/function.hpp>
#include <perilune/hooks.hpp>
#include <perilune/limits.hpp>
#include <perilune/sandbox.hpp>
#include <perilune/tick.hpp>
#include <perilune/value.hpp>

namespace perilune {

class host;
class runtime;
struct runtime_options;

namespace detail {
class host_state;
struct group_state;
}  // namespace detail

// How the collector of the main VM gets its time.
enum class gc : unsigned char {
  automatic,  // whenever the VM has allocated enough
  manual,     // only in collect_for(), and when memory runs out
};

// What a host is made with. Plain values; what they point to outlives the host.
struct host_options {
  perilune::clock* clock = nullptr;  // default: the machine's. Outlives the host
  vm_limits limits{};                // of memory and tasks; in effect for the VM of the driving worker
  perilune::gc gc = gc::automatic;
  preemption preempt{};    // of tasks that compute without waiting; default: none
  unsigned workers = 1;    // threads that run tasks, the driving one included
  std::uint64_t seed = 0;  // of every random choice; 0 draws one
  // The same inputs, the same run: tasks are interrupted by instructions instead of time, math.random begins with `seed`, and pairs
  // goes in the order of keys where they are strings and numbers. With a manual clock; see <perilune/replay.hpp>.
  bool deterministic = false;
  duration grace = std::chrono::seconds(10);  // a cancelled task that lives longer is killed
  std::string module_folder{};                // where require looks first; "" for nowhere in particular
  // Asked first for the source of a module that is not one of ours: nothing where the host has none of this name.
  std::function<std::optional<module_source>(std::string_view name)> load_module{};
  // Where the main VM's memory comes from, a function like lua_Alloc with its first argument: it may refuse, the task that asked then
  // fails. Default: an allocator of our own.
  void* (*allocate)(void* data, void* block, std::size_t old_size, std::size_t new_size) = nullptr;
  void* allocate_data = nullptr;
  task_hooks hooks{};
  std::function<void(const log_record&)> log{};      // default: a line on standard error
  std::function<void(const std::string&)> report{};  // failures nobody looked at, and warnings; default: standard error
  // Something can run and nobody drives the host: called once until the next tick, by the thread that caused it. It should only
  // wake the host's loop.
  std::function<void()> on_ready{};
};

// A chunk that was loaded, or a function that a script gave away: what can be run. Copies are the same function.
class script {
 public:
  script() noexcept = default;
  explicit script(detail::anchor_ptr held) noexcept : held_(std::move(held)) {}
  explicit operator bool() const noexcept { return held_ != nullptr; }
  operator value() const { return held_ ? value(value_type::function, held_) : value(); }
  const detail::anchor_ptr& held() const noexcept { return held_; }

 private:
  detail::anchor_ptr held_;
};

// Why a script did not return. A value of its own.
class script_error {
 public:
  error_kind kind = error_kind::error;
  std::string message;      // what tostring(e) says, in one line
  value raised;             // what was raised: a string, a table, ...; of errors that have no value, their message
  std::string full_report;  // message, traceback, causes

  // The text to print, of several lines.
  const std::string& report() const noexcept { return full_report.empty() ? message : full_report; }
};

// How a run or a task has ended.
class [[nodiscard]] script_outcome {
 public:
  enum class way : unsigned char { running, returned, failed, cancelled };

  script_outcome() noexcept = default;
  // How it has ended, made by a host.
  explicit script_outcome(value_list results) : how_(way::returned), results_(std::move(results)) {}
  script_outcome(way how, script_error problem) : how_(how), problem_(std::move(problem)) {}

  // Which of these it is: not yet, or one of the last three.
  bool ended() const noexcept { return how_ != way::running; }
  bool returned() const noexcept { return how_ == way::returned; }
  bool failed() const noexcept { return how_ == way::failed; }
  bool cancelled() const noexcept { return how_ == way::cancelled; }
  // What it returned.
  const value_list& results() const noexcept { return results_; }
  // The first result; nil where there is none.
  value result() const { return results_.empty() ? value() : results_.front(); }
  // Of one that failed or was cancelled.
  const script_error& error() const noexcept { return problem_; }

 private:
  way how_ = way::running;
  value_list results_;
  script_error problem_;
};

// A task that a host has spawned. Copies are the same task; dropping all leaves it running.
class script_task {
 public:
  script_task() noexcept = default;
  script_task(detail::anchor_ptr held, std::uint64_t id) noexcept : held_(std::move(held)), id_(id) {}
  explicit script_task(error refused) : refused_(std::make_shared<error>(std::move(refused))) {}

  // False where the task could not be spawned; problem() says why.
  explicit operator bool() const noexcept { return held_ != nullptr; }
  const error* problem() const noexcept { return refused_.get(); }
  std::uint64_t id() const noexcept { return id_; }
  // Its outcome is final. True also when its host is gone.
  bool done() const noexcept;
  // How it has ended; `running` before that. Looking at a failure means that it is not reported any more.
  script_outcome outcome() const;
  // Ask it to end. They return at once; without effect when it has ended. kill: shields no longer hold.
  bool cancel(std::string_view reason = {}) const { return ask(reason, false); }
  bool kill(std::string_view reason = {}) const { return ask(reason, true); }
  operator value() const { return held_ ? value(value_type::task, held_) : value(); }
  const detail::anchor_ptr& held() const noexcept { return held_; }

 private:
  bool ask(std::string_view reason, bool kills) const;

  detail::anchor_ptr held_;
  std::uint64_t id_ = 0;
  std::shared_ptr<const error> refused_;
};

// Tasks that live and die with something of the host's: a creature, a plugin, a connection. It is cancelled when the last copy of the
// handle goes: its tasks end, closers run, and whoever joined them gets cancelled.
class task_group {
 public:
  task_group() noexcept = default;
  explicit task_group(std::shared_ptr<detail::group_state> state) noexcept : state_(std::move(state)) {}

  // Queues a task of the group. In a group that was cancelled it never starts.
  script_task spawn(const script& what, value_list arguments = {}) const;
  void cancel(std::string_view reason = {}) const;
  // How many of its tasks have not ended.
  std::size_t live() const noexcept;

 private:
  std::shared_ptr<detail::group_state> state_;
};

// What a collection did.
struct collect_report {
  bool finished = false;  // a whole cycle has ended: there is nothing to do for now
  duration spent{0};
  std::size_t bytes = 0;  // in use afterwards
};

// Ok, or why not; may be ignored.
class status {
 public:
  status() noexcept = default;
  status(perilune::error problem) : problem_(std::move(problem)) {}
  explicit operator bool() const noexcept { return !problem_; }
  // Requires that it is not ok.
  const perilune::error& error() const noexcept { return *problem_; }

 private:
  std::optional<perilune::error> problem_;
};

template <class T>
class class_definition;

class host {
 public:
  // Makes the engine and the VM; invalid() says why where that failed.
  explicit host(host_options options = {});
  // On an engine with these options; for a host joined to a loop: host(perilune::join(io.get_executor())). Of `options` counts what
  // `engine` does not say.
  explicit host(runtime_options engine, host_options options = {});
  host(host&&) noexcept = default;
  host& operator=(host&&) noexcept = default;
  host(const host&) = delete;
  host& operator=(const host&) = delete;
  // Refuses new work, cancels every task, runs closers within the grace, and closes the VM.
  ~host();

  // Why the host may not be destroyed now, if so: on another thread, or inside one of its own calls.
  std::optional<error> refuse_end() const;

  // Why the host could not be made, or "". Every call is then refused with it.
  const std::string& invalid() const noexcept;

  // Compiles Lua text; a first line that begins with # is skipped. `name` is what errors call it: "@x.lua" for a file, "=stdin" for
  // anything else. Fails with one line where the text is no Lua.
  result<script> load(std::string_view source, std::string name = "=script") const;
  result<script> load_file(const std::string& path) const;

  // Runs the script as a task until it, what it spawned and all that is detached has ended; blocks. The arguments are its `...`.
  script_outcome run(const script& what, value_list arguments = {}) const;
  // Queues the script as a task and returns. Named where `name` is not "".
  script_task spawn(const script& what, value_list arguments = {}, std::string_view name = {}) const;
  // Drives the host until the task has ended; blocks.
  script_outcome join(const script_task& task) const;
  task_group make_group(std::string name) const;

  // Runs what is ready until the budget is spent or nothing is. Never blocks. Says what ran, what is alive, and the slack.
  tick_report tick(const tick_budget& budget = {}) const;
  // A descriptor that becomes readable when a tick has something to do that no deadline tells. Never read it.
  result<int> poll_fd() const;
  // How long to wait for poll_fd() until the next tick: zero when something is ready, nothing for ever.
  std::optional<duration> next_deadline() const;

  // Collects garbage until the time is spent or a cycle has ended: with gc::manual in steps of a few microseconds. What Lua does at a
  // stretch may go beyond the time: once a cycle it looks at the stacks of all tasks again (about 0.1 us for each), and it goes
  // through a table as a whole. Between ticks.
  collect_report collect_for(duration time) const;
  // Bytes that the main VM has in use.
  std::size_t memory_used() const noexcept;
  // Tasks that have not ended.
  std::uint64_t live_tasks() const noexcept;
  // A text for each task: id, name, state, what it waits for and where; for a console.
  std::string dump() const;

  // Calls `fn` on the host's thread, soon. Any thread. False when the host is gone.
  bool post(std::function<void()> fn) const;

  // A global of the scripts. "a.b" is the field b of the table a, which is made where there is none.
  status set(std::string_view name, value v) const;
  result<value> get(std::string_view name) const;

  // Makes `fn` a function of the scripts, by a name as in set(). Its parameters are read from the call's arguments: see value::as;
  // `args` takes them all, T& an object of a defined class. It returns nothing, a value, a std::tuple of values, or a result.
  template <class F>
  status define(std::string_view name, F fn) const {
    return define_native(name, kind::plain, detail::wrap(std::move(fn)));
  }
  // The same for a call that waits: `fn` also has a parameter `completion`, by which it ends the call, sooner or later, on whatever
  // thread. Meanwhile the calling task is suspended.
  template <class F>
  status define_async(std::string_view name, F fn) const {
    return define_native(name, kind::async, detail::wrap_async(std::move(fn)));
  }
  // The same for a C++ coroutine: `fn` returns a perilune::task<T>, which runs as a task below the calling one.
  template <class F>
  status define_task(std::string_view name, F fn) const {
    return define_native(name, kind::coroutine, detail::wrap_task(std::move(fn)));
  }
  // Makes std::shared_ptr<T> a value that scripts can hold and whose methods they call. `name` is what errors call the class.
  template <class T>
  class_definition<T> define_class(std::string name) const;

  // Loads a module again. Where its value is a table, as before, the old table gets the new fields, so that whoever holds it sees the
  // new functions; the old code stays where the new one does not load. Runs the module's top level at once; one that waits fails.
  // Not inside a task, and not on a joined host. Errors: what the script would be told, with file and line; kind misuse.
  status reload(std::string_view module) const;

  // Refuses new tasks and cancels all there are; they end as the host is driven on.
  void cancel_all(std::string_view reason = {}) const;

  // The engine below, for C++ tasks of its own.
  runtime& engine() const noexcept;
  const std::shared_ptr<detail::host_state>& state() const noexcept { return state_; }

 private:
  template <class T>
  friend class class_definition;
  enum class kind : unsigned char { plain, async, coroutine };
  status define_native(std::string_view name, kind how, detail::native_function fn) const;
  status define_method(const void* type, std::string_view class_name, std::string_view name,
                       detail::native_function fn) const;

  std::shared_ptr<detail::host_state> state_;
};

// The methods of a class whose objects scripts are given as std::shared_ptr<T>.
template <class T>
class class_definition {
 public:
  // Made by host::define_class. The host outlives it.
  class_definition(const host& owner, std::string name) : host_(&owner), name_(std::move(name)) {}

  // A method object:name(...): a member function, or a function whose first parameter is T&.
  template <class F>
  class_definition& method(std::string_view name, F fn) {
    if constexpr (std::is_member_function_pointer_v<F>)
      add(name, bind(fn, fn));
    else
      add(name, detail::wrap(std::move(fn)));
    return *this;
  }
  // How the definition went.
  const status& end() const noexcept { return end_; }

 private:
  template <class R, class C, class... P>
  static auto bind(R (C::*)(P...), auto fn) {
    return detail::wrap([fn](T& self, P... p) -> R { return (self.*fn)(std::forward<P>(p)...); });
  }
  template <class R, class C, class... P>
  static auto bind(R (C::*)(P...) const, auto fn) {
    return detail::wrap([fn](T& self, P... p) -> R { return (self.*fn)(std::forward<P>(p)...); });
  }
  template <class R, class C, class... P>
  static auto bind(R (C::*)(P...) noexcept, auto fn) {
    return bind(static_cast<R (C::*)(P...)>(fn), fn);
  }
  template <class R, class C, class... P>
  static auto bind(R (C::*)(P...) const noexcept, auto fn) {
    return bind(static_cast<R (C::*)(P...) const>(fn), fn);
  }
  void add(std::string_view name, detail::native_function fn) {
    if (status defined = host_->define_method(&detail::type_key<T>::here, name_, name, fn); !defined && end_)
      end_ = defined;
  }

  const host* host_;
  std::string name_;
  status end_;
};

template <class T>
class_definition<T> host::define_class(std::string name) const {
  return {*this, std::move(name)};
}

namespace detail {

template <>
struct conversion<script> {
  static constexpr const char* expected = "function expected";
  static std::optional<script> from(const value& v) {
    return v.type() == value_type::function ? std::optional(script(*v.held())) : std::nullopt;
  }
};

}  // namespace detail

}  // namespace perilune
