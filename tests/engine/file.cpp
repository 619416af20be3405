// Open files: reading and writing in pieces, positions, closing, and what a cancelled task waits for.
#include <perilune/file.hpp>
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>

#include <cerrno>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/temp_folder.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

template <class F>
auto run(F body) {
  runtime rt;
  return rt.run(body()).unwrap();
}

task<fs::file> opened(std::string path, fs::open_options options) {
  auto file = co_await fs::open(std::move(path), options);
  if (!file) throw std::runtime_error(file.error().message);
  co_return *std::move(file);
}

task<std::string> bytes_of(fs::file file, std::size_t at_most) {
  auto bytes = co_await file.read(at_most);
  if (!bytes) throw std::runtime_error(bytes.error().message);
  co_return *std::move(bytes);
}

task<> write(fs::file file, std::string text) {
  auto call = file.write(std::move(text));
  auto wrote = co_await std::move(call);
  if (!wrote) throw std::runtime_error(wrote.error().message);
}

}  // namespace

TEST_CASE("file: written, read and positioned in pieces", "[fs]") {
  const temp_folder folder;
  run([&]() -> task<> {
    const auto file = co_await opened(folder / "f", {.write = true, .create = true});
    co_await write(file, "one two");
    auto at = co_await file.seek(-3, fs::seek_from::end);
    CHECK(*at == 4);
    const std::string two = co_await bytes_of(file, 100), rest = co_await bytes_of(file, 100);
    CHECK(two == "two");
    CHECK(rest.empty());
    at = co_await file.seek(0);
    const std::string first = co_await bytes_of(file, 2);
    CHECK(first == "on");
    at = co_await file.seek(1, fs::seek_from::here);
    CHECK(*at == 3);
    auto wrong = co_await file.seek(-1);
    CHECK(wrong.error().message == "seek in " + (folder / "f") + ": Invalid argument");
    auto flushed = co_await file.flush();
    CHECK(flushed.ok());
  });
  CHECK(folder.read("f") == "one two");
}

TEST_CASE("file: append goes to the end, truncate begins anew", "[fs]") {
  const temp_folder folder;
  folder.write("f", "old");
  run([&]() -> task<> {
    const auto end = co_await opened(folder / "f", {.read = false, .append = true});
    static_cast<void>(co_await end.seek(0));
    co_await write(end, "+");
    CHECK(folder.read("f") == "old+");
    auto no = co_await end.read();
    CHECK(no.error().code == EBADF);
    static_cast<void>(co_await opened(folder / "f", {.read = false, .write = true, .truncate = true}));
    CHECK(folder.read("f").empty());
  });
}

TEST_CASE("file: after it is closed every call fails, and closing again does nothing", "[fs]") {
  const temp_folder folder;
  run([&]() -> task<> {
    const auto missing = co_await fs::open(folder / "none");
    CHECK(missing.error().message == "open " + (folder / "none") + ": No such file or directory");
    const auto file = co_await opened(folder / "f", {.write = true, .create = true});
    auto closed = co_await file.close();
    CHECK(closed.ok());
    closed = co_await file.close();
    CHECK(closed.ok());
    auto got = co_await file.read();
    CHECK(got.error().code == EBADF);
    auto full = co_await opened("/dev/full", {.read = false, .write = true});
    auto call = full.write("x");
    auto wrote = co_await std::move(call);
    CHECK(wrote.error().code == ENOSPC);
  });
}

TEST_CASE(
    "RUN-03: a cancelled task waits for its read of a file, but not for one of a fifo; closing it then waits for "
    "nothing",
    "[fs]") {
  const temp_folder folder;
  folder.write("f", "text");
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const int other = ::open((folder / "fifo").c_str(), O_RDWR | O_CLOEXEC);
  run([&]() -> task<> {
    const auto file = co_await opened(folder / "f", {});
    auto reader = spawn(bytes_of(file, 2));
    co_await yield();
    reader.cancel();
    auto end = co_await reader.join();
    const std::string first = end.returned() ? end.value() : "", rest = co_await bytes_of(file, 9);
    CHECK(first + rest == "text");
    const auto fifo = co_await opened(folder / "fifo", {});
    auto stuck = spawn(bytes_of(fifo, 2));
    co_await sleep(2ms);
    stuck.cancel();
    const bool gave_up = (co_await stuck.join()).cancelled();
    CHECK(gave_up);
    auto closed = co_await fifo.close();
    CHECK(closed.ok());
  });
  CHECK(::write(other, "xx", 2) == 2);
  ::close(other);
}

TEST_CASE("CAN-32: what a given up read of a fifo brings is the next read's, in order", "[fs]") {
  const temp_folder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const int other = ::open((folder / "fifo").c_str(), O_RDWR | O_CLOEXEC);
  run([&]() -> task<> {
    const auto fifo = co_await opened(folder / "fifo", {});
    for (int round = 0; round < 20; ++round) {
      auto cancelled = spawn(bytes_of(fifo, 2));
      // Before its thread reads, or while it does.
      if (round % 2)
        co_await sleep(1ms);
      else
        co_await yield();
      cancelled.cancel();
      const bool gave_up = (co_await cancelled.join()).cancelled();
      CHECK(gave_up);
      const auto first = co_await select(fifo.read(3), sleep_op(round % 3 * 1ms));
      CHECK(first.index() == 1);
      auto next = spawn(bytes_of(fifo, 9));
      co_await yield();
      CHECK(::write(other, "abcdef", 6) == 6);
      std::string got = (co_await next.join()).value();
      while (got.size() < 6) {
        const std::string more = co_await bytes_of(fifo, 9);
        got += more;
      }
      CHECK(got == "abcdef");
    }
  });
  ::close(other);
}

TEST_CASE("CAN-32: bytes that a cancelled task was granted and did not take are the next read's", "[fs]") {
  const temp_folder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const int other = ::open((folder / "fifo").c_str(), O_RDWR | O_CLOEXEC);
  run([&]() -> task<> {
    const auto fifo = co_await opened(folder / "fifo", {});
    for (int round = 0; round < 50; ++round) {
      auto reader = spawn(bytes_of(fifo, 4));
      co_await yield();
      CHECK(::write(other, "1234", 4) == 4);
      if (round % 2) co_await sleep(round % 5 * 100us);
      reader.cancel();
      auto end = co_await reader.join();
      std::string got;
      if (end.returned()) {
        got = end.value();
      } else {
        std::string late = co_await bytes_of(fifo, 4);
        got = std::move(late);
      }
      CHECK(got == "1234");
    }
  });
  ::close(other);
}
