// The file system calls behind perilune.fs, each a plain function that blocks its thread. They run on the pool; a request
// and its answer are values owned by whoever asked, and no thread but the pool's touches them in between.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace perilune {

enum class file_verb : unsigned char {
  read, write, append, stat, list, mkdir, remove, rename, copy, temp_file, temp_dir, real_path, open, read_some, write_some,
  seek, close
};

struct file_request {
  file_verb verb{};
  std::string path;
  std::string other;      // the second path, the bytes to write, the mode to open with
  bool atomic = true;     // write: by a temporary file and a rename
  bool follow = true;     // stat: the target of a symbolic link
  bool recursive = false; // mkdir, remove
  int descriptor = -1;    // of an open file
  std::int64_t amount = 0;  // bytes to read; offset to seek to
  int whence = 0;
};

struct file_facts {
  const char* type = "other";  // "file", "directory", "link", "fifo", "socket", "device"; static storage
  std::int64_t size = 0;       // bytes
  double modified = 0;         // seconds since the epoch
  double accessed = 0;
  unsigned mode = 0;           // permission bits
  std::uint64_t inode = 0;
  std::uint64_t device = 0;
  std::uint64_t links = 0;
  unsigned owner = 0;
  unsigned group = 0;
};

struct file_entry {
  std::string name;
  const char* type;  // as in file_facts, "unknown" where the folder does not say
};

struct file_answer {
  int code = 0;           // errno, 0 on success
  const char* call = "";  // what failed: "open", "rename"; static storage
  std::string text;       // bytes read, a path made
  std::vector<file_entry> entries;
  file_facts facts;
  int descriptor = -1;
  std::int64_t number = 0;
  bool at_end = false;
};

// Carries out a request. Throws std::bad_alloc only.
file_answer perform_file_request(const file_request& request);

}  // namespace perilune
