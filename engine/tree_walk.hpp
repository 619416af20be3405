// A walk through a folder tree as a plain, blocking loop: the machine under dir_walker and glob. Used by one thread at a
// time.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

#include <perilune/fs.hpp>

namespace perilune::fs::detail {

class tree_walk {
 public:
  enum class way : unsigned char { skip, list, list_through_link };
  // Whether to go into an entry that is a folder or may be one behind a link. Not asked beyond max_depth.
  using gate = std::function<way(const walk_entry&)>;

  tree_walk(std::string root, walk_options options, gate into = {});

  // Opens the root. Once, before next().
  result<unit> begin();
  // False at the end.
  bool next(walk_entry& entry);

 private:
  struct level {
    std::string path;  // with a slash at the end, or empty
    std::vector<dir_entry> entries;
    std::size_t at = 0;
    dev_t device;
    ino_t inode;
  };

  bool excluded(const std::string& name) const noexcept;
  way way_into(const walk_entry& entry) const;
  bool descend(walk_entry& entry, bool through_link);
  bool loops(dev_t device, ino_t inode) const noexcept;

  std::string root_;
  walk_options options_;
  gate into_;
  std::vector<level> levels_;
};

}  // namespace perilune::fs::detail
