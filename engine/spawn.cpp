// posix_spawn and all that has to be ready before it. See spawn.hpp.
#include "spawn.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace perilune::detail {

namespace {

int open_pidfd(pid_t pid) noexcept { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// 0, or why this kernel cannot tell of an exit through a descriptor.
int pidfd_problem() noexcept {
  static const int problem = [] {
    const unique_fd probe(open_pidfd(::getpid()));
    return probe ? 0 : errno;
  }();
  return problem;
}

// The environment of the child as execve wants it. Points into this process's one where nothing was changed.
class environment {
 public:
  explicit environment(const process_options& options) {
    if (!options.clear_env && options.env.empty()) return;
    changed_ = true;
    if (!options.clear_env)
      for (char** entry = environ; *entry; ++entry)
        if (!named(options, *entry)) pointers_.push_back(*entry);
    own_.reserve(options.env.size());
    for (const auto& [name, value] : options.env)
      if (value) pointers_.push_back(own_.emplace_back(name + "=" + *value).data());
    pointers_.push_back(nullptr);
  }
  char* const* get() const noexcept { return changed_ ? pointers_.data() : environ; }
  const char* path() const noexcept {
    for (char* const* entry = get(); *entry; ++entry)
      if (std::string_view(*entry).starts_with("PATH=")) return *entry + 5;
    return "/usr/local/bin:/usr/bin:/bin";
  }

 private:
  static bool named(const process_options& options, std::string_view entry) noexcept {
    const std::string_view name = entry.substr(0, entry.find('='));
    return std::any_of(options.env.begin(), options.env.end(),
                       [&](const auto& change) { return change.first == name; });
  }
  bool changed_ = false;
  std::vector<std::string> own_;
  std::vector<char*> pointers_;
};

// The program's path, or the errno of the best candidate.
int find_program(const std::string& name, const char* path, std::string& found) {
  if (name.find('/') != std::string::npos) {
    found = name;
    return 0;
  }
  int problem = ENOENT;
  for (std::string_view rest = path;;) {
    const std::size_t colon = rest.find(':');
    const std::string_view folder = rest.substr(0, colon);
    found.assign(folder.empty() ? "." : folder).append("/").append(name);
    struct stat info;
    if (::stat(found.c_str(), &info) == 0 && S_ISREG(info.st_mode)) {
      if (::access(found.c_str(), X_OK) == 0) return 0;
      problem = errno;
    }
    if (colon == std::string_view::npos) return problem;
    rest.remove_prefix(colon + 1);
  }
}

class spawn_plan {
 public:
  spawn_plan() noexcept {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
  }
  ~spawn_plan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  spawn_plan(const spawn_plan&) = delete;
  spawn_plan& operator=(const spawn_plan&) = delete;

  void set_signals_and_group(bool own_group) noexcept {
    sigset_t set;
    ::sigfillset(&set);
    ::posix_spawnattr_setsigdefault(&attributes_, &set);
    ::sigemptyset(&set);
    ::posix_spawnattr_setsigmask(&attributes_, &set);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    const int group = own_group ? POSIX_SPAWN_SETPGROUP : 0;
    ::posix_spawnattr_setflags(&attributes_,
                               static_cast<short>(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | group));
  }
  void set_folder(const std::string& path) noexcept {
    if (!path.empty()) ::posix_spawn_file_actions_addchdir_np(&actions_, path.c_str());
  }
  // Makes `as` in the child what `from` is here.
  void connect(int from, int as) noexcept { ::posix_spawn_file_actions_adddup2(&actions_, from, as); }

  int start(pid_t& pid, const std::string& program, char* const* argv, char* const* envp) const noexcept {
    return ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, argv, envp);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// Above the standard streams, so that connecting one does not overwrite another.
unique_fd lifted(unique_fd fd) noexcept {
  if (!fd || fd.get() > STDERR_FILENO) return fd;
  return unique_fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

int open_flags(const stdio& stream, int as) noexcept {
  if (as == STDIN_FILENO) return O_RDONLY;
  return O_WRONLY | O_CREAT | (stream.what() == stdio::kind::append ? O_APPEND : O_TRUNC);
}

// A FIFO nobody has opened yet must not stop the worker: it is opened without waiting, then made to block again.
result<unique_fd> open_stream(const stdio& stream, int as) {
  unique_fd fd(::open(stream.value().c_str(), open_flags(stream, as) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666));
  if (fd) fd = lifted(std::move(fd));
  if (!fd) return error::system("open " + stream.value(), errno);
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return fd;
}

result<unique_fd> null_device(int as) {
  unique_fd fd = lifted(unique_fd(::open("/dev/null", (as == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_CLOEXEC)));
  if (!fd) return error::system("open /dev/null", errno);
  return fd;
}

// Both ends; `ours` is the one that is not the child's.
result<unique_fd> make_pipe(int as, unique_fd& ours) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return error::system("pipe", errno);
  unique_fd read_end = lifted(unique_fd(ends[0]));
  unique_fd write_end = lifted(unique_fd(ends[1]));
  if (!read_end || !write_end) return error::system("pipe", errno);
  ours = std::move(as == STDIN_FILENO ? write_end : read_end);
  return std::move(as == STDIN_FILENO ? read_end : write_end);
}

// Prepares one standard stream. Yields the child's descriptor to keep until it has started, where there is one.
result<unique_fd> prepare(spawn_plan& plan, const stdio& stream, int as, unique_fd& ours) {
  result<unique_fd> theirs = unique_fd();
  switch (stream.what()) {
    case stdio::kind::inherit:
      return theirs;
    case stdio::kind::output:
      plan.connect(STDOUT_FILENO, as);
      return theirs;
    case stdio::kind::descriptor:
      plan.connect(stream.fd(), as);
      return theirs;
    case stdio::kind::null:
      theirs = null_device(as);
      break;
    case stdio::kind::file:
    case stdio::kind::append:
      theirs = open_stream(stream, as);
      break;
    case stdio::kind::pipe:
    case stdio::kind::text:
      theirs = make_pipe(as, ours);
      break;
  }
  if (theirs.ok()) plan.connect(theirs.value().get(), as);
  return theirs;
}

std::optional<error> check(const process_options& options) {
  const auto misuse = [](std::string text) {
    return error{error_kind::misuse, "spawn: " + std::move(text), EINVAL, {}};
  };
  if (options.argv.empty() || options.argv[0].empty()) return misuse("argv names no program");
  const auto torn = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  for (const std::string& word : options.argv)
    if (torn(word)) return misuse("a word of argv contains a NUL byte");
  for (const auto& [name, value] : options.env)
    if (name.empty() || torn(name) || name.find('=') != std::string::npos || (value && torn(*value)))
      return misuse("bad environment variable '" + name + "'");
  const bool text = options.in.what() == stdio::kind::text;
  if (torn(options.cwd) || (!text && torn(options.in.value())) || torn(options.out.value()) ||
      torn(options.err.value()))
    return misuse("a path contains a NUL byte");
  if (const int code = pidfd_problem()) return error::system("spawn " + options.argv[0] + ": pidfd_open", code);
  return std::nullopt;
}

error start_error(const process_options& options, int code) {
  struct stat folder;
  const bool bad_folder =
      !options.cwd.empty() && (::stat(options.cwd.c_str(), &folder) != 0 || !S_ISDIR(folder.st_mode) ||
                               ::access(options.cwd.c_str(), X_OK) != 0);
  return error::system("spawn " + options.argv[0] + (bad_folder ? " in " + options.cwd : ""), code);
}

}  // namespace

std::string short_name(const process_options& options) {
  const std::string& program = options.argv[0];
  return program.substr(program.rfind('/') + 1);
}

result<launched> launch(const process_options& options) {
  if (auto problem = check(options)) return *std::move(problem);
  spawn_plan plan;
  launched made;
  plan.set_signals_and_group(options.own_group);
  auto in = prepare(plan, options.in, STDIN_FILENO, made.input);
  auto out = in.ok() ? prepare(plan, options.out, STDOUT_FILENO, made.output) : unique_fd();
  auto err = out.ok() && in.ok() ? prepare(plan, options.err, STDERR_FILENO, made.errors) : unique_fd();
  for (auto* stream : {&in, &out, &err})
    if (!stream->ok())
      return error{
          error_kind::io, "spawn " + options.argv[0] + ": " + stream->error().message, stream->error().code, {}};
  plan.set_folder(options.cwd);

  const environment env(options);
  std::string program;
  if (const int code = find_program(options.argv[0], env.path(), program)) return start_error(options, code);
  std::vector<char*> argv;
  argv.reserve(options.argv.size() + 1);
  for (const std::string& word : options.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  if (const int code = plan.start(made.pid, program, argv.data(), env.get())) return start_error(options, code);
  made.pidfd = unique_fd(open_pidfd(made.pid));
  if (made.pidfd) return made;
  const int code = errno;
  ::kill(options.own_group ? -made.pid : made.pid, SIGKILL);
  while (::waitpid(made.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return error::system("spawn " + options.argv[0] + ": pidfd_open", code);
}

}  // namespace perilune::detail
