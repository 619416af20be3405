// Going down and up a folder tree. See tree_walk.hpp.
#include "tree_walk.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_calls.hpp"

namespace perilune::fs::detail {

using perilune::detail::unique_fd;

namespace {

std::string with_slash(const std::string& path) { return path.empty() || path.back() == '/' ? path : path + "/"; }

bool vanished(int code) noexcept { return code == ENOENT || code == ENOTDIR; }

}  // namespace

tree_walk::tree_walk(std::string root, walk_options options, gate into)
    : root_(std::move(root)), options_(std::move(options)), into_(std::move(into)) {}

bool tree_walk::excluded(const std::string& name) const noexcept {
  return std::any_of(options_.exclude.begin(), options_.exclude.end(),
                     [&](const std::string& pattern) { return name_matches(pattern, name); });
}

bool tree_walk::loops(dev_t device, ino_t inode) const noexcept {
  return std::any_of(levels_.begin(), levels_.end(),
                     [&](const level& l) { return l.device == device && l.inode == inode; });
}

result<unit> tree_walk::begin() {
  walk_entry root{root_, file_type::directory, 0, {}};
  if (auto bad = calls::bad_path(root_)) return *std::move(bad);
  descend(root, true);
  if (root.problem) return *std::move(root.problem);
  if (levels_.empty()) return error::system("list " + root_, ENOENT);
  return unit{};
}

tree_walk::way tree_walk::way_into(const walk_entry& entry) const {
  if (entry.depth >= options_.max_depth) return way::skip;
  if (entry.type != file_type::directory && entry.type != file_type::link) return way::skip;
  if (into_) return into_(entry);
  return options_.follow_links ? way::list_through_link : way::list;
}

// Makes the folder the innermost level. False when it is no folder any more; an entry with a problem when it cannot be
// read. Behind a link, what is no folder or would be a loop is no problem either: it is not gone into.
bool tree_walk::descend(walk_entry& entry, bool through_link) {
  const bool is_link = entry.type == file_type::link;
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (through_link ? 0 : O_NOFOLLOW);
  const std::string& path = entry.path.empty() ? "." : entry.path;
  unique_fd folder(::open(path.c_str(), flags));
  struct stat info;
  if (!folder || ::fstat(folder.get(), &info) != 0) {
    if (is_link && (vanished(errno) || errno == ELOOP)) return true;
    if (vanished(errno) && entry.depth > 0) return false;
    entry.problem = error::system("list " + path, errno);
    return true;
  }
  if (loops(info.st_dev, info.st_ino)) return true;
  auto entries = calls::list_open(std::move(folder), path);
  if (entries.ok())
    levels_.push_back({with_slash(entry.path), *std::move(entries), 0, info.st_dev, info.st_ino});
  else
    entry.problem = std::move(entries).error();
  return true;
}

bool tree_walk::next(walk_entry& entry) {
  while (!levels_.empty()) {
    level& top = levels_.back();
    if (top.at == top.entries.size()) {
      levels_.pop_back();
      continue;
    }
    const dir_entry& found = top.entries[top.at++];
    if (excluded(found.name)) continue;
    entry = {top.path + found.name, found.type, levels_.size(), {}};
    const way into = way_into(entry);
    const bool goes = into == way::list_through_link || (into == way::list && entry.type == file_type::directory);
    if (!goes || descend(entry, into == way::list_through_link)) return true;
  }
  return false;
}

}  // namespace perilune::fs::detail
