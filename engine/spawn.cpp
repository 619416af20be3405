// All that has to be ready before a child is made. See spawn.hpp.
#include "spawn.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include <fcntl.h>
#include <signal.h>
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

bool is_changed(const process_options& options, std::string_view entry) noexcept {
  const std::string_view name = entry.substr(0, entry.find('='));
  return std::any_of(options.env.begin(), options.env.end(), [&](const auto& change) { return change.first == name; });
}

// What is not changed stays where this process has it.
void set_environment(program_start& start, const process_options& options) {
  if (!options.clear_env)
    for (char** entry = environ; *entry; ++entry)
      if (!is_changed(options, *entry)) start.environment.push_back(*entry);
  start.own_environment.reserve(options.env.size());
  for (const auto& [name, value] : options.env) {
    if (!value) continue;
    std::string& entry = start.own_environment.emplace_back();
    entry.reserve(name.size() + 1 + value->size());
    entry.append(name).append(1, '=').append(*value);
    start.environment.push_back(entry.data());
  }
}

const char* path_of(const program_start& start) noexcept {
  for (const char* entry : start.environment)
    if (std::string_view(entry).starts_with("PATH=")) return entry + 5;
  return "/usr/local/bin:/usr/bin:/bin";
}

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
result<unique_fd> prepare(program_start& start, const stdio& stream, int as, unique_fd& ours) {
  result<unique_fd> theirs = unique_fd();
  switch (stream.what()) {
    case stdio::kind::inherit:
      return theirs;
    case stdio::kind::output:
      start.connect(STDOUT_FILENO, as);
      return theirs;
    case stdio::kind::descriptor:
      start.connect(stream.fd(), as);
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
  if (theirs.ok()) start.connect(theirs.value().get(), as);
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

}  // namespace

std::string short_name(const process_options& options) {
  const std::string& program = options.argv[0];
  return program.substr(program.rfind('/') + 1);
}

error start_error(const std::string& program, const std::string& folder, int code) {
  struct stat info;
  const bool bad_folder = !folder.empty() && (::stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) ||
                                              ::access(folder.c_str(), X_OK) != 0);
  return error::system("spawn " + program + (bad_folder ? " in " + folder : ""), code);
}

result<launched> launch(const process_options& options) {
  if (auto problem = check(options)) return *std::move(problem);
  launched made;
  made.start = std::make_unique_for_overwrite<program_start>();
  program_start& start = *made.start;
  start.own_group = options.own_group;
  auto in = prepare(start, options.in, STDIN_FILENO, made.input);
  auto out = in.ok() ? prepare(start, options.out, STDOUT_FILENO, made.output) : unique_fd();
  auto err = out.ok() && in.ok() ? prepare(start, options.err, STDERR_FILENO, made.errors) : unique_fd();
  for (auto* stream : {&in, &out, &err})
    if (!stream->ok())
      return error{
          error_kind::io, "spawn " + options.argv[0] + ": " + stream->error().message, stream->error().code, {}};
  start.folder = options.cwd;
  start.words = options.argv;
  set_environment(start, options);
  if (const int code = find_program(options.argv[0], path_of(start), start.program))
    return start_error(options.argv[0], options.cwd, code);
  if (const int code = start.go(made.pid, made.pidfd)) return start_error(options.argv[0], options.cwd, code);
  if (!options.confirm_start) return made;
  start.wait_until_over();
  const int code = start.problem();
  made.start.reset();
  if (!code) return made;
  while (::waitpid(made.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return start_error(options.argv[0], options.cwd, code);
}

}  // namespace perilune::detail
