// The native half of the runner's rule that nothing is left behind: this process adopts what its steps leave (a subreaper), says
// what there is, and has a guard beside it, a process that ends what a killed runner leaves. The VM's thread only.
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.hpp"
#include "native_modules.hpp"
#include "process_title.hpp"

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
  int line = -1;      // the guard hears from its other end: the charge, then that it may go home; the end means that the runner is gone
  bool told = false;  // its charge
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

// A message with, at most, a descriptor beside it.
struct parcel {
  iovec bytes;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> beside{};
  msghdr message{};

  parcel(void* from, std::size_t size) : bytes{from, size} {
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = beside.data();
    message.msg_controllen = beside.size();
  }
  void enclose(int fd) {
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
};

// The next message, "" at the end of the line. A descriptor that came with it stays open.
std::string hear(int line) {
  std::array<char, PATH_MAX> text{};
  parcel into(text.data(), text.size());
  ssize_t got = 0;
  do got = recvmsg(line, &into.message, 0);
  while (got < 0 && errno == EINTR);
  return {text.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

// What the guard does. The lock came with its charge, and it keeps it until nothing of the run is left.
[[noreturn]] void stand_guard(int line) {
  setsid();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) std::signal(signal, SIG_IGN);
  prctl(PR_SET_NAME, guard_name);
  process_title::show({guard_name});  // secrets among the words of the command line are not masked yet
  if (line > 0) syscall(SYS_close_range, 0, line - 1, 0);
  syscall(SYS_close_range, line + 1, ~0U, 0);
  const std::string run_folder = hear(line);
  if (run_folder.empty() || !hear(line).empty()) _exit(0);
  const timespec pause{0, 5'000'000};
  for (int round = 0, quiet = 0; round < guard_rounds && quiet < guard_quiet_rounds; ++round) {
    quiet = kill_round(run_folder) ? 0 : quiet + 1;
    nanosleep(&pause, nullptr);
  }
  _exit(0);
}

// Returns 0 or an errno.
int post_guard() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  guard = {fork(), ends[1], false};
  if (guard.pid == 0) stand_guard(ends[0]);
  const int why = errno;
  close(ends[0]);
  if (guard.pid > 0) return 0;
  close(ends[1]);
  return why;
}

// post_guard(): a guard that has nothing to guard yet. It has a copy of whatever this process changes from then on, so it is posted
// before there is much.
reply post_guard_body(lua_State*, vm& v) {
  const int why = guard.pid < 0 ? post_guard() : 0;
  return why ? raise_error(v, error::system("fork", why)) : 0;
}

// set_guard(run folder, descriptor of the lock)
reply set_guard_body(lua_State* L, vm& v) {
  if (const int why = guard.pid < 0 ? post_guard() : 0) return raise_error(v, error::system("fork", why));
  std::string run_folder = lua_tostring(L, 1);
  parcel charge(run_folder.data(), run_folder.size());
  charge.enclose(static_cast<int>(lua_tointeger(L, 2)));
  if (sendmsg(guard.line, &charge.message, MSG_NOSIGNAL) < 0) return raise_error(v, error::system("sendmsg", errno));
  guard.told = true;
  return 0;
}

reply drop_guard_body(lua_State*, vm&) {
  if (guard.pid < 0) return 0;
  if (guard.told) static_cast<void>(send(guard.line, "x", 1, MSG_NOSIGNAL));
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
                                            {"post_guard", protect::native<post_guard_body>},
                                            {"set_guard", protect::native<set_guard_body>},
                                            {"drop_guard", protect::native<drop_guard_body>}};
  lua_createtable(L, 0, 6);
  set_functions(L, functions);
  return 1;
}

}  // namespace perilune
