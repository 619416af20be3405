// The file system calls themselves. See file_calls.hpp.
#include "file_calls.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace perilune {

namespace {

constexpr std::size_t block = std::size_t{64} * 1024;

file_answer failed(const char* call, int code = errno) {
  file_answer answer;
  answer.call = call;
  answer.code = code;
  return answer;
}

// An open file that closes itself.
class descriptor {
 public:
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

const char* type_of(mode_t mode) noexcept {
  if (S_ISREG(mode)) return "file";
  if (S_ISDIR(mode)) return "directory";
  if (S_ISLNK(mode)) return "link";
  if (S_ISFIFO(mode)) return "fifo";
  if (S_ISSOCK(mode)) return "socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "device";
  return "other";
}

const char* type_of_entry(unsigned char type) noexcept {
  return type == DT_UNKNOWN ? "unknown" : type_of(static_cast<mode_t>(DTTOIF(type)));
}

// Appends up to `most` bytes; true at the end of the file. -1 in `got` when reading failed.
bool read_into(int fd, std::string& text, std::size_t most, ssize_t& got) {
  const std::size_t before = text.size();
  const std::size_t wanted = std::min(most, block);
  text.resize(before + wanted);
  do got = ::read(fd, text.data() + before, wanted);
  while (got < 0 && errno == EINTR);
  text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return got == 0;
}

bool write_all(int fd, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    done += static_cast<std::size_t>(wrote);
  }
  return true;
}

file_answer read_file(const file_request& request) {
  descriptor file(::open(request.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return failed("open");
  file_answer answer;
  ssize_t got = 0;
  while (!read_into(file.get(), answer.text, block, got))
    if (got < 0) return failed("read");
  return answer;
}

file_answer write_plain(const file_request& request, int flags) {
  descriptor file(::open(request.path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666));
  if (!file) return failed("open");
  if (!write_all(file.get(), request.other)) return failed("write");
  if (::close(file.release()) != 0) return failed("close");
  return {};
}

// The name the file really has: a symbolic link is followed, so that it stays one.
std::string target_of(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  std::string target = real ? real : path;
  std::free(real);
  return target;
}

// A new file in the target's folder, with the mode a new file gets; -1 and errno when there can be none.
int open_beside(const std::string& target, std::string& name) {
  static std::atomic<unsigned> count{0};
  for (int attempt = 0; attempt < 100; ++attempt) {
    name = target + ".new-" + std::to_string(::getpid()) + "-" + std::to_string(count.fetch_add(1));
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

// A temporary file beside the target, written, flushed to the disk and renamed over it.
file_answer write_atomic(const file_request& request) {
  const std::string target = target_of(request.path);
  std::string temporary;
  descriptor file(open_beside(target, temporary));
  if (!file) return failed("open");
  const auto give_up = [&](const char* call) {
    const int code = errno;
    ::unlink(temporary.c_str());
    return failed(call, code);
  };
  struct stat old {};
  if (::stat(target.c_str(), &old) == 0 && ::fchmod(file.get(), old.st_mode & 07777) != 0) return give_up("chmod");
  if (!write_all(file.get(), request.other)) return give_up("write");
  if (::fsync(file.get()) != 0) return give_up("fsync");
  if (::close(file.release()) != 0) return give_up("close");
  if (::rename(temporary.c_str(), target.c_str()) != 0) return give_up("rename");
  return {};
}

file_answer look_up(const file_request& request) {
  struct stat info {};
  const int done = request.follow ? ::stat(request.path.c_str(), &info) : ::lstat(request.path.c_str(), &info);
  if (done != 0) return failed("stat");
  file_answer answer;
  file_facts& facts = answer.facts;
  facts.type = type_of(info.st_mode);
  facts.size = info.st_size;
  facts.modified = static_cast<double>(info.st_mtim.tv_sec) + static_cast<double>(info.st_mtim.tv_nsec) * 1e-9;
  facts.accessed = static_cast<double>(info.st_atim.tv_sec) + static_cast<double>(info.st_atim.tv_nsec) * 1e-9;
  facts.mode = info.st_mode & 07777;
  facts.inode = info.st_ino;
  facts.device = info.st_dev;
  facts.links = info.st_nlink;
  facts.owner = info.st_uid;
  facts.group = info.st_gid;
  return answer;
}

file_answer list_folder(const file_request& request) {
  DIR* folder = ::opendir(request.path.c_str());
  if (!folder) return failed("opendir");
  file_answer answer;
  errno = 0;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") answer.entries.push_back({name, type_of_entry(entry->d_type)});
    errno = 0;
  }
  const int code = errno;
  ::closedir(folder);
  if (code) return failed("readdir", code);
  std::sort(answer.entries.begin(), answer.entries.end(),
            [](const file_entry& a, const file_entry& b) { return a.name < b.name; });
  return answer;
}

file_answer from_library(const char* call, const std::error_code& code) {
  return code ? failed(call, code.value()) : file_answer{};
}

file_answer make_folder(const file_request& request) {
  std::error_code code;
  if (request.recursive) {
    std::filesystem::create_directories(request.path, code);
    return from_library("mkdir", code);
  }
  return ::mkdir(request.path.c_str(), 0777) == 0 ? file_answer{} : failed("mkdir");
}

file_answer remove_path(const file_request& request) {
  std::error_code code;
  if (request.recursive) {
    const auto removed = std::filesystem::remove_all(request.path, code);
    if (!code && removed == 0) return failed("remove", ENOENT);
    return from_library("remove", code);
  }
  return std::remove(request.path.c_str()) == 0 ? file_answer{} : failed("remove");
}

file_answer copy_file(const file_request& request) {
  std::error_code code;
  std::filesystem::copy_file(request.path, request.other, std::filesystem::copy_options::overwrite_existing, code);
  return from_library("copy", code);
}

std::string temporary_name(const file_request& request) {
  if (!request.path.empty()) return request.path;
  const char* folder = std::getenv("TMPDIR");
  return std::string(folder && *folder ? folder : "/tmp") + "/perilune-XXXXXX";
}

file_answer make_temporary(const file_request& request) {
  file_answer answer;
  answer.text = temporary_name(request);
  if (request.verb == file_verb::temp_dir) return ::mkdtemp(answer.text.data()) ? answer : failed("mkdtemp");
  descriptor file(::mkostemp(answer.text.data(), O_CLOEXEC));
  return file ? answer : failed("mkstemp");
}

file_answer real_path(const file_request& request) {
  char* real = ::realpath(request.path.c_str(), nullptr);
  if (!real) return failed("realpath");
  file_answer answer;
  answer.text = real;
  std::free(real);
  return answer;
}

int flags_of(const std::string& mode) noexcept {
  const bool both = mode.find('+') != std::string::npos;
  switch (mode.empty() ? 'r' : mode[0]) {
    case 'w':
      return (both ? O_RDWR : O_WRONLY) | O_CREAT | O_TRUNC;
    case 'a':
      return (both ? O_RDWR : O_WRONLY) | O_CREAT | O_APPEND;
    default:
      return both ? O_RDWR : O_RDONLY;
  }
}

file_answer open_file(const file_request& request) {
  file_answer answer;
  answer.descriptor = ::open(request.path.c_str(), flags_of(request.other) | O_CLOEXEC, 0666);
  return answer.descriptor >= 0 ? answer : failed("open");
}

file_answer read_some(const file_request& request) {
  file_answer answer;
  ssize_t got = 0;
  answer.at_end = read_into(request.descriptor, answer.text, static_cast<std::size_t>(request.amount), got);
  return got < 0 ? failed("read") : answer;
}

file_answer seek_file(const file_request& request) {
  file_answer answer;
  answer.number = ::lseek(request.descriptor, request.amount, request.whence);
  return answer.number >= 0 ? answer : failed("seek");
}

}  // namespace

file_answer perform_file_request(const file_request& request) {
  switch (request.verb) {
    case file_verb::read: return read_file(request);
    case file_verb::write: return request.atomic ? write_atomic(request) : write_plain(request, O_TRUNC);
    case file_verb::append: return write_plain(request, O_APPEND);
    case file_verb::stat: return look_up(request);
    case file_verb::list: return list_folder(request);
    case file_verb::mkdir: return make_folder(request);
    case file_verb::remove: return remove_path(request);
    case file_verb::rename:
      return ::rename(request.path.c_str(), request.other.c_str()) == 0 ? file_answer{} : failed("rename");
    case file_verb::copy: return copy_file(request);
    case file_verb::temp_file:
    case file_verb::temp_dir: return make_temporary(request);
    case file_verb::real_path: return real_path(request);
    case file_verb::open: return open_file(request);
    case file_verb::read_some: return read_some(request);
    case file_verb::write_some: return write_all(request.descriptor, request.other) ? file_answer{} : failed("write");
    case file_verb::seek: return seek_file(request);
    case file_verb::close: return ::close(request.descriptor) == 0 ? file_answer{} : failed("close");
  }
  return failed("file", ENOSYS);
}

}  // namespace perilune
