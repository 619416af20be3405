// A channel of a VM: the rules of channel_core with values that stay Lua values.
//
// Buffered values live in a lua_ring; a waiting receiver gets its value on its own Lua stack. Values that were given back by cancelled receivers wait
// in front of the ring, in a table that is enlarged when a receiver begins to wait, so that giving back cannot fail.
// User values: 1 ring table, 2 given-back values, 3 the cached recv operation, 4... the ring.
#pragma once

#include <cstddef>
#include <cstdint>

#include <lua.hpp>

#include <perilune/channel_core.hpp>

#include "lua_ring.hpp"
#include "lua_task.hpp"

namespace perilune {

// Where the running task's call stands: the channel at `at` of the stack, a value to send behind it.
struct channel_call {
  lua_State* L;
  int at;
};

class lua_channel final : public channel_core<lua_channel> {
 public:
  static constexpr std::uint64_t tag = 0x6368616e'3f8b61d2ULL;
  enum user_value : int { ring_table = 1, returned_table = 2, cached_recv_op = 3, first_slot = 4 };

  explicit lua_channel(std::size_t capacity) noexcept
      : channel_core(capacity), values_(capacity, ring_table, first_slot), receiving_(*this), sending_(*this) {}

  static int user_values_for(std::size_t capacity) noexcept {
    return first_slot - 1 + lua_ring::user_values_for(capacity);
  }

  // channel_core's storage.
  std::size_t stored() const noexcept { return returned_ + values_.size(); }
  void store(const channel_call& from);
  void store_from(waiter& sender);
  void fetch(const channel_call& to);
  void pass(const channel_call& from, waiter& receiver);
  void fetch_from(waiter& sender, const channel_call& to);
  void refuse(waiter& sender) noexcept { lua_task_of(sender).note_closed = true; }
  void finish(waiter& receiver) noexcept;

  // Makes room for one more value; the call that stores it cannot fail then. Raises when memory is out.
  void reserve_slot(const channel_call& call, std::size_t more) { values_.reserve(call.L, call.at, more); }
  // Makes room for what one more waiting receiver could give back. Raises when memory is out.
  void reserve_return(const channel_call& call);
  // A receiver has accepted its grant.
  void accepted() noexcept { --promised_; }

  // The channel whose receiving side a task has waited on.
  static lua_channel& received_from(operation& side) noexcept { return static_cast<receive_side&>(side).channel_; }

  operation& receiving() noexcept { return receiving_; }
  operation& sending() noexcept { return sending_; }
  std::size_t given_back() const noexcept { return returned_; }
  std::size_t warn_at = 0;  // length at which an unbounded channel warns once; 0 for never

 private:
  class receive_side final : public operation {
   public:
    explicit receive_side(lua_channel& c) noexcept : channel_(c) {}
    bool try_commit(waiter&) override { return false; }
    void arm(waiter& by) override;
    void disarm(waiter& by) noexcept override;
    bool give_back(waiter& by) noexcept override;
    wait_description describe() const noexcept override { return {"recv", "channel", &channel_}; }

   private:
    friend class lua_channel;
    lua_channel& channel_;
  };
  class send_side final : public operation {
   public:
    explicit send_side(lua_channel& c) noexcept : channel_(c) {}
    bool try_commit(waiter&) override { return false; }
    void arm(waiter& by) override { channel_.arm_sender(by); }
    void disarm(waiter& by) noexcept override { channel_.disarm_sender(by); }
    bool give_back(waiter&) noexcept override { return false; }
    wait_description describe() const noexcept override { return {"send", "channel", &channel_}; }

   private:
    lua_channel& channel_;
  };

  static lua_task& lua_task_of(waiter& w) noexcept { return static_cast<lua_task&>(*w.task); }
  // The stack position of the channel in the waiting call.
  static int position_of(waiter& w) noexcept {
    return &w == static_cast<waiter*>(w.task) ? 1 : static_cast<int>(w.stamp);
  }
  void keep_returned(lua_State* L, int at, lua_Integer order) noexcept;

  lua_ring values_;
  std::size_t returned_ = 0;  // values in the table of given-back values
  std::size_t returned_capacity_ = 0;
  std::size_t promised_ = 0;  // receivers armed, or granted and not resumed
  receive_side receiving_;
  send_side sending_;
};

}  // namespace perilune
