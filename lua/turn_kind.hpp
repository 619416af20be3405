// The operation kinds whose resource is an object with turns (perilune/turns.hpp): they commit by taking a turn, and
// `collect` uses it and pushes what it brings.
#pragma once

#include <perilune/turns.hpp>

#include "operation_object.hpp"

namespace perilune {

// At names the turns of an object.
template <class T, turns& (*At)(T&)>
class turn_kind : public operation_kind {
 public:
  explicit constexpr turn_kind(const char* name) noexcept : name_(name) {}

  const char* name() const noexcept final { return name_; }
  int attempt(lua_State* L, vm& v, int at) const final {
    return At(object_at<T>(L, at)).claim() ? collect(L, v, at) : not_ready;
  }
  bool maybe_ready(const void* resource) const noexcept final {
    return At(*static_cast<T*>(const_cast<void*>(resource))).ready();
  }
  operation& arm_target(lua_State* L, vm&, int at, waiter&) const final { return At(object_at<T>(L, at)); }

 protected:
  ~turn_kind() = default;

 private:
  const char* name_;
};

}  // namespace perilune
