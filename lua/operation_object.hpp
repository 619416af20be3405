// Operations as scripts hold them: `ch:recv_op()` is an inert userdata that says what would be waited for. Every blocking
// verb is one operation_kind, used by the verb itself (perform) and by select alike.
//
// User values of an operation: 1 the resource, 2 the value (to send), function (wrap) or table (choose). While a select
// waits, resource and value stand at stack positions `at` and `at + 1` of its frame; for a verb `at` is 1.
#pragma once

#include <climits>

#include <lua.hpp>

#include <perilune/operation.hpp>

#include "library.hpp"
#include "object.hpp"
#include "protect.hpp"

namespace perilune {

inline constexpr int not_ready = INT_MIN;

class operation_kind {
 public:
  virtual const char* name() const noexcept = 0;
  // Commits now if that needs no waiting: results are pushed and counted. not_ready, or a negative action to refuse.
  virtual int attempt(lua_State* L, vm& v, int at) const = 0;
  // Whether attempt could commit, asked without touching the stack; kinds that cannot tell say yes.
  virtual bool maybe_ready(const void* resource) const noexcept {
    static_cast<void>(resource);
    return true;
  }
  // What to arm, after attempt said not_ready; may prepare the waiter. Raises only before anything is changed.
  virtual operation& arm_target(lua_State* L, vm& v, int at, waiter& by) const = 0;
  // Pushes the results of a grant. By default what the waker has pushed.
  virtual int collect(lua_State* L, vm& v, int at) const {
    static_cast<void>(L), static_cast<void>(at);
    return v.running().incoming;
  }
  virtual bool composite() const noexcept { return false; }

 protected:
  ~operation_kind() = default;
};

struct lua_operation {
  static constexpr std::uint64_t tag = 0x6f706572'71c2d90eULL;
  const operation_kind* kind;
  const void* resource = nullptr;  // the object at user value 1, where it is one of ours
};

// Pushes an operation with the resource at `resource` (0 for none); user value 2 is the value on top when `with_value`.
lua_operation& push_operation(lua_State* L, const operation_kind& kind, int resource, bool with_value);

// Outcomes that several kinds share.
inline reply push_closed(lua_State* L) {
  lua_pushnil(L);
  lua_pushliteral(L, "closed");
  return 2;
}
inline reply refuse_nil(vm& v, int argument) {
  v.argument = argument;
  v.message = "nil is not a message; send false or a table instead";
  return action::raise_argument;
}
// For verbs that do not wait, their resource at stack index 1: what the kind commits to now, or `nil, word`.
inline reply attempt_or(lua_State* L, vm& v, const operation_kind& kind, const char* word) {
  const int done = kind.attempt(L, v, 1);
  if (done != not_ready) return done;
  lua_pushnil(L);
  lua_pushstring(L, word);
  return 2;
}

template <const auto& Kind>
reply collect_verb(lua_State* L, vm& v) {
  return Kind.collect(L, v, 1);
}

// The blocking verb of a kind, its resource at stack index 1. `again` is the body to run after a spent budget.
template <const auto& Kind>
reply perform(lua_State* L, vm& v, native_body again) {
  lua_task& task = v.running();
  if (task.cancel_pending()) [[unlikely]]
    return action::raise_cancel;
  if (!spend(v)) [[unlikely]]
    return yield_and_retry(L, v, again);
  const int results = Kind.attempt(L, v, 1);
  if (results != not_ready) return results;
  return wait_for(L, v, Kind.arm_target(L, v, 1, task), collect_verb<Kind>);
}

// `x:verb_op()` for a kind without a value.
template <const auto& Kind, class T>
reply make_operation(lua_State* L, vm& v) {
  if (!to_object<T>(L, 1)) return bad_argument(v, 1, "wrong self, call it with ':'", L);
  push_operation(L, Kind, 1, false);
  return 1;
}

}  // namespace perilune
