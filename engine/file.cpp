// Calls on an open file. See file.hpp.
#include <perilune/file.hpp>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_calls.hpp"

namespace perilune::fs {

using perilune::detail::unique_fd;

namespace detail {

// A read on its way through the pool. Its result is written, and `given_up` read, under the file's mutex.
class read_call final : public perilune::detail::typed_call<result<std::string>> {
 public:
  read_call(std::shared_ptr<open_file> on, std::size_t bytes, bool abandonable)
      : typed_call({.name = "read file",
                    .crew = abandonable ? blocking_crew::pool : blocking_crew::files,
                    .abandonable = abandonable}),
        at_most(bytes),
        on_(std::move(on)) {}
  void call() override;

  const std::size_t at_most;
  bool given_up = false;

 private:
  const std::shared_ptr<open_file> on_;
};

// The descriptor and how many calls are on it, and what was read for nobody. Any thread.
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

  // Reads into the call's result. Where a read may take for ever one thread is in it at a time; the others wait for what it
  // brings, which is the next one's when its own call was given up.
  void read(int fd, read_call& call);
  // Nobody wants what the call brings or has brought.
  void give_up(read_call& call) noexcept;

 private:
  result<std::string> read_some(int fd, std::size_t at_most) const;

  const std::string path_;
  const bool regular_;
  std::mutex mutex_;
  unique_fd fd_;
  std::size_t users_ = 0;
  bool closed_ = false;
  std::condition_variable read_ended_;
  bool reading_ = false;  // this and below: not of a regular file
  std::string unread_;    // brought by calls that were given up
};

result<std::string> open_file::read_some(int fd, std::size_t at_most) const {
  std::string bytes(at_most, '\0');
  ssize_t n = 0;
  do n = ::read(fd, bytes.data(), at_most);
  while (n < 0 && errno == EINTR);
  if (n < 0) return error::system("read " + path_, errno);
  bytes.resize(static_cast<std::size_t>(n));
  return bytes;
}

void open_file::read(int fd, read_call& call) {
  if (regular_) return static_cast<void>(call.end.emplace<1>(read_some(fd, call.at_most)));
  std::unique_lock lock(mutex_);
  read_ended_.wait(lock, [&] { return call.given_up || !unread_.empty() || !reading_; });
  if (call.given_up) return;
  if (!unread_.empty()) {
    call.end.emplace<1>(unread_.substr(0, call.at_most));
    unread_.erase(0, call.at_most);
    return;
  }
  reading_ = true;
  lock.unlock();
  auto got = read_some(fd, call.at_most);
  lock.lock();
  reading_ = false;
  if (call.given_up && got)
    unread_ += *got;
  else
    call.end.emplace<1>(std::move(got));
  read_ended_.notify_all();
}

void open_file::give_up(read_call& call) noexcept {
  const std::lock_guard lock(mutex_);
  call.given_up = true;
  if (auto* got = std::get_if<1>(&call.end); got && *got) unread_ = std::move(**got).append(unread_);
  read_ended_.notify_all();
}

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

error failed(const detail::open_file& on, const char* verb, int code) {
  return error::system(verb + (" " + on.path()), code);
}

// The operation of `fn(fd)`, which returns -1 and leaves errno where it fails.
template <class T, class F>
pending<T> call(const char* name, const char* verb, shared_file on, F fn) {
  return pending<T>({.name = name}, [on = std::move(on), verb, fn = std::move(fn)]() -> result<T> {
    const use open(*on);
    T value{};
    if (open.fd < 0) errno = EBADF;
    if (open.fd >= 0 && fn(open.fd, value)) return value;
    return failed(*on, verb, errno);
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

void detail::read_call::call() {
  const use open(*on_);
  if (open.fd < 0)
    end.emplace<1>(failed(*on_, "read", EBADF));
  else
    on_->read(open.fd, *this);
}

namespace {

std::shared_ptr<detail::read_call> make_read(const shared_file& on, std::size_t at_most) {
  return std::make_shared<detail::read_call>(on, at_most, !on->regular());
}

}  // namespace

file_read::file_read(shared_file on, std::size_t at_most)
    : blocking_wait(make_read(on, at_most)), on_(std::move(on)), at_most_(at_most) {}

file_read::~file_read() {
  if (on_ && !given_up_) give_up();
}

void file_read::give_up() noexcept {
  if (on_->regular()) return;
  on_->give_up(static_cast<detail::read_call&>(call()));
  given_up_ = true;
}

void file_read::arm(waiter& by) {
  if (given_up_) replace(make_read(on_, at_most_));
  given_up_ = false;
  blocking_wait::arm(by);
}

void file_read::disarm(waiter& by) noexcept {
  blocking_wait::disarm(by);
  give_up();
}

bool file_read::give_back(waiter& by) noexcept {
  if (!blocking_wait::give_back(by)) return false;
  give_up();
  return true;
}

result<std::string> file_read::take_result() {
  auto& own = static_cast<detail::read_call&>(call());
  auto end = std::exchange(own.end, {});
  own.ready = own.submitted = false;
  if (auto* failure = std::get_if<2>(&end)) std::rethrow_exception(*failure);
  return std::move(*std::get_if<1>(&end));
}

pending<unit> file::write(std::string text) const {
  return call<unit>("write file", "write", open_, [text = std::move(text)](int fd, unit&) {
    const int code = calls::write_all(fd, text);
    errno = code;
    return code == 0;
  });
}

pending<std::uint64_t> file::seek(std::int64_t offset, seek_from from) const {
  constexpr int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
  return call<std::uint64_t>("seek in file", "seek in", open_,
                             [offset, at = whence[static_cast<int>(from)]](int fd, std::uint64_t& position) {
                               const off_t now = ::lseek(fd, offset, at);
                               position = static_cast<std::uint64_t>(now);
                               return now >= 0;
                             });
}

pending<unit> file::flush() const {
  return call<unit>("flush file", "fsync", open_, [](int fd, unit&) {
    return ::fsync(fd) == 0 || errno == EINVAL || errno == EROFS;  // a pipe or a device has no disk to go to
  });
}

pending<unit> file::close() const {
  return pending<unit>({.name = "close file", .crew = blocking_crew::files}, [on = open_]() -> result<unit> {
    if (const int code = on->close()) return error::system("close " + on->path(), code);
    return unit{};
  });
}

pending<file> open(std::string path, const open_options& options) {
  const bool looks = !options.create && !options.truncate && !options.append && !options.write;
  return pending<file>({.name = "open file", .crew = blocking_crew::files, .abandonable = looks},
                       [path = std::move(path), options] { return open_now(path, options); });
}

}  // namespace perilune::fs
