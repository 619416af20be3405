// The operations of perilune::fs, and the calls that look at files. See fs.hpp.
#include <perilune/fs.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_calls.hpp"

namespace perilune::fs {

using perilune::detail::unique_fd;

const char* to_string(file_type type) noexcept {
  constexpr const char* names[] = {"unknown", "file",   "directory",    "link",
                                   "fifo",    "socket", "block device", "char device"};
  return names[static_cast<unsigned char>(type)];
}

namespace calls {

std::optional<error> bad_path(const std::string& path) {
  if (path.find('\0') == std::string::npos) return std::nullopt;
  return error::system("path " + std::string(path.c_str()) + "\\0...", EINVAL);
}

file_type type_of(mode_t mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return file_type::file;
    case S_IFDIR:
      return file_type::directory;
    case S_IFLNK:
      return file_type::link;
    case S_IFIFO:
      return file_type::fifo;
    case S_IFSOCK:
      return file_type::socket;
    case S_IFBLK:
      return file_type::block_device;
    case S_IFCHR:
      return file_type::char_device;
    default:
      return file_type::unknown;
  }
}

file_type type_of_entry(unsigned char d_type) noexcept {
  return d_type == DT_UNKNOWN ? file_type::unknown : type_of(static_cast<mode_t>(DTTOIF(d_type)));
}

namespace {

// Reads until the end. `expected` bytes are likely to come; at most `limit` and one more are read.
result<std::string> read_rest(int fd, std::size_t expected, std::size_t limit, const std::string& path) {
  constexpr std::size_t block = 65536;
  const std::size_t most = limit == unlimited ? unlimited : limit + 1;
  std::string text(std::min(expected + 1, most), '\0');
  for (std::size_t size = 0;;) {
    if (size > limit)
      return error{error_kind::limit, "read " + path + ": longer than " + std::to_string(limit) + " bytes", 0, {}};
    if (size == text.size()) text.resize(std::min(size + std::max(block, size / 2), most));
    const ssize_t n = ::read(fd, text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error::system("read " + path, errno);
    size += static_cast<std::size_t>(n);
    if (n > 0) continue;
    text.resize(size);
    return text;
  }
}

double seconds(const timespec& t) noexcept {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

result<std::string> read_file(const std::string& path, std::size_t limit) {
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return error::system("open " + path, errno);
  struct stat info;
  const bool sized = ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
  return read_rest(file.get(), sized ? static_cast<std::size_t>(info.st_size) : 65535, limit, path);
}

result<std::string> read_link(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  if (n < 0) return error::system("readlink " + path, errno);
  return std::string(target, static_cast<std::size_t>(n));
}

result<file_status> stat(const std::string& path, bool follow) {
  struct stat info;
  if ((follow ? ::stat(path.c_str(), &info) : ::lstat(path.c_str(), &info)) != 0)
    return error::system((follow ? "stat " : "lstat ") + path, errno);
  file_status status;
  status.type = type_of(info.st_mode);
  status.size = static_cast<std::uint64_t>(info.st_size);
  status.modified = seconds(info.st_mtim);
  status.accessed = seconds(info.st_atim);
  status.mode = info.st_mode & 07777;
  status.device = info.st_dev;
  status.inode = info.st_ino;
  status.links = info.st_nlink;
  status.owner = info.st_uid;
  status.group = info.st_gid;
  if (status.type == file_type::link)
    if (auto target = read_link(path); target.ok()) status.target = *std::move(target);
  return status;
}

result<std::vector<dir_entry>> list_open(unique_fd folder, const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::fdopendir(folder.get()), [](DIR* d) { return ::closedir(d); });
  if (!open) return error::system("list " + path, errno);
  folder.release();
  std::vector<dir_entry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(open.get());
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    file_type type = type_of_entry(entry->d_type);
    struct stat info;
    if (type == file_type::unknown && ::fstatat(::dirfd(open.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0)
      type = type_of(info.st_mode);
    entries.push_back({std::string(name), type});
  }
  if (errno) return error::system("list " + path, errno);
  std::sort(entries.begin(), entries.end(), [](const dir_entry& a, const dir_entry& b) { return a.name < b.name; });
  return entries;
}

result<std::vector<dir_entry>> list(const std::string& path) {
  unique_fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return error::system("list " + path, errno);
  return list_open(std::move(folder), path);
}

result<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  if (!real) return error::system("realpath " + path, errno);
  return std::string(real.get());
}

}  // namespace calls

namespace {

constexpr blocking_options looks(const char* name) noexcept {
  return {.name = name, .crew = blocking_crew::files, .abandonable = true};
}
constexpr blocking_options changes(const char* name) noexcept { return {.name = name, .crew = blocking_crew::files}; }

// Makes the operation of `fn(path)`; a path that cannot be one is answered without a call.
template <class F>
auto call(const blocking_options& options, std::string path, F fn) {
  using answer = std::invoke_result_t<F&, const std::string&>;
  return blocking_operation<answer>(options, [path = std::move(path), fn = std::move(fn)]() mutable -> answer {
    if (auto bad = calls::bad_path(path)) return *std::move(bad);
    return fn(path);
  });
}

template <class F>
auto call(const blocking_options& options, std::string path, std::string other, F fn) {
  return call(options, std::move(path),
              [other = std::move(other), fn = std::move(fn)](const std::string& first) -> result<unit> {
                if (auto bad = calls::bad_path(other)) return *std::move(bad);
                return fn(first, other);
              });
}

result<unit> done(int code, std::string what) {
  if (code != 0) return error::system(std::move(what), errno);
  return unit{};
}

}  // namespace

pending<std::string> read_file(std::string path, std::size_t limit) {
  return call(looks("read file"), std::move(path),
              [limit](const std::string& p) { return calls::read_file(p, limit); });
}

pending<unit> write_file(std::string path, std::string text, const write_options& options) {
  return call(changes("write file"), std::move(path),
              [text = std::move(text), options](const std::string& p) { return calls::write_file(p, text, options); });
}

pending<unit> append_file(std::string path, std::string text) {
  return call(changes("append to file"), std::move(path),
              [text = std::move(text)](const std::string& p) { return calls::append_file(p, text); });
}

pending<file_status> stat(std::string path, bool follow) {
  return call(looks("stat"), std::move(path), [follow](const std::string& p) { return calls::stat(p, follow); });
}

pending<std::vector<dir_entry>> list(std::string path) {
  return call(looks("list folder"), std::move(path), [](const std::string& p) { return calls::list(p); });
}

pending<unit> make_dir(std::string path, bool recursive, unsigned mode) {
  return call(changes("mkdir"), std::move(path),
              [recursive, mode](const std::string& p) { return calls::make_dir(p, recursive, mode); });
}

pending<unit> remove(std::string path, bool recursive) {
  return call(changes("remove"), std::move(path),
              [recursive](const std::string& p) { return calls::remove(p, recursive); });
}

pending<unit> rename(std::string from, std::string to) {
  return call(changes("rename"), std::move(from), std::move(to), [](const std::string& a, const std::string& b) {
    return done(std::rename(a.c_str(), b.c_str()), "rename " + a + " to " + b);
  });
}

pending<unit> copy(std::string from, std::string to, const copy_options& options) {
  return call(changes("copy"), std::move(from), std::move(to),
              [options](const std::string& a, const std::string& b) { return calls::copy(a, b, options); });
}

pending<std::string> temp_file(std::string folder, std::string prefix) {
  return call(changes("make temporary file"), std::move(folder),
              [prefix = std::move(prefix)](const std::string& in) { return calls::make_temp(in, prefix, false); });
}

pending<std::string> temp_dir(std::string folder, std::string prefix) {
  return call(changes("make temporary folder"), std::move(folder),
              [prefix = std::move(prefix)](const std::string& in) { return calls::make_temp(in, prefix, true); });
}

pending<std::string> real_path(std::string path) {
  return call(looks("realpath"), std::move(path), [](const std::string& p) { return calls::real_path(p); });
}

pending<std::string> read_link(std::string path) {
  return call(looks("readlink"), std::move(path), [](const std::string& p) { return calls::read_link(p); });
}

pending<unit> make_symlink(std::string target, std::string path) {
  return call(changes("symlink"), std::move(target), std::move(path), [](const std::string& to, const std::string& p) {
    return done(::symlink(to.c_str(), p.c_str()), "symlink " + p);
  });
}

pending<unit> set_mode(std::string path, unsigned mode) {
  return call(changes("chmod"), std::move(path), [mode](const std::string& p) {
    return done(::chmod(p.c_str(), static_cast<mode_t>(mode)), "chmod " + p);
  });
}

}  // namespace perilune::fs
