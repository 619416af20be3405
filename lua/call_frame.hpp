// One call of a native function of the host's: where its arguments stand, and what is to be the result. On the stack of the body
// that makes the call, so it never lives across anything that may raise.
#pragma once

#include <lua.hpp>

#include <perilune/function.hpp>
#include <perilune/outside_call.hpp>

#include "protect.hpp"

namespace perilune::detail {

// An asynchronous call that a task waits for. Owned by the call's userdata and by its completions.
class pending_call final : public outside_call {
 public:
  using outside_call::outside_call;
  bool finish(value_list with, std::optional<error> failed);

  value_list results;  // both: whoever claimed the call's, until it has arrived
  std::optional<error> problem;
};

class call_frame {
 public:
  // The arguments begin at this index of the stack.
  call_frame(lua_State* state, vm& v, int from) noexcept
      : L(state), machine(v), first(from), count(lua_gettop(state) - from + 1) {}
  call_frame(const call_frame&) = delete;
  call_frame& operator=(const call_frame&) = delete;

  // What the body replies: pushes the results that may fail to be pushed.
  reply conclude();
  void refuse(reply with) noexcept {
    if (refused == 0) refused = with;
  }
  int index_of(std::size_t argument) const noexcept {
    return argument < static_cast<std::size_t>(count) ? first + static_cast<int>(argument) : 0;
  }

  lua_State* const L;
  vm& machine;
  const int first;
  const int count;
  int pushed = 0;  // results that are on the stack
  reply refused = 0;
  value_list results;  // that follow those
  std::shared_ptr<pending_call> pending;
  task<value_list> body;
};

}  // namespace perilune::detail
