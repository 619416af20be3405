// A script read from a file or standard input, or one line saying why not.
#pragma once

#include <string>

namespace perilune::cli {

struct script_file {
  std::string source;
  std::string chunk_name;   // what errors call it
  std::string folder;       // where it lies, for its modules; "" for standard input
  std::string problem;      // one line, empty when it was read
  bool unreadable = false;  // the problem is the file's, not its content's
};

script_file read_script(const std::string& path);

}  // namespace perilune::cli
