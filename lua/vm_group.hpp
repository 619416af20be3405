// The VMs of one host: the main one, one for each further worker, made there when it is first needed, and those of the
// blocking pool, kept for the next call. Owned by the host and by the calls under way.
//
// make() is how every VM but the main one comes to be. A VM of a worker is made, used and destroyed on that worker's
// thread; one without a worker by one thread at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "vm.hpp"

namespace perilune {

class vm_group : public std::enable_shared_from_this<vm_group> {
 public:
  // `pattern` is what all VMs have in common. The memory function of a host's own is for the main VM alone.
  vm_group(runtime& rt, const vm_options& pattern);
  vm_group(const vm_group&) = delete;
  vm_group& operator=(const vm_group&) = delete;
  ~vm_group();

  // The options of a VM of this group.
  vm_options options_for(unsigned worker) const;
  // One more VM, or nullptr when there was no memory for it. Any thread.
  std::unique_ptr<vm> make(unsigned worker);
  void set_main(vm* machine) noexcept { main_ = machine; }

  // The VM of the worker whose thread calls, or nullptr: want of memory, or the group has closed.
  vm* here(unsigned worker);

  // Whose turn it is to run what a task of this worker sends away: the others, one after another.
  unsigned next_after(unsigned worker) noexcept;

  // A VM without a worker for the calling thread, until it is given back. nullptr when there was no memory for it.
  std::unique_ptr<vm> borrow();
  void give_back(std::unique_ptr<vm> machine);

  // Ends the run with this exit code, as os.exit does. Any thread.
  void exit(int code, std::string by);

  // Reports what nobody has looked at in the VMs of other workers; how many failures there were so far. Thread of worker 0,
  // which no task runs on.
  std::uint64_t flush_unobserved();
  // No task is left anywhere: destroys all VMs but the main one. Thread of worker 0.
  void close();

 private:
  // Calls `fn` on every other worker that has a VM, and waits for all.
  template <class F>
  void on_each_worker(F fn);

  runtime& runtime_;
  vm_options pattern_;
  vm* main_ = nullptr;
  struct place {
    std::atomic<bool> made{false};
    std::unique_ptr<vm> machine;  // the worker's
  };
  std::vector<place> places_;  // of workers 0 to N-1; 0 stays empty
  std::atomic<unsigned> turn_{0};
  std::mutex mutex_;           // guards what follows
  std::vector<std::unique_ptr<vm>> idle_;
  bool closed_ = false;
};

}  // namespace perilune
