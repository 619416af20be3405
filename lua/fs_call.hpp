// One call of the engine's fs that a Lua task waits for: the operation, and what it yielded until that has been pushed.
// A userdata on the calling task's stack, so that it is there when the call has ended and is freed when the task was
// cancelled meanwhile. The VM's thread only.
#pragma once

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <lua.hpp>

#include <perilune/fs.hpp>

#include "library.hpp"
#include "object.hpp"

namespace perilune {

class fs_wait {
 public:
  virtual ~fs_wait() = default;
  virtual operation& op() noexcept = 0;
  // Takes the result out of the operation. False when it is an error, kept as vm::problem.
  virtual bool settle(vm& v) = 0;
  // Pushes the result; may raise.
  virtual reply push(lua_State* L) = 0;
};

struct fs_call {
  static constexpr std::uint64_t tag = 0x66696c65'2ac7b059ULL;
  std::unique_ptr<fs_wait> wait{};
};

// `Push` is `reply (lua_State*, T&)`.
template <class Operation, class T, class Push>
class fs_wait_of final : public fs_wait {
 public:
  fs_wait_of(Operation call, Push show) : op_(std::move(call)), push_(show) {}
  operation& op() noexcept override { return op_; }
  bool settle(vm& v) override {
    auto got = op_.take_result();
    if (got)
      value_.emplace(*std::move(got));
    else
      v.problem = std::move(got).error();
    return value_.has_value();
  }
  reply push(lua_State* L) override { return push_(L, *value_); }

 private:
  Operation op_;
  std::optional<T> value_;
  Push push_;
};

// Puts an empty call at the bottom of the stack. A reply < 0 refuses.
reply begin_fs_call(lua_State* L, vm& v);
// Parks the task on the call at the bottom.
reply await_fs_call(lua_State* L, vm& v);

// Carries out the operation that `make` returns and pushes its result. `make` reads arguments behind the call, from
// stack index 2 on, and does not raise.
template <class Make, class Push>
reply perform_fs(lua_State* L, vm& v, Make make, Push push) {
  if (const reply refused = begin_fs_call(L, v); refused < 0) return refused;
  using op = decltype(make());
  using value = std::remove_reference_t<decltype(*std::declval<op&>().take_result())>;
  object_at<fs_call>(L, 1).wait = std::make_unique<fs_wait_of<op, value, Push>>(make(), push);
  return await_fs_call(L, v);
}

void define_fs_call(lua_State* L);

}  // namespace perilune
