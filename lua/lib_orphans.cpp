// The native half of the runner's rule that nothing is left behind: this process adopts what its steps leave (a subreaper), says
// what there is, and has a guard beside it, a process that ends what a killed runner leaves. The VM's thread only.
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.hpp"
#include "native_modules.hpp"

namespace perilune {

namespace {

constexpr const char* guard_name = "perilune-guard";
constexpr int guard_rounds = 400;      // 5 ms each
constexpr int guard_quiet_rounds = 4;  // without anything found
constexpr std::size_t most_environment = std::size_t{256} * 1024;

std::string read_whole(pid_t pid, const char* what, std::size_t most) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + what;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string text;
  if (fd < 0) return text;
  std::array<char, 4096> block{};
  ssize_t got = 0;
  while (text.size() < most && (got = read(fd, block.data(), block.size())) > 0)
    text.append(block.data(), static_cast<std::size_t>(got));
  close(fd);
  return text;
}

// The value of a variable that a process was started with, or "".
std::string variable_of(pid_t pid, std::string_view name) {
  const std::string all = read_whole(pid, "environ", most_environment);
  std::size_t at = 0;
  while (at < all.size()) {
    const std::string_view entry(all.c_str() + at);
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
      return std::string(entry.substr(name.size() + 1));
    at += entry.size() + 1;
  }
  return {};
}

template <class F>
void for_each_process(F visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), [](DIR* d) { return closedir(d); });
  if (!proc) return;
  while (const dirent* entry = readdir(proc.get())) {
    pid_t pid = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, pid).ptr == end && pid > 0) visit(pid);
  }
}

// "pid (name) state ppid ...": the name may hold anything, so what matters is searched behind the last bracket.
bool is_child(pid_t pid, pid_t of, char& state) {
  const std::string stat = read_whole(pid, "stat", 1024);
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || stat.size() < name_end + 5) return false;
  state = stat[name_end + 2];
  pid_t parent = 0;
  std::from_chars(stat.data() + name_end + 4, stat.data() + stat.size(), parent);
  return parent == of;
}

// The guard -----------------------------------------------------------------------------------------------------------

struct {
  pid_t pid = -1;
  int line = -1;  // the guard reads from its other end: a byte sends it home, the end means that the runner is gone
} guard;

bool kill_round(std::string_view run_folder) {
  bool found = false;
  for_each_process([&](pid_t pid) {
    if (pid == getpid() || variable_of(pid, "PERILUNE_RUN_DIR") != run_folder) return;
    if (read_whole(pid, "comm", 64).starts_with(guard_name)) return;
    char state = 0;
    is_child(pid, 0, state);
    if (state == 'Z' || state == 'X') return;
    found = ::kill(pid, SIGKILL) == 0 || found;
  });
  return found;
}

void keep_only(int line, int lock) {
  const int low = line < lock ? line : lock;
  const int high = line < lock ? lock : line;
  if (low > 0) syscall(SYS_close_range, 0, low - 1, 0);
  if (high > low + 1) syscall(SYS_close_range, low + 1, high - 1, 0);
  syscall(SYS_close_range, high + 1, ~0U, 0);
}

// What the guard does; it keeps the lock until nothing of the run is left.
[[noreturn]] void stand_guard(int line, int lock, const std::string& run_folder) {
  setsid();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) std::signal(signal, SIG_IGN);
  prctl(PR_SET_NAME, guard_name);
  keep_only(line, lock);
  char byte = 0;
  ssize_t got = 0;
  do got = read(line, &byte, 1);
  while (got < 0 && errno == EINTR);
  if (got == 1) _exit(0);
  const timespec pause{0, 5'000'000};
  for (int round = 0, quiet = 0; round < guard_rounds && quiet < guard_quiet_rounds; ++round) {
    quiet = kill_round(run_folder) ? 0 : quiet + 1;
    nanosleep(&pause, nullptr);
  }
  _exit(0);
}

// set_guard(run folder, descriptor of the lock)
reply set_guard_body(lua_State* L, vm& v) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return raise_error(v, error::system("pipe", errno));
  const std::string run_folder = lua_tostring(L, 1);
  const int lock = static_cast<int>(lua_tointeger(L, 2));
  guard.pid = fork();
  if (guard.pid == 0) stand_guard(ends[0], lock, run_folder);
  const int why = errno;
  close(ends[0]);
  guard.line = ends[1];
  if (guard.pid > 0) return 0;
  close(ends[1]);
  return raise_error(v, error::system("fork", why));
}

reply drop_guard_body(lua_State*, vm&) {
  if (guard.pid < 0) return 0;
  static_cast<void>(!write(guard.line, "x", 1));
  close(guard.line);
  while (waitpid(guard.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  guard = {};
  return 0;
}

// Orphans -------------------------------------------------------------------------------------------------------------

reply adopt_body(lua_State*, vm&) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  return 0;
}

// list() -> text of lines "pid step": the children of this process, but for the guard; those that have ended are reaped.
reply list_body(lua_State* L, vm& v) {
  v.message.clear();
  for_each_process([&](pid_t pid) {
    char state = 0;
    if (pid == guard.pid || !is_child(pid, getpid(), state)) return;
    if (state == 'Z' && waitpid(pid, nullptr, WNOHANG) == pid) return;
    v.message += std::to_string(pid) + " " + variable_of(pid, "PERILUNE_STEP") + "\n";
  });
  lua_pushlstring(L, v.message.data(), v.message.size());
  v.message.clear();
  return 1;
}

// signal(pid, force): TERM, or KILL.
reply signal_body(lua_State* L, vm&) {
  const auto pid = static_cast<pid_t>(lua_tointeger(L, 1));
  const bool force = lua_toboolean(L, 2) != 0;
  if (pid > 0) ::kill(pid, force ? SIGKILL : SIGTERM);
  if (pid > 0 && !force) ::kill(pid, SIGCONT);
  return 0;
}

}  // namespace

int open_orphans(lua_State* L) {
  constexpr library_function functions[] = {{"adopt", protect::native<adopt_body>},
                                            {"list", protect::native<list_body>},
                                            {"signal", protect::native<signal_body>},
                                            {"set_guard", protect::native<set_guard_body>},
                                            {"drop_guard", protect::native<drop_guard_body>}};
  lua_createtable(L, 0, 5);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
