// Calls on whole trees: making the folders of a path, removing and copying what a folder holds. See fs.hpp.
#include <cerrno>
#include <cstdio>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_calls.hpp"

namespace perilune::fs::calls {

using perilune::detail::unique_fd;

namespace {

bool is_folder(const std::string& path) noexcept {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// 0 or errno; 0 too, when asked so, for a folder that is there already.
int make_one(const std::string& path, unsigned mode, bool may_exist) noexcept {
  if (::mkdir(path.c_str(), static_cast<mode_t>(mode)) == 0) return 0;
  const int code = errno;
  return may_exist && is_folder(path) ? 0 : code;
}

// The folders of a tree that is being removed, from its root down. Every step is relative to an open folder, so that
// nobody can lead it out of the tree by putting a symbolic link in the way.
class removal {
 public:
  explicit removal(const std::string& root) : root_(root) {}

  result<unit> run() {
    if (const int code = take(AT_FDCWD, root_)) return error::system("remove " + root_, code);
    while (!levels_.empty()) {
      errno = 0;
      const dirent* entry = ::readdir(levels_.back().folder.get());
      if (!entry && errno) return failed("list", errno);
      if (!entry) {
        if (const int code = leave()) return failed("remove", code);
        continue;
      }
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (const int code = take(::dirfd(levels_.back().folder.get()), std::string(name)))
        return failed("remove", code, "/" + std::string(name));
    }
    return unit{};
  }

 private:
  struct level {
    std::unique_ptr<DIR, int (*)(DIR*)> folder;
    std::string name;
  };

  // Removes what is no folder; a folder becomes the next level.
  int take(int parent, std::string name) {
    if (::unlinkat(parent, name.c_str(), 0) == 0) return 0;
    const int code = errno;
    if (code == ENOENT && !levels_.empty()) return 0;
    if (code != EISDIR && code != EPERM) return code;
    unique_fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return closed_folder(parent, name, errno == ENOTDIR || errno == ELOOP ? code : errno);
    DIR* folder = ::fdopendir(fd.get());
    if (!folder) return errno;
    fd.release();
    levels_.push_back({{folder, [](DIR* d) { return ::closedir(d); }}, std::move(name)});
    return 0;
  }
  // A folder that may not be looked into can still be removed when it is empty.
  static int closed_folder(int parent, const std::string& name, int code) noexcept {
    return code == EACCES && ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 ? 0 : code;
  }
  int leave() {
    const std::string name = std::move(levels_.back().name);
    levels_.pop_back();
    const int parent = levels_.empty() ? AT_FDCWD : ::dirfd(levels_.back().folder.get());
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    const int code = errno;
    failed_at_ = "/" + name;
    return code;
  }
  error failed(const char* call, int code, const std::string& below = {}) const {
    std::string path;
    for (const level& l : levels_) path += path.empty() ? l.name : "/" + l.name;
    path += below.empty() ? failed_at_ : below;
    return error::system(std::string(call) + " " + (levels_.empty() ? root_ : path), code);
  }

  const std::string& root_;
  std::vector<level> levels_;
  std::string failed_at_;
};

// Copies what is left between two open files; the kernel does it where it can.
int copy_bytes(int from, int to) {
  for (;;) {
    const ssize_t n = ::copy_file_range(from, nullptr, to, nullptr, std::size_t{1} << 30, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
  }
  char block[65536];
  for (;;) {
    const ssize_t n = ::read(from, block, sizeof block);
    if (n == 0) return 0;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (const int code = write_all(to, {block, static_cast<std::size_t>(n)})) return code;
  }
}

result<unit> copy_one(const std::string& from, const std::string& to, bool overwrite) {
  const std::string what = "copy " + from + " to " + to;
  const unique_fd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source) return error::system("open " + from, errno);
  struct stat info, there;
  if (::fstat(source.get(), &info) != 0) return error::system("stat " + from, errno);
  if (::stat(to.c_str(), &there) == 0 && there.st_dev == info.st_dev && there.st_ino == info.st_ino)
    return error::system(what + ": the same file", EINVAL);
  unique_fd target(
      ::open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (overwrite ? O_TRUNC : O_EXCL), info.st_mode & 0777));
  if (!target) return error::system("open " + to, errno);
  if (const int code = copy_bytes(source.get(), target.get())) return error::system(what, code);
  if (::fchmod(target.get(), info.st_mode & 07777) != 0) return error::system("chmod " + to, errno);
  if (::close(target.release()) != 0) return error::system("close " + to, errno);
  return unit{};
}

result<unit> copy_link(const std::string& from, const std::string& to, bool overwrite) {
  auto target = read_link(from);
  if (!target.ok()) return std::move(target).error();
  if (overwrite) ::unlink(to.c_str());
  if (::symlink(target->c_str(), to.c_str()) != 0) return error::system("symlink " + to, errno);
  return unit{};
}

result<unit> copy_tree(const std::string& from, const std::string& to, bool overwrite);

result<unit> copy_entry(file_type type, const std::string& from, const std::string& to, bool overwrite) {
  switch (type) {
    case file_type::directory:
      return copy_tree(from, to, overwrite);
    case file_type::link:
      return copy_link(from, to, overwrite);
    case file_type::file:
      return copy_one(from, to, overwrite);
    default:
      return error::system("copy " + from + ", a " + to_string(type), ENOTSUP);
  }
}

// A folder gets its mode when all is in it: it may forbid writing.
result<unit> copy_tree(const std::string& from, const std::string& to, bool overwrite) {
  auto status = stat(from, true);
  if (!status.ok()) return std::move(status).error();
  if (const int code = make_one(to, 0700, true)) return error::system("mkdir " + to, code);
  auto entries = list(from);
  if (!entries.ok()) return std::move(entries).error();
  for (const dir_entry& entry : *entries) {
    const std::string a = from + "/" + entry.name, b = to + "/" + entry.name;
    auto one = copy_entry(entry.type, a, b, overwrite);
    if (!one.ok()) return one;
  }
  if (::chmod(to.c_str(), status->mode) != 0) return error::system("chmod " + to, errno);
  return unit{};
}

}  // namespace

result<unit> make_dir(const std::string& path, bool recursive, unsigned mode) {
  const int code = make_one(path, mode, false);
  if (code == 0) return unit{};
  if (!recursive || (code != ENOENT && code != EEXIST)) return error::system("mkdir " + path, code);
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (const int failed = make_one(part, mode, true)) return error::system("mkdir " + part, failed);
    if (slash == std::string::npos) return unit{};
  }
}

result<unit> remove(const std::string& path, bool recursive) {
  if (recursive) return removal(path).run();
  if (std::remove(path.c_str()) != 0) return error::system("remove " + path, errno);
  return unit{};
}

result<unit> copy(const std::string& from, const std::string& to, const copy_options& options) {
  if (!is_folder(from)) return copy_one(from, to, options.overwrite);
  if (!options.recursive) return error::system("copy " + from, EISDIR);
  auto source = real_path(from);
  if (!source.ok()) return std::move(source).error();
  const std::size_t slash = to.rfind('/');
  auto above = real_path(slash == std::string::npos ? "." : slash == 0 ? "/" : to.substr(0, slash));
  if (above.ok() && (*above + "/").starts_with(*source + "/"))
    return error::system("copy " + from + " into itself", EINVAL);
  return copy_tree(from, to, options.overwrite);
}

}  // namespace perilune::fs::calls
