// The watchdog's thread, the signal it sends, and the handler. See watchdog.hpp.
#include "watchdog.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include <sys/syscall.h>
#include <unistd.h>

#include <lua.hpp>

#include "lua_task.hpp"
#include "protect.hpp"
#include "vm.hpp"

namespace perilune {

namespace {

std::int64_t time_of(clockid_t clock) noexcept {
  timespec at{};
  if (clock_gettime(clock, &at) != 0) return -1;
  return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

// The CPU time that a thread has spent, by the kernel's own numbering of such clocks; -1 when the thread is gone.
std::int64_t cpu_time_of(pid_t thread) noexcept {
  constexpr unsigned per_thread_sched_clock = 6;
  return time_of(static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3) | per_thread_sched_clock));
}

// The handlers of all watchdogs of the process: one installation per signal, with what stood there before.
struct installed_signal {
  int number;
  int uses;
  struct sigaction before;
};
std::mutex installed_mutex;
std::vector<installed_signal> installed;
// What the handler reads: the handlers it passes foreign signals on to.
struct sigaction chained[NSIG];

void install(int number, void (*handler)(int, siginfo_t*, void*)) {
  const std::lock_guard lock(installed_mutex);
  for (installed_signal& each : installed)
    if (each.number == number) return void(++each.uses);
  struct sigaction ours{};
  ours.sa_sigaction = handler;
  ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  installed.push_back({number, 1, {}});
  sigaction(number, nullptr, &chained[number]);
  sigaction(number, &ours, &installed.back().before);
}

void uninstall(int number) noexcept {
  const std::lock_guard lock(installed_mutex);
  const auto each = std::find_if(installed.begin(), installed.end(), [&](const auto& s) { return s.number == number; });
  if (each == installed.end() || --each->uses > 0) return;
  sigaction(number, &each->before, nullptr);
  installed.erase(each);
}

void pass_on(int number, siginfo_t* info, void* context) noexcept {
  const struct sigaction& before = chained[number];
  if (before.sa_flags & SA_SIGINFO) {
    if (before.sa_sigaction) before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  }
}

// Reads call records only.
void note_c_function(lua_State* L, running_c_function& into) noexcept {
  lua_Debug frame;
  if (!lua_getstack(L, 0, &frame) || !lua_getinfo(L, "Sn", &frame) || *frame.what != 'C') return;
  std::snprintf(into.name, sizeof into.name, "%s", frame.name ? frame.name : "a C function");
  if (lua_getstack(L, 1, &frame) && lua_getinfo(L, "Sl", &frame) && frame.currentline > 0)
    std::snprintf(into.place, sizeof into.place, "%s:%d", frame.short_src, frame.currentline);
}

}  // namespace

constinit thread_local turn_watch* turn_watch::here_ = nullptr;

turn_watch::~turn_watch() {
  dog_.remove(*this);
  if (here_ == this) here_ = nullptr;
}

duration turn_watch::hold() const noexcept { return dog_.rules().hold; }

void turn_watch::come_here() noexcept {
  static thread_local const auto self = static_cast<pid_t>(::syscall(SYS_gettid));
  here_ = this;
  alarm_ = &dog_.asleep_;
  if (thread_.exchange(self, std::memory_order_relaxed) == 0) dog_.add(*this);
}

void turn_watch::wake() noexcept { dog_.wake(); }

void turn_watch::on_signal(int number, siginfo_t* info, void* context) noexcept {
  const int kept = errno;
  turn_watch* here = here_;
  const bool from_watchdog = here && info->si_code == SI_TKILL && info->si_pid == ::getpid();
  if (from_watchdog)
    here->strike();
  else
    pass_on(number, info, context);
  errno = kept;
}

