// An operation that passes every question on to its resource, which is an operation itself. What it adds is the result: a
// type derived from it has take_result(). Owned by the awaiting frame; the resource lives longer.
#pragma once

#include <string>

#include <perilune/operation.hpp>

namespace perilune {

template <class Resource>
class delegated_operation : public operation {
 public:
  // Of a resource that outlives it.
  explicit delegated_operation(Resource& resource) noexcept : resource_(&resource) {}

  bool try_now(waiter& by) { return this->try_commit(by); }
  bool try_commit(waiter& by) override { return resource_->try_commit(by); }
  void arm(waiter& by) override { resource_->arm(by); }
  void disarm(waiter& by) noexcept override { resource_->disarm(by); }
  bool give_back(waiter& by) noexcept override { return resource_->give_back(by); }
  const task_header* held_by() const noexcept override { return resource_->held_by(); }
  std::string held_at() const override { return resource_->held_at(); }
  wait_description describe() const noexcept override { return resource_->describe(); }

 protected:
  ~delegated_operation() = default;
  Resource* resource_;
};

}  // namespace perilune
