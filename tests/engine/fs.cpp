// Whole-file calls and calls on trees, on real folders.
#include <perilune/fs.hpp>
#include <perilune/runtime.hpp>
#include <perilune/timer.hpp>

#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/as_nobody.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

template <class T>
task<result<T>> awaited(fs::pending<T> call) {
  co_return co_await std::move(call);
}

// What the call yields, in a runtime of its own.
template <class T>
result<T> outcome_of(fs::pending<T> call) {
  runtime rt;
  auto end = rt.run(awaited(std::move(call)));
  REQUIRE(end.returned());
  return std::move(end).value();
}

template <class T>
T value_of(fs::pending<T> call) {
  auto got = outcome_of(std::move(call));
  if (!got.ok()) FAIL(got.error().message);
  return *std::move(got);
}

template <class T>
std::string message_of(fs::pending<T> call) {
  auto got = outcome_of(std::move(call));
  REQUIRE_FALSE(got.ok());
  CHECK(got.error().kind == error_kind::io);
  CHECK(got.error().code != 0);
  return got.error().message;
}

std::vector<std::string> names(const std::vector<fs::dir_entry>& entries) {
  std::vector<std::string> all;
  for (const auto& entry : entries) all.push_back(entry.name);
  return all;
}

unsigned mode_of(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
}

}  // namespace

