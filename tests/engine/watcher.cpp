// Watchers: what is told of a folder tree, who gets it, and how a watcher ends.
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>
#include <perilune/watcher.hpp>

#include <cerrno>
#include <filesystem>
#include <string>

#include "support/as_nobody.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

task<fs::watcher> watching(std::string path, bool recursive) {
  auto made = co_await fs::watch(std::move(path), {.recursive = recursive});
  if (!made) throw std::runtime_error(made.error().message);
  co_return *std::move(made);
}

task<std::string> told(fs::watcher by) {
  const auto event = co_await by.next();
  co_return event ? fs::to_string(event->kind) + (" " + event->path) : "end";
}

}  // namespace

TEST_CASE("watcher: new folders are watched from the moment they are there", "[fs]") {
  const temp_folder folder;
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<std::string> {
    const auto watcher = co_await watching(in.path(), true);
    std::filesystem::create_directories(in / "a/b");
    in.write("a/b/f", "");
    std::string all;
    for (int i = 0; i < 3; ++i) all += (co_await told(watcher)).substr(in.path().size() + 9) + " ";
    co_return all;
  }(folder));
  CHECK(end.value() == "a a/b a/b/f ");
}

TEST_CASE("SEL-05: an event whose receiver was cancelled on its way is the next one's", "[fs]") {
  const temp_folder folder;
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<std::string> {
    const auto watcher = co_await watching(in.path(), false);
    auto lost = co_await select_biased(watcher.next(), sleep_op(0s));
    CHECK(lost.index() == 1);
    auto first = spawn(told(watcher));
    co_await yield();
    in.write("f", "");
    first.cancel();
    const bool cancelled = (co_await first.join()).cancelled();
    CHECK(cancelled);
    co_return co_await told(watcher);
  }(folder));
  CHECK(end.value() == "created " + (folder / "f"));
}

TEST_CASE(
    "watcher: a folder below that cannot be read is told as an overflow with its error, and the others are watched",
    "[fs]") {
  const temp_folder folder;
  std::filesystem::create_directories(folder / "closed");
  std::filesystem::create_directories(folder / "open");
  const as_nobody dropped(folder);
  std::filesystem::permissions(folder / "closed", std::filesystem::perms::none);
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<std::string> {
    const auto watcher = co_await watching(in.path(), true);
    const auto first = co_await watcher.next();
    CHECK(first->kind == fs::watch_kind::overflow);
    CHECK(first->path == in / "closed");
    CHECK(first->problem.value().code == EACCES);
    in.write("open/f", "");
    co_return co_await told(watcher);
  }(folder));
  std::filesystem::permissions(folder / "closed", std::filesystem::perms::owner_all);
  CHECK(end.value() == "created " + (folder / "open/f"));
}

TEST_CASE("watcher: what is moved out of the tree is removed and no longer watched", "[fs]") {
  const temp_folder outside, folder;
  std::filesystem::create_directories(folder / "sub/deep");
  runtime rt;
  auto end = rt.run([](const temp_folder& in, const temp_folder& out) -> task<std::string> {
    const auto watcher = co_await watching(in.path(), true);
    std::filesystem::rename(in / "sub", out / "sub");
    const std::string gone = co_await told(watcher);
    out.write("sub/deep/f", "not watched any more");
    in.write("f", "");
    co_return gone + ", " + co_await told(watcher);
  }(folder, outside));
  CHECK(end.value() == "removed " + (folder / "sub") + ", created " + (folder / "f"));
}

TEST_CASE("watcher: more events than its queue holds end in one overflow, and it goes on after that", "[fs]") {
  const temp_folder folder;
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<std::string> {
    auto made = co_await fs::watch(in.path(), {.longest_queue = 3});
    const auto watcher = *std::move(made);
    auto first = spawn(told(watcher));
    co_await yield();
    for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) std::filesystem::create_directory(in / name);
    // The queue still has what the first to wait was promised.
    co_await first.join();
    std::string all;
    for (std::string next; !next.starts_with("overflow"); all += next.substr(0, 8) + " ") next = co_await told(watcher);
    std::filesystem::create_directory(in / "later");
    std::string last;
    while (!last.ends_with("later")) last = co_await told(watcher);
    co_return all + last.substr(0, 7);
  }(folder));
  CHECK(end.value() == "created  created  overflow created");
}

TEST_CASE("watcher: with a debounce a path is told once, and not again later", "[fs]") {
  const temp_folder folder;
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<std::string> {
    auto made = co_await fs::watch(in.path(), {.debounce = 20ms});
    const auto watcher = *std::move(made);
    std::filesystem::create_directory(in / "gone");
    for (int i = 0; i < 5; ++i) in.write("f", std::string(static_cast<std::size_t>(i), 'x'));
    std::filesystem::remove(in / "gone");
    const std::string once = co_await told(watcher);
    // Whatever else was to be told of them stands before this.
    in.write("last", "");
    co_return once + ", " + co_await told(watcher);
  }(folder));
  CHECK(end.value() == "created " + (folder / "f") + ", created " + (folder / "last"));
}

TEST_CASE("watcher: ends when it is closed, and is an error where there is nothing", "[fs]") {
  const temp_folder folder;
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<std::string> {
    const auto none = co_await fs::watch(in / "none");
    CHECK(none.error().code == ENOENT);
    const auto watcher = co_await watching(in.path(), false);
    auto waiting = spawn(told(watcher));
    co_await yield();
    watcher.close();
    co_return (co_await waiting.join()).value();
  }(folder));
  CHECK(end.value() == "end");
}
