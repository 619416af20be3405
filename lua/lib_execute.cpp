// os.execute in our form. C's system() ignores INT and QUIT in the whole process for as long as the command runs, so that Ctrl-C in
// another thread's wait would be lost; here the command gets these signals, and so does the run. Blocks its thread, as ever.
#include <cerrno>
#include <csignal>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.hpp"

extern char** environ;

namespace perilune {

namespace {

constexpr char shell[] = "/bin/sh";

// The command's process, with no signal blocked, and ignored only what was so before this program; or -1 with errno.
pid_t start(const char* command) noexcept {
  posix_spawnattr_t attributes;
  if (const int why = posix_spawnattr_init(&attributes)) return errno = why, -1;
  sigset_t none, ours;
  sigemptyset(&none);
  sigemptyset(&ours);
  sigaddset(&ours, SIGPIPE);  // those that have a handler here are default there anyway
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &ours);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  char name[] = "sh", option[] = "-c", end[] = "--";
  char* const argv[] = {name, option, end, const_cast<char*>(command), nullptr};
  pid_t child = -1;
  const int why = posix_spawn(&child, shell, nullptr, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  return why ? (errno = why, -1) : child;
}

int wait_for(pid_t child) noexcept {
  int how = 0;
  while (waitpid(child, &how, 0) < 0)
    if (errno != EINTR) return -1;
  errno = 0;  // luaL_execresult takes another for the reason of a status that is not 0
  return how;
}

// os.execute([command]) -> true or nil (fail), "exit" or "signal", its number. Without a command: whether there is a shell.
reply execute_body(lua_State* L, vm& v) {
  if (lua_isnoneornil(L, 1)) return lua_pushboolean(L, access(shell, X_OK) == 0), 1;
  if (!lua_isstring(L, 1)) return bad_argument(v, 1, "string expected", L);
  const pid_t child = start(lua_tostring(L, 1));
  return luaL_execresult(L, child < 0 ? -1 : wait_for(child));
}

}  // namespace

void open_execute(lua_State* L) {
  lua_getglobal(L, LUA_OSLIBNAME);
  lua_pushcfunction(L, protect::native<execute_body>);
  lua_setfield(L, -2, "execute");
  lua_pop(L, 1);
}

}  // namespace perilune