TEST_CASE("fs: a file is written, read, appended to", "[fs]") {
  const temp_folder folder;
  const std::string path = folder / "text", big(300'000, 'b');
  value_of(fs::write_file(path, std::string("one\0two", 7)));
  CHECK(value_of(fs::read_file(path)) == std::string("one\0two", 7));
  value_of(fs::append_file(path, "!"));
  value_of(fs::append_file(folder / "new", big));
  CHECK(value_of(fs::read_file(path)).size() == 8);
  CHECK(value_of(fs::read_file(folder / "new")) == big);
  CHECK(value_of(fs::read_file("/proc/self/stat")).size() > 10);
  const auto limited = outcome_of(fs::read_file(folder / "new", 1000));
  CHECK(limited.error().kind == error_kind::limit);
  CHECK(value_of(fs::read_file(folder / "new", big.size())) == big);
}

TEST_CASE("fs: errors name the call and the path", "[fs]") {
  const temp_folder folder;
  folder.write("file", "");
  const std::string none = folder / "none", file = folder / "file";
  const std::string missing = ": No such file or directory";
  CHECK(message_of(fs::read_file(none)) == "open " + none + missing);
  CHECK(message_of(fs::stat(none)) == "stat " + none + missing);
  CHECK(message_of(fs::list(none)) == "list " + none + missing);
  CHECK(message_of(fs::remove(none)) == "remove " + none + missing);
  CHECK(message_of(fs::remove(none, true)) == "remove " + none + missing);
  CHECK(message_of(fs::rename(none, file)) == "rename " + none + " to " + file + missing);
  CHECK(message_of(fs::copy(none, file)) == "open " + none + missing);
  CHECK(message_of(fs::real_path(none)) == "realpath " + none + missing);
  CHECK(message_of(fs::make_dir(file)) == "mkdir " + file + ": File exists");
  CHECK(message_of(fs::make_dir(file + "/a/b", true)) == "mkdir " + file + "/a/b: Not a directory");
  CHECK(message_of(fs::list(file)) == "list " + file + ": Not a directory");
  CHECK(message_of(fs::read_file(folder.path())) == "read " + folder.path() + ": Is a directory");
  CHECK(message_of(fs::read_link(file)) == "readlink " + file + ": Invalid argument");
  CHECK(outcome_of(fs::read_file(std::string("a\0b", 3))).error().code == EINVAL);
}

TEST_CASE("fs: an atomic write replaces the file, keeps its mode and leaves nothing beside it", "[fs]") {
  const temp_folder folder;
  const std::string path = folder / "config";
  folder.write("config", "old");
  REQUIRE(::chmod(path.c_str(), 0640) == 0);
  REQUIRE(::symlink("config", (folder / "link").c_str()) == 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  value_of(fs::write_file(folder / "link", "new"));
  char old[8] = {};
  CHECK(::read(reader, old, sizeof old) == 3);
  CHECK(std::string(old) == "old");
  ::close(reader);
  CHECK(folder.read("config") == "new");
  CHECK(mode_of(path) == 0640);
  CHECK(value_of(fs::stat(folder / "link", false)).type == fs::file_type::link);
  CHECK(value_of(fs::stat(folder / "link", false)).target == "config");
  CHECK(names(value_of(fs::list(folder.path()))) == std::vector<std::string>{"config", "link"});
  const mode_t mask = ::umask(027);
  value_of(fs::write_file(folder / "fresh", "x", {.mode = 0666}));
  ::umask(mask);
  CHECK(mode_of(folder / "fresh") == 0640);
  value_of(fs::write_file("/dev/null", "x"));
  value_of(fs::write_file(folder / "fresh", "in place", {.atomic = false}));
  CHECK(folder.read("fresh") == "in place");
}

TEST_CASE("fs: an atomic write that fails leaves the old text", "[fs]") {
  const temp_folder folder;
  CHECK(message_of(fs::write_file(folder / "no/where", "x")) ==
        "create a file beside " + (folder / "no/where") + ": No such file or directory");
  REQUIRE(::mkdir((folder / "sub").c_str(), 0755) == 0);
  CHECK(outcome_of(fs::write_file(folder / "sub", "x")).error().code == EISDIR);
  CHECK(names(value_of(fs::list(folder.path()))) == std::vector<std::string>{"sub"});
}

TEST_CASE("fs: a disk that is full in the middle of a write leaves the old text and nothing beside it", "[fs]") {
  const temp_folder folder;
  folder.write("config", "old");
  struct rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto reacts = ::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small{100'000, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto got = outcome_of(fs::write_file(folder / "config", std::string(300'000, 'x')));
  const auto fresh = outcome_of(fs::write_file(folder / "fresh", std::string(300'000, 'x')));
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, reacts);
  REQUIRE_FALSE(got.ok());
  CHECK(got.error().message == "write " + (folder / "config") + ": File too large");
  CHECK_FALSE(fresh.ok());
  CHECK(folder.read("config") == "old");
  CHECK(names(value_of(fs::list(folder.path()))) == std::vector<std::string>{"config"});
}

TEST_CASE("fs: stat, list, rename, links and modes", "[fs]") {
  const temp_folder folder;
  folder.write("b", "12345");
  value_of(fs::make_dir(folder / "a"));
  value_of(fs::make_symlink("b", folder / "c"));
  value_of(fs::set_mode(folder / "b", 0600));
  const auto status = value_of(fs::stat(folder / "c"));
  CHECK(status.type == fs::file_type::file);
  CHECK(status.size == 5);
  CHECK(status.mode == 0600);
  CHECK(status.links == 1);
  CHECK(status.owner == ::getuid());
  CHECK(status.modified > 1e9);
  CHECK(status.inode == value_of(fs::stat(folder / "b")).inode);
  const auto entries = value_of(fs::list(folder.path()));
  CHECK(names(entries) == std::vector<std::string>{"a", "b", "c"});
  CHECK(entries[0].type == fs::file_type::directory);
  CHECK(entries[2].type == fs::file_type::link);
  CHECK(value_of(fs::read_link(folder / "c")) == "b");
  CHECK(value_of(fs::real_path(folder / "a/../c")) == folder / "b");
  value_of(fs::rename(folder / "b", folder / "a/b"));
  CHECK(folder.read("a/b") == "12345");
  CHECK(std::string(fs::to_string(fs::file_type::fifo)) == "fifo");
}

TEST_CASE("fs: folders are made with their parents and removed with what they hold", "[fs]") {
  const temp_folder folder;
  value_of(fs::make_dir(folder / "t/u/v/w", true));
  value_of(fs::make_dir(folder / "t/u", true));
  folder.write("t/file", "");
  folder.write("t/u/v/file", "");
  folder.write("keep", "safe");
  value_of(fs::make_symlink("..", folder / "t/u/out"));
  value_of(fs::make_symlink("../keep", folder / "t/link"));
  CHECK(outcome_of(fs::remove(folder / "t")).error().code == ENOTEMPTY);
  value_of(fs::remove(folder / "t", true));
  CHECK(names(value_of(fs::list(folder.path()))) == std::vector<std::string>{"keep"});
  value_of(fs::make_symlink(".", folder / "self"));
  value_of(fs::remove(folder / "self", true));
  value_of(fs::remove(folder / "keep", true));
  CHECK(value_of(fs::list(folder.path())).empty());
}

TEST_CASE("fs: copies keep bytes, modes and links", "[fs]") {
  const temp_folder folder;
  const std::string big(200'000, 'z');
  value_of(fs::make_dir(folder / "from/sub", true));
  folder.write("from/tool", big);
  REQUIRE(::chmod((folder / "from/tool").c_str(), 0750) == 0);
  REQUIRE(::chmod((folder / "from/sub").c_str(), 0555) == 0);
  value_of(fs::make_symlink("tool", folder / "from/link"));
  value_of(fs::copy(folder / "from/tool", folder / "one"));
  CHECK(folder.read("one") == big);
  CHECK(mode_of(folder / "one") == 0750);
  CHECK(outcome_of(fs::copy(folder / "one", folder / "from/tool", {.overwrite = false})).error().code == EEXIST);
  CHECK(outcome_of(fs::copy(folder / "one", folder / "one")).error().code == EINVAL);
  CHECK(folder.read("one") == big);
  CHECK(outcome_of(fs::copy(folder / "from", folder / "to")).error().code == EISDIR);
  CHECK(outcome_of(fs::copy(folder / "from", folder / "from/sub/x", {.recursive = true})).error().code == EINVAL);
  value_of(fs::copy(folder / "from", folder / "to", {.recursive = true}));
  value_of(fs::copy(folder / "from", folder / "to", {.recursive = true}));
  CHECK(folder.read("to/link") == big);
  CHECK(value_of(fs::read_link(folder / "to/link")) == "tool");
  CHECK(mode_of(folder / "to/sub") == 0555);
  CHECK(value_of(fs::read_file("/proc/self/cmdline")).size() > 1);
  value_of(fs::copy("/proc/self/cmdline", folder / "sizeless"));
  CHECK(folder.read("sizeless").size() > 1);
}

TEST_CASE("fs: temporary files and folders are new and private", "[fs]") {
  const temp_folder folder;
  const std::string file = value_of(fs::temp_file(folder.path(), "t-")), dir = value_of(fs::temp_dir(folder.path()));
  CHECK(file.starts_with(folder / "t-"));
  CHECK(mode_of(file) == 0600);
  CHECK(mode_of(dir) == 0700);
  CHECK(value_of(fs::temp_file(folder.path())) != value_of(fs::temp_file(folder.path())));
  CHECK(outcome_of(fs::temp_dir(folder / "none")).error().code == ENOENT);
}

TEST_CASE("RUN-03: a cancelled task does not wait for a read, and others run while files are read", "[fs]") {
  const temp_folder folder;
  const std::string fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  {
    runtime rt;
    auto end = rt.run([](std::string path) -> task<bool> {
      auto reader = spawn(awaited(fs::read_file(path)));
      co_await sleep(1ms);
      reader.cancel();
      co_return (co_await reader.join()).cancelled();
    }(fifo));
    CHECK(end.value());
  }
  ::close(::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
}

TEST_CASE("fs: what this user may not do is an error, and changes nothing", "[fs]") {
  const temp_folder folder;
  folder.write("locked", "old");
  value_of(fs::make_dir(folder / "shut/inner", true));
  REQUIRE(::chmod((folder / "locked").c_str(), 0) == 0);
  REQUIRE(::chmod((folder / "shut").c_str(), 0500) == 0);
  {
    const as_nobody guard(folder);
    CHECK(message_of(fs::read_file(folder / "locked")) == "open " + (folder / "locked") + ": Permission denied");
    CHECK(outcome_of(fs::write_file(folder / "shut/new", "x")).error().code == EACCES);
    CHECK(outcome_of(fs::make_dir(folder / "shut/a/b", true)).error().code == EACCES);
    CHECK(outcome_of(fs::remove(folder / "shut/inner")).error().code == EACCES);
    CHECK(outcome_of(fs::remove(folder / "shut", true)).error().code == EACCES);
  }
  ::chmod((folder / "locked").c_str(), 0600);
  CHECK(folder.read("locked") == "old");
  CHECK(names(value_of(fs::list(folder / "shut"))) == std::vector<std::string>{"inner"});
}
