// Reading inotify. See watch_tree.hpp.
#include "watch_tree.hpp"

#include <cerrno>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_calls.hpp"

namespace perilune::fs::detail {

namespace {

constexpr std::uint32_t interesting = IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                      IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

std::string below(const std::string& folder, const std::string& name) {
  return folder.empty() || folder.back() == '/' ? folder + name : folder + "/" + name;
}

bool is_at_or_below(const std::string& path, const std::string& folder) noexcept {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

bool vanished(int code) noexcept { return code == ENOENT || code == ENOTDIR || code == ELOOP; }

}  // namespace

result<std::unique_ptr<watch_tree>> watch_tree::open(const std::string& path, bool recursive, events& into) {
  if (auto bad = calls::bad_path(path)) return *std::move(bad);
  std::unique_ptr<watch_tree> made(new watch_tree(path, recursive));
  if (auto begun = made->begin(into); !begun.ok()) return std::move(begun).error();
  return made;
}

result<unit> watch_tree::begin(events& into) {
  struct stat info;
  if (::stat(root_.c_str(), &info) != 0) return error::system("watch " + root_, errno);
  inotify_ = perilune::detail::unique_fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_) return error::system("watch " + root_ + ": inotify", errno);
  std::string folder = root_;
  if (!S_ISDIR(info.st_mode)) {
    const std::size_t slash = root_.rfind('/');
    folder = slash == std::string::npos ? "." : slash == 0 ? "/" : root_.substr(0, slash);
    only_ = root_.substr(slash + 1);
  }
  root_watch_ = add(folder, 0);
  if (root_watch_ < 0) return error::system("watch " + root_, errno);
  if (recursive_ && only_.empty()) add_below(root_, false, into);
  return unit{};
}

int watch_tree::add(const std::string& path, std::uint32_t flags) {
  const int watch = ::inotify_add_watch(inotify_.get(), path.c_str(), interesting | flags);
  if (watch >= 0) folders_[watch] = path;
  return watch;
}

// Watches what stands in a folder that is watched itself. A folder is watched before it is looked into, so that nothing
// slips through; what is found both ways is told once.
void watch_tree::add_below(const std::string& path, bool told, events& into) {
  std::vector<std::string> open{path};
  while (!open.empty()) {
    const std::string folder = std::move(open.back());
    open.pop_back();
    auto entries = calls::list(folder);
    if (!entries.ok()) {
      if (!vanished(entries.error().code))
        into.push_back({watch_kind::overflow, folder, {}, std::move(entries).error()});
      continue;
    }
    for (const dir_entry& entry : *entries) {
      std::string child = below(folder, entry.name);
      if (told && found_.insert(child).second) into.push_back({watch_kind::created, child});
      if (entry.type != file_type::directory) continue;
      if (add(child, IN_DONT_FOLLOW) >= 0)
        open.push_back(std::move(child));
      else if (const int code = errno; !vanished(code))
        into.push_back({watch_kind::overflow, child, {}, error::system("watch " + child, code)});
    }
  }
}

void watch_tree::forget(const std::string& path) {
  for (auto at = folders_.begin(); at != folders_.end();) {
    const bool lost = at->first != root_watch_ && is_at_or_below(at->second, path);
    if (lost) ::inotify_rm_watch(inotify_.get(), at->first);
    at = lost ? folders_.erase(at) : std::next(at);
  }
}

void watch_tree::arrived(std::string path, bool folder, events& into) {
  if (found_.erase(path) > 0) return;
  into.push_back({watch_kind::created, path});
  if (!folder || !recursive_) return;
  if (add(path, IN_DONT_FOLLOW) >= 0)
    add_below(path, true, into);
  else if (const int code = errno; !vanished(code))
    into.push_back({watch_kind::overflow, path, {}, error::system("watch " + path, code)});
}

void watch_tree::gone(const std::string& path, events& into) {
  found_.erase(path);
  into.push_back({watch_kind::removed, path});
}

void watch_tree::moved(const std::string& from, std::string to, bool folder, events& into) {
  found_.erase(from);
  found_.erase(to);
  into.push_back({watch_kind::renamed, to, from});
  if (!folder || !recursive_) return;
  forget(to);
  for (auto& [watch, path] : folders_)
    if (watch != root_watch_ && is_at_or_below(path, from)) path = to + path.substr(from.size());
  if (add(to, IN_DONT_FOLLOW) >= 0) add_below(to, false, into);
}

// Its other half did not come: it went out of the tree.
void watch_tree::settle_departure(events& into) {
  if (!departure_) return;
  const departure left = *std::exchange(departure_, std::nullopt);
  gone(left.path, into);
  if (left.folder) forget(left.path);
}

void watch_tree::take_named(const inotify_event& event, std::string path, events& into) {
  const bool folder = (event.mask & IN_ISDIR) != 0;
  if (event.mask & IN_MOVED_TO && departure_ && departure_->cookie == event.cookie) {
    const departure left = *std::exchange(departure_, std::nullopt);
    return moved(left.path, std::move(path), folder, into);
  }
  settle_departure(into);
  if (event.mask & (IN_CREATE | IN_MOVED_TO)) return arrived(std::move(path), folder, into);
  if (event.mask & IN_MOVED_FROM) {
    departure_ = {event.cookie, std::move(path), folder};
  } else if (event.mask & IN_DELETE) {
    gone(path, into);
    if (folder) forget(path);
  } else if (!folder) {
    into.push_back({watch_kind::modified, std::move(path)});
  }
}

void watch_tree::take(const inotify_event& event, events& into) {
  if (event.mask & IN_Q_OVERFLOW) {
    settle_departure(into);
    into.push_back({watch_kind::overflow, root_});
    if (recursive_ && only_.empty()) add_below(root_, false, into);
    return;
  }
  const auto found = folders_.find(event.wd);
  if (found == folders_.end()) return;
  if (event.mask & IN_IGNORED) {
    folders_.erase(found);
  } else if (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
    if (event.wd != root_watch_ || over_) return;
    settle_departure(into);
    into.push_back({watch_kind::removed, root_});
    over_ = true;
  } else if (event.len > 0 && (only_.empty() || only_ == event.name)) {
    take_named(event, only_.empty() ? below(found->second, event.name) : root_, into);
  }
}

// The halves of a move are put into the queue one after the other.
bool watch_tree::another_soon() const noexcept {
  constexpr int milliseconds = 1;
  pollfd waits{inotify_.get(), POLLIN, 0};
  return ::poll(&waits, 1, milliseconds) > 0;
}

void watch_tree::read(events& into) {
  alignas(inotify_event) char buffer[16384];
  while (!over_) {
    const ssize_t n = ::read(inotify_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 && departure_ && another_soon()) continue;
    if (n <= 0) break;
    for (const char* at = buffer; at < buffer + n && !over_;) {
      const auto& event = *reinterpret_cast<const inotify_event*>(at);
      take(event, into);
      at += sizeof(inotify_event) + event.len;
    }
  }
  settle_departure(into);
  found_.clear();
}

}  // namespace perilune::fs::detail
