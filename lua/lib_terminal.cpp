// The native half of what the runner does with its terminal and its own end: who the foreground belongs to, what is painted, stopping
// as other jobs of a shell do, and an exit that waits for nothing. The VM's thread only.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string_view>

#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.hpp"
#include "native_modules.hpp"
#include "painted.hpp"

namespace perilune {

namespace {

// A group in the background may set the foreground only while SIGTTOU is blocked.
bool set_foreground(pid_t group) {
  sigset_t mine;
  sigset_t before;
  sigemptyset(&mine);
  sigaddset(&mine, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &mine, &before);
  const bool done = tcsetpgrp(STDIN_FILENO, group) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return done;
}

// give(pid): its group gets the keys and their signals, and goes on where it was stopped. False where the terminal is not this
// program's to give: there is none, or another job has it.
reply give_body(lua_State* L, vm&) {
  const auto pid = static_cast<pid_t>(lua_tointeger(L, 1));
  const bool given = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp() && set_foreground(pid);
  ::kill(-pid, SIGCONT);
  lua_pushboolean(L, given);
  return 1;
}

reply take_back_body(lua_State*, vm&) {
  set_foreground(getpgrp());
  return 0;
}

// stopped(pid): whether that child has been stopped and has not been asked about since.
reply stopped_body(lua_State* L, vm&) {
  siginfo_t how{};
  const auto pid = static_cast<id_t>(lua_tointeger(L, 1));
  lua_pushboolean(L, ::waitid(P_PID, pid, &how, WSTOPPED | WNOHANG) == 0 && how.si_pid != 0);
  return 1;
}

volatile std::sig_atomic_t continued = 0;

void note_continued(int) { continued = 1; }

// continued(): whether this program was stopped and has gone on since that was last asked, or since the first time.
reply continued_body(lua_State* L, vm&) {
  struct sigaction noting{};
  noting.sa_handler = note_continued;
  noting.sa_flags = SA_RESTART;
  ::sigaction(SIGCONT, &noting, nullptr);
  lua_pushboolean(L, continued);
  continued = 0;
  return 1;
}

// in_foreground(): whether the terminal is this job's to paint on.
reply in_foreground_body(lua_State* L, vm&) {
  const pid_t foreground = tcgetpgrp(STDERR_FILENO);
  lua_pushboolean(L, foreground < 0 || foreground == getpgrp());
  return 1;
}

// suspend(whole): stops this program, with `whole` its whole job, until somebody continues it; at once where nobody could.
reply suspend_body(lua_State* L, vm&) {
  struct sigaction stopping{};
  struct sigaction before{};
  stopping.sa_handler = SIG_DFL;
  ::sigaction(SIGTSTP, &stopping, &before);
  ::kill(lua_toboolean(L, 1) ? 0 : getpid(), SIGTSTP);
  ::sigaction(SIGTSTP, &before, nullptr);
  return 0;
}

std::string_view text_at(lua_State* L, int index) {
  std::size_t length = 0;
  const char* bytes = lua_tolstring(L, index, &length);
  return {bytes ? bytes : "", length};
}

// paint(erasing, text, next erasing)
reply paint_body(lua_State* L, vm&) {
  painted::paint(text_at(L, 1), text_at(L, 2), text_at(L, 3));
  return 0;
}

int late_code = 0;

// leave(code): the end of this process, now. What has been written goes out as far as that takes less than a second.
reply leave_body(lua_State* L, vm&) {
  late_code = static_cast<int>(lua_tointeger(L, 1));
  std::signal(SIGALRM, [](int) { _exit(late_code); });
  alarm(1);
  std::fflush(nullptr);
  _exit(late_code);
}

}  // namespace

int open_terminal(lua_State* L) {
  constexpr library_function functions[] = {{"give", protect::native<give_body>},
                                            {"take_back", protect::native<take_back_body>},
                                            {"stopped", protect::native<stopped_body>},
                                            {"continued", protect::native<continued_body>},
                                            {"in_foreground", protect::native<in_foreground_body>},
                                            {"suspend", protect::native<suspend_body>},
                                            {"paint", protect::native<paint_body>},
                                            {"leave", protect::native<leave_body>}};
  lua_createtable(L, 0, 8);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
