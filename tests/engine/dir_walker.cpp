// Walks and patterns: the order, what is left out, what is reported, and what a pattern matches.
#include <perilune/fs.hpp>
#include <perilune/runtime.hpp>
#include <perilune/select.hpp>
#include <perilune/timer.hpp>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "support/as_nobody.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

using namespace perilune;
using namespace std::chrono_literals;

namespace {

using strings = std::vector<std::string>;

// An empty file with the folders above it; a name that ends with a slash is a folder.
void make(const temp_folder& folder, const strings& names) {
  for (const std::string& name : names) {
    const std::filesystem::path path = folder / name;
    std::filesystem::create_directories(name.back() == '/' ? path : path.parent_path());
    if (name.back() != '/') folder.write(name, "");
  }
}

task<result<std::vector<fs::walk_entry>>> all_of(fs::dir_walker walker) {
  std::vector<fs::walk_entry> all;
  for (;;) {
    auto batch = co_await walker.next();
    if (!batch.ok()) co_return std::move(batch).error();
    if (batch->empty()) co_return all;
    for (auto& entry : *batch) all.push_back(std::move(entry));
  }
}

std::vector<fs::walk_entry> walked(const std::string& root, fs::walk_options options = {}) {
  runtime rt;
  auto end = rt.run(all_of(fs::dir_walker(root, std::move(options))));
  REQUIRE(end.returned());
  auto found = std::move(end).value();
  if (!found.ok()) FAIL(found.error().message);
  return *std::move(found);
}

strings paths_of(const temp_folder& folder, const std::vector<fs::walk_entry>& entries) {
  strings all;
  for (const auto& entry : entries) {
    REQUIRE(entry.path.starts_with(folder.path() + "/"));
    all.push_back(entry.path.substr(folder.path().size() + 1));
  }
  return all;
}

strings walk(const temp_folder& folder, fs::walk_options options = {}) {
  return paths_of(folder, walked(folder.path(), std::move(options)));
}

task<result<strings>> awaited(fs::pending<strings> call) { co_return co_await std::move(call); }

strings glob(const temp_folder& folder, const std::string& pattern) {
  runtime rt;
  auto end = rt.run(awaited(fs::glob(pattern, folder.path())));
  REQUIRE(end.returned());
  auto found = std::move(end).value();
  if (!found.ok()) FAIL(found.error().message);
  return *std::move(found);
}

}  // namespace

TEST_CASE("walk: parents first, names in order, depth first", "[fs]") {
  const temp_folder folder;
  make(folder, {"b/z", "b/a/deep", "a", "c", "b/b/"});
  CHECK(walk(folder) == strings{"a", "b", "b/a", "b/a/deep", "b/b", "b/z", "c"});
  CHECK(walk(folder, {.max_depth = 1}) == strings{"a", "b", "c"});
  CHECK(walk(folder, {.exclude = {"a", "*z"}}) == strings{"b", "b/b", "c"});
  CHECK(walk(folder, {.batch = 1}).size() == 7);
  const auto entries = walked(folder.path());
  CHECK(entries[3].depth == 3);
  CHECK(entries[3].type == fs::file_type::file);
  CHECK(entries[1].type == fs::file_type::directory);
}

TEST_CASE("walk: a root that cannot be read is an error, an empty one the end", "[fs]") {
  const temp_folder folder;
  CHECK(walk(folder).empty());
  runtime rt;
  auto end = rt.run(all_of(fs::dir_walker(folder / "none")));
  CHECK(end.value().error().message == "list " + (folder / "none") + ": No such file or directory");
}

TEST_CASE("walk: folders that cannot be read are entries with a problem", "[fs]") {
  const temp_folder folder;
  make(folder, {"closed/hidden", "open/seen"});
  REQUIRE(::chmod((folder / "closed").c_str(), 0) == 0);
  const as_nobody guard(folder);
  const auto entries = walked(folder.path());
  CHECK(paths_of(folder, entries) == strings{"closed", "open", "open/seen"});
  REQUIRE(entries[0].problem);
  CHECK(entries[0].problem->code == EACCES);
  CHECK(entries[0].problem->message == "list " + (folder / "closed") + ": Permission denied");
  CHECK_FALSE(entries[1].problem);
  ::chmod((folder / "closed").c_str(), 0700);
}

TEST_CASE("walk: symbolic links are followed only when asked, and never round in circles", "[fs]") {
  const temp_folder folder;
  make(folder, {"real/file"});
  std::filesystem::create_symlink("real", folder / "to-real");
  std::filesystem::create_symlink("..", folder / "real/up");
  std::filesystem::create_symlink("nowhere", folder / "broken");
  CHECK(walk(folder) == strings{"broken", "real", "real/file", "real/up", "to-real"});
  CHECK(walk(folder, {.follow_links = true}) ==
        strings{"broken", "real", "real/file", "real/up", "to-real", "to-real/file", "to-real/up"});
}

