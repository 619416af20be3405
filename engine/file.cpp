// Calls on an open file. See file.hpp.
#include <perilune/file.hpp>

#include <cerrno>
#include <mutex>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_calls.hpp"

namespace perilune::fs {

using perilune::detail::unique_fd;

namespace detail {

// The descriptor and how many calls are on it. Any thread.
class open_file {
 public:
  open_file(unique_fd fd, std::string path, bool regular) noexcept
      : path_(std::move(path)), regular_(regular), fd_(std::move(fd)) {}

  // -1 when it is closed. Otherwise end_use() has to follow.
  int begin_use() noexcept {
    const std::lock_guard lock(mutex_);
    if (closed_) return -1;
    ++users_;
    return fd_.get();
  }
  void end_use() noexcept {
    const std::lock_guard lock(mutex_);
    if (--users_ == 0 && closed_) fd_.reset();
  }
  // 0 or errno.
  int close() noexcept {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true) || users_ > 0) return 0;
    return ::close(fd_.release()) == 0 ? 0 : errno;
  }
  const std::string& path() const noexcept { return path_; }
  bool regular() const noexcept { return regular_; }

 private:
  const std::string path_;
  const bool regular_;
  std::mutex mutex_;
  unique_fd fd_;
  std::size_t users_ = 0;
  bool closed_ = false;
};

}  // namespace detail

namespace {

using shared_file = std::shared_ptr<detail::open_file>;

class use {
 public:
  explicit use(detail::open_file& of) noexcept : of_(of), fd(of.begin_use()) {}
  ~use() {
    if (fd >= 0) of_.end_use();
  }
  use(const use&) = delete;
  use& operator=(const use&) = delete;

 private:
  detail::open_file& of_;

 public:
  const int fd;
};

// The operation of `fn(fd)`, which returns -1 and leaves errno where it fails.
template <class T, class F>
pending<T> call(const char* name, const char* verb, shared_file on, bool looks, F fn) {
  const bool abandonable = looks && !on->regular();
  return pending<T>({.name = name, .abandonable = abandonable},
                    [on = std::move(on), verb, fn = std::move(fn)]() -> result<T> {
                      const use open(*on);
                      T value{};
                      if (open.fd < 0) errno = EBADF;
                      if (open.fd >= 0 && fn(open.fd, value)) return value;
                      return error::system(verb + (" " + on->path()), errno);
                    });
}

int flags_of(const open_options& o) noexcept {
  const int access = o.read ? (o.write || o.append ? O_RDWR : O_RDONLY) : O_WRONLY;
  return access | O_CLOEXEC | O_NOCTTY | (o.append ? O_APPEND : 0) | (o.create ? O_CREAT : 0) |
         (o.truncate ? O_TRUNC : 0);
}

result<file> open_now(const std::string& path, const open_options& options) {
  if (auto bad = calls::bad_path(path)) return *std::move(bad);
  unique_fd fd(::open(path.c_str(), flags_of(options), options.mode));
  struct stat info;
  if (!fd || ::fstat(fd.get(), &info) != 0) return error::system("open " + path, errno);
  return file(std::make_shared<detail::open_file>(std::move(fd), path, S_ISREG(info.st_mode)));
}

}  // namespace

pending<std::string> file::read(std::size_t at_most) const {
  return call<std::string>("read file", "read", open_, true, [at_most](int fd, std::string& bytes) {
    bytes.resize(at_most);
    ssize_t n = 0;
    do n = ::read(fd, bytes.data(), at_most);
    while (n < 0 && errno == EINTR);
    bytes.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return n >= 0;
  });
}

pending<unit> file::write(std::string text) const {
  return call<unit>("write file", "write", open_, false, [text = std::move(text)](int fd, unit&) {
    const int code = calls::write_all(fd, text);
    errno = code;
    return code == 0;
  });
}

pending<std::uint64_t> file::seek(std::int64_t offset, seek_from from) const {
  constexpr int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
  return call<std::uint64_t>("seek in file", "seek in", open_, false,
                             [offset, at = whence[static_cast<int>(from)]](int fd, std::uint64_t& position) {
                               const off_t now = ::lseek(fd, offset, at);
                               position = static_cast<std::uint64_t>(now);
                               return now >= 0;
                             });
}

pending<unit> file::flush() const {
  return call<unit>("flush file", "fsync", open_, false, [](int fd, unit&) {
    return ::fsync(fd) == 0 || errno == EINVAL || errno == EROFS;  // a pipe or a device has no disk to go to
  });
}

pending<unit> file::close() const {
  return pending<unit>({.name = "close file"}, [on = open_]() -> result<unit> {
    if (const int code = on->close()) return error::system("close " + on->path(), code);
    return unit{};
  });
}

pending<file> open(std::string path, const open_options& options) {
  const bool looks = !options.create && !options.truncate && !options.append && !options.write;
  return pending<file>({.name = "open file", .abandonable = looks},
                       [path = std::move(path), options] { return open_now(path, options); });
}

}  // namespace perilune::fs
