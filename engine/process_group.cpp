// Looking for members of a process group. See process_group.hpp.
#include "process_group.hpp"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <limits>
#include <memory>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unique_fd.hpp"

namespace perilune::detail {

namespace {

// "pid (name) state ppid pgrp ...": the name may hold anything, so what matters is searched behind the last bracket.
bool runs_in(pid_t group, std::string_view stat) noexcept {
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos || stat.size() < name_end + 4) return false;
  const char state = stat[name_end + 2];
  if (state == 'Z' || state == 'X') return false;
  stat.remove_prefix(name_end + 4);
  const std::size_t parent_end = stat.find(' ');
  if (parent_end == std::string_view::npos) return false;
  pid_t of = 0;
  std::from_chars(stat.data() + parent_end + 1, stat.data() + stat.size(), of);
  return of == group;
}

bool member_runs(int proc, const char* pid, pid_t group) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "%s/stat", pid);
  const unique_fd file(::openat(proc, path, O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  char text[512];
  const ssize_t size = ::read(file.get(), text, sizeof text);
  return size > 0 && runs_in(group, {text, static_cast<std::size_t>(size)});
}

bool answers(pid_t group) noexcept { return ::kill(-group, 0) == 0 || errno != ESRCH; }

void reap_adopted(pid_t group) noexcept {
  while (::waitpid(-group, nullptr, WNOHANG) > 0) {
  }
}

// Counts up to `enough`.
std::size_t count_members(pid_t group, std::size_t enough) noexcept {
  if (!answers(group)) return 0;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), [](DIR* d) { return ::closedir(d); });
  if (!proc) return 1;
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(proc.get()))
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && member_runs(::dirfd(proc.get()), entry->d_name, group) &&
        ++count >= enough)
      break;
  return count;
}

}  // namespace

bool group_answers(pid_t group) noexcept {
  reap_adopted(group);
  return answers(group);
}

bool group_runs(pid_t group) noexcept {
  reap_adopted(group);
  const bool runs = count_members(group, 1) > 0;
  if (!runs) reap_adopted(group);  // who has ended meanwhile
  return runs;
}

std::size_t group_members(pid_t group) noexcept {
  return count_members(group, std::numeric_limits<std::size_t>::max());
}

}  // namespace perilune::detail
