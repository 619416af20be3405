// A channel between VMs: FIFO, of exact capacity, closed like any other, its values parcels. Counted; any thread may use it.
//
// A task waits by a place in one of two queues, which only its own worker's thread grants: who hands it something posts a
// message to that worker. A waiting receiver, and a sender that waits for nothing else, is served at once under the mutex, and
// the message tells it. A sender in a select is asked instead: its message commits there, if the select still waits then.
//
// What a receiver was handed and did not accept goes back to the front, in the order in which it was sent.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include <perilune/channel_core.hpp>
#include <perilune/operation.hpp>

#include "transfer.hpp"

namespace perilune {

class runtime;
struct shared_place;

class shared_channel final : public crossing, public std::enable_shared_from_this<shared_channel> {
 public:
  explicit shared_channel(std::size_t capacity) noexcept : capacity_(capacity) {}
  void push(lua_State* L, vm& v) override;

  channel_status try_send(parcel& value);
  channel_status try_recv(parcel& value);
  void close();
  channel_stats stats();
  bool closed();
  std::size_t capacity() const noexcept { return capacity_; }

  // One task's wait in one of the queues, as the operation it arms. Belongs to the task's worker; dropped there.
  class wait final : public operation {
   public:
    // A receiver's; a sender's with the value to send.
    wait(std::shared_ptr<shared_channel> channel, std::optional<parcel> value, runtime& engine, unsigned worker);
    wait(const wait&) = delete;
    wait& operator=(const wait&) = delete;
    ~wait() = default;

    bool try_commit(waiter&) override { return false; }
    void arm(waiter& by) override;
    void disarm(waiter& by) noexcept override;
    bool give_back(waiter& by) noexcept override;
    bool holds(waiter& by) noexcept override;
    wait_description describe() const noexcept override;
    // Of a wait that was granted.
    bool found_closed() const noexcept;
    const parcel& value() const noexcept;

   private:
    std::shared_ptr<shared_channel> channel_;
    std::shared_ptr<shared_place> place_;
  };

 private:
  friend struct shared_place;
  using place_ptr = std::shared_ptr<shared_place>;
  using place_queue = std::list<place_ptr>;
  struct stored {
    std::uint64_t order;
    parcel value;
  };

  bool has_room() const noexcept { return !receivers_.empty() || values_.size() < capacity_; }
  void accept(parcel&& value);
  void put_back(stored&& value);
  bool take_first(parcel& value);
  void settle();
  void grant(place_queue& from);
  void leave(const place_ptr& place);
  void commit(const place_ptr& place);

  const std::size_t capacity_;
  std::mutex mutex_;  // guards what follows
  std::deque<stored> values_;
  place_queue senders_;
  place_queue receivers_;
  std::uint64_t next_order_ = 0;
  std::size_t peak_ = 0;
  std::uint64_t sends_ = 0;
  std::uint64_t recvs_ = 0;
  bool closed_ = false;
};

}  // namespace perilune
