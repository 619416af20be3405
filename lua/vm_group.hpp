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

#include <perilune/shared_semaphore.hpp>

#include "vm.hpp"

namespace perilune {

class vm_group : public std::enable_shared_from_this<vm_group> {
 public:
  // `pattern` is what all VMs have in common. The memory function of a host's own is for the main VM alone.
  // `above` is the group of the host that a thread of its own was started from.
  vm_group(runtime& rt, const vm_options& pattern, std::shared_ptr<vm_group> above = nullptr);
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

  // The places in the queue of the blocking pool, one for each call of a script's.
  const std::shared_ptr<permit_pot>& blocking_places() const noexcept { return blocking_places_; }
  // Counts a call on the blocking pool, and warns once when such calls take less time than sending them away. Any thread.
  void count_blocking(duration took);
  // What a thread started here is made after, but for its own runtime.
  const vm_options& pattern() const noexcept { return pattern_; }
  bool on_own_thread() const noexcept { return above_ != nullptr; }

  // Ends the run with this exit code, as os.exit does. Any thread.
  void exit(int code, std::string by);

  // Reports what nobody has looked at in the VMs of other workers; how many failures there were so far. Thread of worker 0,
  // which no task runs on.
  std::uint64_t flush_unobserved();
  // Counts failures that nobody has looked at on a thread started here. Any thread.
  void add_unobserved(std::uint64_t failures) noexcept { unobserved_ += failures; }
  // No task is left anywhere: destroys all VMs but the main one. Thread of worker 0.
  void close();

 private:
  // Calls `fn` on every other worker that has a VM, and waits for all.
  template <class F>
  void on_each_worker(F fn);

  runtime& runtime_;
  vm_options pattern_;
  const std::shared_ptr<vm_group> above_;
  const std::shared_ptr<permit_pot> blocking_places_;
  vm* main_ = nullptr;
  struct place {
    std::atomic<bool> made{false};
    std::unique_ptr<vm> machine;  // the worker's
  };
  std::vector<place> places_;  // of workers 0 to N-1; 0 stays empty
  std::atomic<unsigned> turn_{0};
  std::atomic<std::uint64_t> unobserved_{0};
  std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<vm>> idle_;
  bool closed_ = false;
  std::uint64_t blocking_calls_ = 0;  // of the present sample
  duration blocking_time_{0};
  bool warned_ = false;
};

}  // namespace perilune
