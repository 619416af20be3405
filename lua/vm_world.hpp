// A runtime with the VMs that run on it: all that a host consists of, and what a thread of its own has. Made, used and
// destroyed on one thread.
#pragma once

#include <memory>
#include <string>

#include "vm_group.hpp"
#include "watchdog.hpp"

namespace perilune {

struct vm_world {
  // `pattern` has what all VMs have in common, but for its watchdog and its group, which are of this world.
  vm_world(const runtime_options& rules, vm_options pattern, std::shared_ptr<vm_group> above = nullptr)
      : engine(rules),
        dog(pattern.preempt.how == preemption::mode::slice ? std::make_unique<watchdog>(pattern.preempt) : nullptr),
        group(std::make_shared<vm_group>(engine, watched(std::move(pattern)), std::move(above))),
        machine(engine, group->options_for(0)) {
    group->set_main(&machine);
  }
  vm_world(const vm_world&) = delete;
  vm_world& operator=(const vm_world&) = delete;
  ~vm_world() { close(); }
  // Ends every task, within the grace. Idempotent.
  void close() {
    if (!machine.opened() || machine.closing()) return;
    engine.end_all();
    group->close();
    machine.begin_closing();
  }

  // Why it could not be made, or "".
  std::string problem() const {
    if (engine.invalid()) return engine.invalid()->message;
    return machine.opened() ? std::string() : machine.message;
  }
  // Tells what nobody has looked at, until no task is left that tells more. How many failures there were.
  std::uint64_t run_to_the_end() {
    group->flush_unobserved();
    do engine.run_until_idle();
    while (machine.flush_unobserved());
    return machine.unobserved() + group->flush_unobserved();
  }

  runtime engine;
  std::unique_ptr<watchdog> dog;
  std::shared_ptr<vm_group> group;
  vm machine;

 private:
  vm_options watched(vm_options pattern) const {
    pattern.dog = dog.get();
    return pattern;
  }
};

}  // namespace perilune
