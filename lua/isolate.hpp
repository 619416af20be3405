// A VM beside another one, on the same worker, for code that one does not trust. Its tasks are tasks of the worker's scheduler;
// each run's stand below the task that waits for it in the VM that asked, so what cancels that one reaches them.
//
// Owned by the object that the script holds and by the runs under way. One worker only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <perilune/operation.hpp>

#include "allowance.hpp"
#include "remote.hpp"

namespace perilune {

class isolate_run;

// Lua text of modules, by the name that scripts require them by.
using module_texts = std::map<std::string, std::string, std::less<>>;

class isolate {
 public:
  // Its VM is like those of the group but for the rules, and has these modules of its own. Check opened().
  isolate(vm& maker, sandbox rules, module_texts own);
  isolate(const isolate&) = delete;
  isolate& operator=(const isolate&) = delete;
  ~isolate();

  bool opened() const noexcept { return machine_ && machine_->opened(); }
  bool closed() const noexcept { return closed_; }
  vm& machine() const noexcept { return *machine_; }
  const sandbox& rules() const noexcept { return machine_->options().rules; }
  std::size_t memory_used() const noexcept { return machine_ ? machine_->bytes_in_use() : 0; }

  // No run begins any more, and those under way are ended.
  void close() noexcept;
  // Holds until the last run has ended.
  operation& drained() noexcept { return drained_; }
  // Frees the VM. Requires that no run is under way.
  void free() noexcept;
  // Reports what nobody has looked at so far. Outside of any run.
  void flush() noexcept;

 private:
  friend class isolate_run;
  class drain final : public operation {
   public:
    explicit drain(isolate& owner) noexcept : owner_(owner) {}
    bool try_commit(waiter&) override { return owner_.runs_.empty(); }
    void arm(waiter& by) override { waiting.push_back(by); }
    void disarm(waiter& by) noexcept override { waiting.erase(by); }
    bool give_back(waiter&) noexcept override { return false; }
    bool holds(waiter&) noexcept override { return true; }
    wait_description describe() const noexcept override { return {"close", "isolate", &owner_}; }
    wait_queue waiting;

   private:
    isolate& owner_;
  };
  void add(isolate_run& run);
  void remove(isolate_run& run) noexcept;

  vm& maker_;
  std::unique_ptr<vm> machine_;
  std::uint64_t told_ = 0;          // failures reported so far
  std::vector<isolate_run*> runs_;  // that have begun and not ended
  drain drained_{*this};
  bool closed_ = false;
};

// What the task waits for that stands for a run.
std::unique_ptr<remote_wait> run_in_isolate(vm& v, std::shared_ptr<remote_request> request, const spawn_request& asked);

}  // namespace perilune
