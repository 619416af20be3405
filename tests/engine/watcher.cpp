// Watchers: what is told of a folder tree, who gets it, and how a watcher ends.
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>
#include <perilune/watcher.hpp>

#include <cerrno>
#include <filesystem>
#include <string>

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
