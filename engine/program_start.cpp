// Between clone and execve. See program_start.hpp.
#include "program_start.hpp"

#include <cerrno>
#include <csignal>
#include <cstdint>

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

// What sanitizers add to a function counts on a thread of their own.
#if defined(__clang__)
#define PERILUNE_IN_CHILD __attribute__((disable_sanitizer_instrumentation))
#else
#define PERILUNE_IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PERILUNE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PERILUNE_SANITIZED 1
#endif
#endif

#ifdef PERILUNE_SANITIZED
extern "C" int __clone(int (*)(void*), void*, int, void*, ...);  // the one that no sanitizer stands in for
#define PERILUNE_CLONE __clone
#else
#define PERILUNE_CLONE clone
#endif

namespace perilune::detail {

namespace {

// A call of the kernel that leaves errno alone: minus the errno where it fails. Elsewhere errno is written, so this thread
// has to stand still until the child is on its own.
#if defined(__x86_64__)
#define PERILUNE_LEAVES_ERRNO 1
PERILUNE_IN_CHILD inline long kernel(long number, long a = 0, long b = 0, long c = 0, long d = 0) noexcept {
  long returned = number;
  register long fourth __asm__("r10") = d;
  __asm__ volatile("syscall" : "+a"(returned) : "D"(a), "S"(b), "d"(c), "r"(fourth) : "rcx", "r11", "memory");
  return returned;
}
#elif defined(__aarch64__)
#define PERILUNE_LEAVES_ERRNO 1
PERILUNE_IN_CHILD inline long kernel(long number, long a = 0, long b = 0, long c = 0, long d = 0) noexcept {
  register long which __asm__("x8") = number;
  register long first __asm__("x0") = a;
  register long second __asm__("x1") = b;
  register long third __asm__("x2") = c;
  register long fourth __asm__("x3") = d;
  __asm__ volatile("svc #0" : "+r"(first) : "r"(which), "r"(second), "r"(third), "r"(fourth) : "memory");
  return first;
}
#else
inline long kernel(long number, long a = 0, long b = 0, long c = 0, long d = 0) noexcept {
  const long returned = ::syscall(number, a, b, c, d);
  return returned == -1 ? -errno : returned;
}
#endif

#if defined(PERILUNE_LEAVES_ERRNO) && !defined(PERILUNE_SANITIZED)
constexpr bool stands_still = false;
#else
constexpr bool stands_still = true;
#endif

template <class T>
PERILUNE_IN_CHILD long word(T* at) noexcept {
  return static_cast<long>(reinterpret_cast<std::intptr_t>(at));
}

constexpr long signal_set_size = _NSIG / 8;
constexpr std::uint64_t zeros[8] = {};  // the default action, and an empty set, as the kernel reads them

}  // namespace

PERILUNE_IN_CHILD int program_start::in_child(void* raw) noexcept {
  auto& start = *static_cast<program_start*>(raw);
  for (int signal = 1; signal < _NSIG; ++signal) kernel(SYS_rt_sigaction, signal, word(zeros), 0, signal_set_size);
  long done = start.own_group ? kernel(SYS_setpgid, 0, 0) : 0;
  for (std::size_t i = 0; done >= 0 && i < start.connected_; ++i) {
    const int from = start.connections_[i].from;
    const int as = start.connections_[i].as;
    done = from == as ? kernel(SYS_fcntl, from, F_SETFD, 0) : kernel(SYS_dup3, from, as, 0);
  }
  if (done >= 0 && *start.execute_.folder) done = kernel(SYS_chdir, word(start.execute_.folder));
  if (done >= 0) {
    kernel(SYS_rt_sigprocmask, SIG_SETMASK, word(zeros), 0, signal_set_size);
    done =
        kernel(SYS_execve, word(start.execute_.program), word(start.execute_.words), word(start.execute_.environment));
  }
  __atomic_store_n(&start.problem_, static_cast<int>(-done), __ATOMIC_RELAXED);
  for (;;) kernel(SYS_exit_group, 127);
}

int program_start::go(pid_t& pid, unique_fd& pidfd) {
  argv_.reserve(words.size() + 1);
  for (std::string& each : words) argv_.push_back(each.data());
  argv_.push_back(nullptr);
  environment.push_back(nullptr);
  execute_ = {folder.c_str(), program.c_str(), argv_.data(), environment.data()};
  int flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD;
  if (stands_still) flags |= CLONE_VFORK;
  under_way_.store(1, std::memory_order_relaxed);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int fd = -1;
  pid = PERILUNE_CLONE(in_child, stack_.data() + stack_.size(), flags, this, &fd, nullptr, &under_way_);
  const int why = errno;
  if (pid < 0) under_way_.store(0, std::memory_order_relaxed);
  if (pid > 0 && own_group) ::setpgid(pid, pid);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return why;
  pidfd = unique_fd(fd);
  return 0;
}

void program_start::wait_until_over() const noexcept {
  while (under_way_.load(std::memory_order_acquire) != 0)
    ::syscall(SYS_futex, &under_way_, FUTEX_WAIT, 1, nullptr, nullptr, 0);
}

}  // namespace perilune::detail
