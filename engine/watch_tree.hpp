// inotify's view of a folder tree: which folder each watch stands for, kept true while folders come, go and move. Used by
// one thread at a time: a pool thread while it reads, its watcher in between.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <sys/inotify.h>

#include <perilune/watcher.hpp>

#include "unique_fd.hpp"

namespace perilune::fs::detail {

class watch_tree {
 public:
  using events = std::vector<watch_event>;

  // Blocks. What cannot be watched below the root is an overflow among `into`.
  static result<std::unique_ptr<watch_tree>> open(const std::string& path, bool recursive, events& into);

  // Polls readable when something has happened.
  int fd() const noexcept { return inotify_.get(); }
  // Appends all that has happened. Blocks where new folders have to be looked through.
  void read(events& into);
  // What was watched is gone: nothing will happen any more.
  bool over() const noexcept { return over_; }

 private:
  struct departure {
    std::uint32_t cookie;
    std::string path;
    bool folder;
  };

  explicit watch_tree(std::string root, bool recursive) : root_(std::move(root)), recursive_(recursive) {}

  result<unit> begin(events& into);
  void take(const inotify_event& event, events& into);
  void take_named(const inotify_event& event, std::string path, events& into);
  void arrived(std::string path, bool folder, events& into);
  void gone(const std::string& path, events& into);
  void moved(const std::string& from, std::string to, bool folder, events& into);
  void settle_departure(events& into);
  bool another_soon() const noexcept;
  int add(const std::string& path, std::uint32_t flags);
  void add_below(const std::string& path, bool told, events& into);
  void forget(const std::string& path);

  std::string root_;
  std::string only_;  // the one name in the folder that counts
  const bool recursive_;
  perilune::detail::unique_fd inotify_;
  int root_watch_ = -1;
  std::unordered_map<int, std::string> folders_;  // of each watch
  std::unordered_set<std::string> found_;         // told already, because a new folder was looked through
  std::optional<departure> departure_;            // a move whose other half may follow
  bool over_ = false;
};

}  // namespace perilune::fs::detail