TEST_CASE("walk: what vanishes meanwhile is left out", "[fs]") {
  const temp_folder folder;
  make(folder, {"a", "b/x", "c/y", "d"});
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<strings> {
    const fs::dir_walker walker(in.path(), {.batch = 1});
    strings seen;
    for (;;) {
      auto batch = co_await walker.next();
      if (!batch.ok() || batch->empty()) co_return seen;
      seen.push_back(batch->front().path.substr(in.path().size() + 1));
      if (seen.size() == 1) std::filesystem::remove_all(in / "c");
      if (seen.back() == "b") std::filesystem::remove_all(in / "b");
    }
  }(folder));
  CHECK(end.value() == strings{"a", "b", "b/x", "d"});
}

TEST_CASE("SEL-05: a batch that lost a select is the next wait's", "[fs]") {
  const temp_folder folder;
  make(folder, {"a", "b", "c"});
  runtime rt;
  auto end = rt.run([](const temp_folder& in) -> task<strings> {
    const fs::dir_walker walker(in.path(), {.batch = 1});
    strings seen;
    for (;;) {
      auto lost = co_await select_biased(walker.next(), sleep_op(0s));
      if (lost.index() == 0) {
        auto& early = std::get<0>(lost);
        if (!early.ok() || early->empty()) co_return seen;
        seen.push_back(early->front().path.substr(in.path().size() + 1));
        continue;
      }
      auto batch = co_await walker.next();
      if (!batch.ok() || batch->empty()) co_return seen;
      seen.push_back(batch->front().path.substr(in.path().size() + 1));
    }
  }(folder));
  CHECK(end.value() == strings{"a", "b", "c"});
}

TEST_CASE("glob: what a pattern of one name matches", "[fs]") {
  const auto matches = fs::name_matches;
  CHECK(matches("*.cpp", "a.cpp"));
  CHECK(matches("a*b*c", "aXbXbXc"));
  CHECK_FALSE(matches("a*b*c", "aXbX"));
  CHECK(matches("?", "x"));
  CHECK(matches("?", "\xC3\xA9"));
  CHECK_FALSE(matches("?", "xy"));
  CHECK(matches("[a-c]x", "bx"));
  CHECK_FALSE(matches("[!a-c]x", "bx"));
  CHECK(matches("[]x]", "]"));
  CHECK(matches("[\xC3\xA0-\xC3\xBF]", "\xC3\xA9"));
  CHECK(matches("[", "["));
  CHECK(matches("\\*", "*"));
  CHECK_FALSE(matches("\\*", "x"));
  CHECK(matches("", ""));
  CHECK(matches("*", ""));
  CHECK_FALSE(matches("*", ".hidden"));
  CHECK_FALSE(matches("?hidden", ".hidden"));
  CHECK(matches(".*", ".hidden"));
  CHECK_FALSE(matches("*a*a*a*a*a*a*a*a*b", std::string(4000, 'a')));
}

TEST_CASE("glob: patterns over folders", "[fs]") {
  const temp_folder folder;
  make(folder, {"src/main.cpp", "src/lib/a.cpp", "src/lib/b.hpp", "src/lib/deep/c.cpp", "docs/readme", ".git/x.cpp",
                "top.cpp"});
  CHECK(glob(folder, "*.cpp") == strings{"top.cpp"});
  CHECK(glob(folder, "src/*.cpp") == strings{"src/main.cpp"});
  CHECK(glob(folder, "**/*.cpp") == strings{"src/lib/a.cpp", "src/lib/deep/c.cpp", "src/main.cpp", "top.cpp"});
  CHECK(glob(folder, "src/**/*.cpp") == strings{"src/lib/a.cpp", "src/lib/deep/c.cpp", "src/main.cpp"});
  CHECK(glob(folder, "src/**/lib/**/*.?pp") == strings{"src/lib/a.cpp", "src/lib/b.hpp", "src/lib/deep/c.cpp"});
  CHECK(glob(folder, "*/lib") == strings{"src/lib"});
  CHECK(glob(folder, "*/") == strings{"docs", "src"});
  CHECK(glob(folder, "src/**") ==
        strings{"src/lib", "src/lib/a.cpp", "src/lib/b.hpp", "src/lib/deep", "src/lib/deep/c.cpp", "src/main.cpp"});
  CHECK(glob(folder, ".git/*") == strings{".git/x.cpp"});
  CHECK(glob(folder, "docs/readme") == strings{"docs/readme"});
  CHECK(glob(folder, "docs/none").empty());
  CHECK(glob(folder, "none/*").empty());
  CHECK(glob(folder, "").empty());
  CHECK(glob(folder, folder / "*/readme") == strings{folder / "docs/readme"});
  std::filesystem::create_directory_symlink("src", folder / "linked");
  CHECK(glob(folder, "linked/*.cpp") == strings{"linked/main.cpp"});
  CHECK(glob(folder, "l*/main.cpp") == strings{"linked/main.cpp"});
  CHECK(glob(folder, "**/main.cpp") == strings{"src/main.cpp"});
}
