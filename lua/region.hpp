// A region of a Lua task: a scope node around a protected call. Time limits, shields, tokens, nurseries and deferred
// closers are all regions that differ in how they conclude. A cancellation aimed at the region stops here.
//
// The region is a userdata at stack index 1 of the calling native function: [region, message handler, fn, args...]. When
// the body has ended and the tasks that must end have ended, `conclude` sees [region, message handler, results or error].
#pragma once

#include <cstdint>

#include <lua.hpp>

#include <perilune/cancel.hpp>
#include <perilune/token.hpp>

#include "protect.hpp"

namespace perilune {

class region final : public scope_node {
 public:
  static constexpr std::uint64_t tag = 0x72656769'4417e0a5ULL;
  static constexpr int user_values = 2;  // 1 for the kind's own use, 2 the failures of a nursery

  using conclude_function = reply (*)(lua_State*, vm&, region&);

  // Reduces the stack to [new region, handler, the top `arguments` values (fn, args...)]. The caller then returns
  // action::run_region.
  static region& prepare(lua_State* L, vm& v, int arguments, conclude_function conclude);
  static void open(lua_State* L);

  void child_settled(task_header& child) noexcept override;
  // Passes children that are no members to the enclosing node: the region waits for its members only.
  void release_strangers() noexcept;

  // Conclusions of a region that was cut. What its closers raised meanwhile is never lost: a timeout carries it as
  // suppressed errors; where a cut is no error, raise_suppressed raises it. That pushes nothing and returns 0 for none.
  reply raise_timeout(lua_State* L, const char* what);
  reply raise_suppressed(lua_State* L);
  // Pushes what closers raised while the region was cut, as a list, or nil.
  void push_suppressed(lua_State* L);
  // The deadline is what cancelled it.
  bool was_timed_out() const noexcept { return reason && reason->source == cancel_source::timeout; }

  conclude_function conclude = nullptr;
  vm* host = nullptr;
  token_state* bind_to = nullptr;  // cancelled with this token; one use of it is held until the region is entered
  token_bond bond;
  std::uint64_t deadline_ns = 0;
  std::uint32_t outer_depth = 0;
  std::uint32_t outer_guard = 0;
  std::uint32_t outer_suppressed = 0;
  bool shield = false;
  bool limited = false;  // deadline_ns counts
  bool nursery = false;  // waits for its members when the body returns
  bool body_ok = false;  // the body returned
  bool cut = false;      // a cancellation aimed at this region ended the body
  bool passing = false;  // a cancellation aimed further out passes through
  bool closed = false;   // over: nothing can be spawned into it
  bool cancel_on_failure = false;
  bool cancel_on_success = false;
  std::uint32_t settled_members = 0;
  std::uint32_t failed_members = 0;
  std::uint32_t failed_before_body = 0;  // members that had failed when the body did
  std::uint32_t winner = 0;              // settle order of the first member that returned, under cancel_on_success
};

}  // namespace perilune
