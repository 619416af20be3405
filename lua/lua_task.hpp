// A task whose body is a Lua function. The block lives inside the handle that scripts hold (a userdata), which the VM
// keeps alive until the outcome has settled; the body runs on a pooled Lua thread. One worker only.
//
// User values of the handle: 1 the result (a value, a table of values, or the error object), 2 the function that spawned
// it (for spawned_at) or a table with it and the rarely used parts: name, labels, data, suppressed errors.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <lua.hpp>

#include <perilune/scheduler.hpp>

namespace perilune {

class vm;
class lua_task;
class allowance;

// Who is told that a task has settled, in its VM, while its handle is still there. Must not run a script's code.
class end_watcher {
 public:
  virtual void task_settled(lua_task& task) noexcept = 0;
  end_watcher* next = nullptr;  // the task's

 protected:
  ~end_watcher() = default;
};

enum class result_kind : unsigned char { none, nil, boolean, integer, number, object, packed, error, out_of_memory };

// Where the unwinding of the running coroutine stands. Each coroutine has its own; one that waits keeps its own meanwhile.
struct unwinding {
  std::uint32_t depth = 0;    // cancellations raised and not yet caught
  std::uint32_t guard = 0;    // depth at the entry of the innermost protected call
  std::uint32_t regions = 0;  // regions entered and not left
  bool closing = false;       // coroutine.close runs its closers
};

class lua_task final : public task_header, public unwinding {
 public:
  static constexpr std::uint64_t tag = 0x7461736b'9d0f3a11ULL;
  static constexpr int user_values = 2;
  static constexpr std::size_t longest_place = 96;  // "file:line", with the final zero

  explicit lua_task(vm& owner) noexcept : host(&owner) {}

  void resume() override;
  void on_settled() noexcept override;
  std::string where() const override;
  std::string spawned_at() const override;
  // Writes "file:line" of where the task stands, or "".
  void write_where(char* out, std::size_t size) const noexcept;

  // Pushes `true, results...` or `false, error`. The outcome counts as looked at.
  int push_outcome(lua_State* L, int handle);
  // Pushes what is at user value 2 as a table, making it one when needed.
  static void push_extras(lua_State* L, int handle);
  // Pushes "file:line" of the spawn, or nil.
  static void push_spawn_site(lua_State* L, int handle);
  // Remembers the function and line of a script that spawns. Handle on top of the stack.
  void note_spawn_site(lua_State* L, int handle);

  // Tells `who` when it settles, which it has not.
  void watch_end(end_watcher& who) noexcept { who.next = std::exchange(ends_, &who); }

  bool has_error() const noexcept { return kind == result_kind::error; }

 private:
  static void push_spawner(lua_State* L, int handle);
  static void write_spawn_site(lua_State* L, int handle, char* out, std::size_t size) noexcept;

 public:
  vm* host;
  lua_State* thread = nullptr;
  lua_State* leaf = nullptr;        // the innermost Lua thread that suspended
  lua_State* innermost = nullptr;   // the Lua thread that runs, as far as coroutine.resume knows
  lua_State* blocked_at = nullptr;  // where a coroutine was resumed from code that cannot be suspended
  allowance* run = nullptr;         // in an isolate: the run that it belongs to
  std::int32_t incoming = 0;        // values pushed onto `leaf` for the resume
  std::uint32_t slot = 0;
  std::int32_t line = 0;         // of the spawn
  std::uint32_t resumes = 0;     // how often it has run
  std::uint32_t suppressed = 0;  // errors of closers kept in the extras while the task unwinds
  std::uint32_t place = 0;       // in a nursery: when it ended, from 1; in a join set: where its handle is kept
  std::uint16_t critical = 0;
  result_kind kind = result_kind::none;
  bool note_closed = false;  // the wait ended because its resource was closed
  bool has_data = false;     // extras hold task-local data
  bool has_extras = false;
  bool reports = false;           // calls the script's reporter of unobserved failures, or is below one that does
  bool elsewhere = false;         // its body waits for a function in another VM: it starts though cancelled
  bool preempted = false;         // a hook has suspended it: nobody touches its stack
  bool asks = false;              // looks by itself whether it has been cancelled
  std::uint8_t kill_strikes = 0;  // how often a kill has unwound it while it ran
  union {
    lua_Integer integer;
    lua_Number number;
    bool boolean;
  } scalar{};

 private:
  end_watcher* ends_ = nullptr;
};

}  // namespace perilune