void turn_watch::strike() noexcept {
  if (!owner_.in_task()) return;
  lua_State* running = owner_.running().innermost;
  if (!running) return;
  if (spent() >= hold() && !*c_function.name) note_c_function(running, c_function);
  const std::int64_t began = time_of(CLOCK_THREAD_CPUTIME_ID);
  lua_sethook(running, protect::on_overstay, LUA_MASKLINE, 0);
  arming_ns_.store(time_of(CLOCK_THREAD_CPUTIME_ID) - began, std::memory_order_relaxed);
}

watchdog::watchdog(const preemption& rules) : rules_(rules) {
  rules_.slice = std::max<duration>(rules_.slice, std::chrono::milliseconds(1));
  install(rules_.signal, turn_watch::on_signal);
  thread_ = std::thread([this] { patrol(); });
}

watchdog::~watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  woken_.notify_one();
  thread_.join();
  uninstall(rules_.signal);
}

void watchdog::add(turn_watch& each) {
  const std::lock_guard lock(mutex_);
  watched_.push_back(&each);
}

void watchdog::remove(turn_watch& each) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(watched_, &each);
}

void watchdog::wake() noexcept {
  if (asleep_.exchange(false, std::memory_order_relaxed)) woken_.notify_one();
}

// Sleeps when nothing has run for a while. A wake-up that is missed costs no more than `nap`.
void watchdog::patrol() {
  constexpr int rounds_until_asleep = 16;
  constexpr std::chrono::milliseconds nap(100);
  // The program's own signals are for its own threads.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::unique_lock lock(mutex_);
  for (int quiet = 0; !ending_;) {
    bool busy = false;
    for (turn_watch* each : watched_) busy |= look_at(*each);
    quiet = busy ? 0 : quiet + 1;
    if (quiet < rounds_until_asleep) {
      woken_.wait_for(lock, rules_.slice);
      continue;
    }
    asleep_.store(true, std::memory_order_relaxed);
    woken_.wait_for(lock, nap, [this] { return ending_ || !asleep_.load(std::memory_order_relaxed); });
    asleep_.store(false, std::memory_order_relaxed);
    quiet = rounds_until_asleep - 1;
  }
}

// Whether anything ran since the last look. A task that stays is signalled once a slice at first, and less often the longer
// it cannot be interrupted. Arming a hook takes as long as the stack is deep (milliseconds at its limit), so a signal waits until
// the task has had twice that for itself. One that sleeps in a system call is left alone.
bool watchdog::look_at(turn_watch& each) const noexcept {
  const std::uint64_t turn = each.turn_.load(std::memory_order_relaxed);
  const pid_t thread = each.thread_.load(std::memory_order_relaxed);
  const bool same = turn == each.seen_turn_;
  if (!same || turn % 2 == 0) {
    each.seen_turn_ = turn;
    each.strikes_ = 0;
    if (turn % 2 == 0) return !same;
    each.cpu_at_ = cpu_time_of(thread);
    each.seen_at_ = time_of(CLOCK_MONOTONIC);
    return true;
  }
  const std::int64_t stayed = time_of(CLOCK_MONOTONIC) - each.seen_at_;
  const std::int64_t spent = cpu_time_of(thread) - each.cpu_at_;
  const std::int64_t hold = rules_.hold.count();
  if (spent >= hold || stayed >= 2 * hold) each.held_ns_.store(stayed, std::memory_order_relaxed);
  const std::int64_t slices = each.slices_ * (each.strikes_ < 8 ? each.strikes_ + 1 : each.strikes_ * 2 - 7);
  const std::int64_t arming = 3 * each.arming_ns_.load(std::memory_order_relaxed);
  if (spent < rules_.slice.count() * slices + arming * (each.strikes_ + 1)) return true;
  ++each.strikes_;
  each.spent_ns_.store(spent, std::memory_order_relaxed);
  each.struck_turn_.store(turn, std::memory_order_relaxed);
  ::syscall(SYS_tgkill, ::getpid(), thread, rules_.signal);
  return true;
}

}  // namespace perilune
