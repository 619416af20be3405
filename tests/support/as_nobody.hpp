// Nothing is closed to root. While one of these lives, the process of a test that runs as root is nobody, who owns the
// folder it was given.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include <unistd.h>

#include "support/temp_folder.hpp"

class as_nobody {
 public:
  explicit as_nobody(const temp_folder& folder) {
    constexpr uid_t nobody = 65534;
    if (::geteuid() != 0) return;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path()))
      give(entry.path().c_str(), nobody);
    give(folder.path().c_str(), nobody);
    if (::seteuid(nobody) != 0) throw std::runtime_error("seteuid");
    dropped_ = true;
  }
  as_nobody(const as_nobody&) = delete;
  as_nobody& operator=(const as_nobody&) = delete;
  ~as_nobody() {
    if (dropped_ && ::seteuid(0) != 0) std::abort();
  }

 private:
  static void give(const char* path, uid_t to) {
    if (::lchown(path, to, static_cast<gid_t>(to)) != 0) throw std::runtime_error("lchown");
  }
  bool dropped_ = false;
};
