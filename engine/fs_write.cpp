// Writing whole files, atomically unless told otherwise, and temporary names. See fs.hpp.
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_calls.hpp"

namespace perilune::fs::calls {

using perilune::detail::unique_fd;

namespace {

constexpr int attempts = 100;  // at a name nobody has taken

std::string random_name() {
  constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
  unsigned char bytes[10];
  ::arc4random_buf(bytes, sizeof bytes);
  std::string name;
  for (const unsigned char byte : bytes) name += letters[byte % 32];
  return name;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A file of this process's own beside the target; empty and gone again unless it was renamed.
class file_beside {
 public:
  file_beside(const std::string& target, mode_t mode) {
    const std::size_t slash = target.rfind('/');
    const std::size_t name_at = slash == std::string::npos ? 0 : slash + 1;
    const std::string stem = target.substr(0, name_at) + "." + target.substr(name_at, 200) + ".";
    for (int i = 0; i < attempts && !fd_; ++i) {
      path_ = stem + random_name();
      fd_ = unique_fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
      if (!fd_ && errno != EEXIST) break;
    }
    problem_ = fd_ ? 0 : errno;
  }
  ~file_beside() {
    if (problem_ == 0 && !renamed_) ::unlink(path_.c_str());
  }
  file_beside(const file_beside&) = delete;
  file_beside& operator=(const file_beside&) = delete;

  int problem() const noexcept { return problem_; }
  int fd() const noexcept { return fd_.get(); }
  int close() noexcept { return ::close(fd_.release()) == 0 ? 0 : errno; }
  int rename_to(const std::string& target) noexcept {
    if (::rename(path_.c_str(), target.c_str()) != 0) return errno;
    renamed_ = true;
    return 0;
  }

 private:
  std::string path_;
  unique_fd fd_;
  int problem_ = 0;
  bool renamed_ = false;
};

// Owner and mode of the file that is replaced; the owner only where that is allowed.
int take_over(int fd, const struct stat& old) noexcept {
  struct stat now;
  if (::fstat(fd, &now) == 0 && (now.st_uid != old.st_uid || now.st_gid != old.st_gid))
    if (::fchown(fd, old.st_uid, old.st_gid) != 0 && ::fchown(fd, static_cast<uid_t>(-1), old.st_gid) != 0) errno = 0;
  return ::fchmod(fd, old.st_mode & 07777) == 0 ? 0 : errno;
}

result<unit> write_in_place(const std::string& path, std::string_view text, int flags, const write_options& options) {
  unique_fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, options.mode));
  if (!file) return error::system("open " + path, errno);
  if (const int code = write_all(file.get(), text)) return error::system("write " + path, code);
  if (options.flush && ::fsync(file.get()) != 0 && errno != EINVAL && errno != EROFS)
    return error::system("fsync " + path, errno);
  if (::close(file.release()) != 0) return error::system("close " + path, errno);
  return unit{};
}

result<unit> replace(const std::string& target, std::string_view text, const struct stat* old,
                     const write_options& options) {
  file_beside fresh(target, old ? 0600 : static_cast<mode_t>(options.mode));
  if (fresh.problem()) return error::system("create a file beside " + target, fresh.problem());
  if (const int code = old ? take_over(fresh.fd(), *old) : 0)
    return error::system("chmod a file beside " + target, code);
  if (const int code = write_all(fresh.fd(), text)) return error::system("write " + target, code);
  if (options.flush && ::fsync(fresh.fd()) != 0) return error::system("fsync " + target, errno);
  if (const int code = fresh.close()) return error::system("close " + target, code);
  if (const int code = fresh.rename_to(target)) return error::system("rename a new file to " + target, code);
  if (!options.flush) return unit{};
  const unique_fd folder(::open(folder_of(target).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder && ::fsync(folder.get()) != 0 && errno != EINVAL)
    return error::system("fsync " + folder_of(target), errno);
  return unit{};
}

}  // namespace

int write_all(int fd, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

result<unit> write_file(const std::string& path, const std::string& text, const write_options& options) {
  if (!options.atomic) return write_in_place(path, text, O_TRUNC, options);
  struct stat old;
  if (::stat(path.c_str(), &old) != 0) {
    if (errno != ENOENT) return error::system("open " + path, errno);
    struct stat link;
    const bool dangling = ::lstat(path.c_str(), &link) == 0;
    return dangling ? write_in_place(path, text, O_TRUNC, options) : replace(path, text, nullptr, options);
  }
  if (!S_ISREG(old.st_mode)) return write_in_place(path, text, 0, options);
  auto target = real_path(path);
  if (!target.ok()) return std::move(target).error();
  return replace(*target, text, &old, options);
}

result<unit> append_file(const std::string& path, const std::string& text) {
  return write_in_place(path, text, O_APPEND, {.flush = false});
}

result<std::string> make_temp(std::string folder, const std::string& prefix, bool directory) {
  if (auto bad = bad_path(prefix)) return *std::move(bad);
  if (folder.empty()) {
    const char* chosen = ::secure_getenv("TMPDIR");
    folder = chosen && *chosen ? chosen : "/tmp";
  }
  for (int i = 0;; ++i) {
    std::string path = folder + "/" + prefix + random_name();
    if (directory) {
      if (::mkdir(path.c_str(), 0700) == 0) return path;
    } else if (const unique_fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)); file) {
      return path;
    }
    if (errno != EEXIST || i == attempts) return error::system((directory ? "mkdir " : "open ") + path, errno);
  }
}

}  // namespace perilune::fs::calls
