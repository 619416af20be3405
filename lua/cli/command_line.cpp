// Reading the command line. See command_line.hpp.
#include "command_line.hpp"

#include <algorithm>
#include <cstring>

namespace perilune::cli {

namespace {

command_line wrong(std::string problem) {
  command_line line;
  line.what = command_line::verb::usage_error;
  line.problem = std::move(problem);
  return line;
}

command_line run_line(int argc, char** argv, int file) {
  command_line line;
  line.file = argv[file];
  line.arguments.assign(argv + file + 1, argv + argc);
  return line;
}

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string suggest(const std::string& word, const std::vector<std::string>& known) {
  for (const std::string& candidate : known)
    if (edit_distance(word, candidate) <= 2) return "; did you mean '" + candidate + "'?";
  return "; see perilune --help";
}

}  // namespace

command_line parse(int argc, char** argv) {
  if (argc < 2) return wrong("no command; see perilune --help");
  const std::string first = argv[1];
  command_line line;
  if (first == "--version" || first == "-V" || first == "version") return line.what = command_line::verb::version, line;
  if (first == "--help" || first == "-h" || first == "help") return line.what = command_line::verb::help, line;
  if (first == "run") {
    if (argc < 3) return wrong("run: no file given; use: perilune run FILE.lua [ARGS]");
    const std::string file = argv[2];
    if (file == "--help" || file == "-h") return line.what = command_line::verb::help, line;
    if (file.size() > 1 && file[0] == '-') return wrong("run: unknown flag '" + file + "'" + suggest(file, {"--help"}));
    return run_line(argc, argv, 2);
  }
  if (first == "-") return run_line(argc, argv, 1);
  if (first[0] == '-') return wrong("unknown flag '" + first + "'" + suggest(first, {"--version", "--help"}));
  const bool looks_like_file = first.find('/') != std::string::npos || first.find('.') != std::string::npos;
  if (looks_like_file) return run_line(argc, argv, 1);
  return wrong("unknown command '" + first + "'" + suggest(first, {"run", "help", "version"}));
}

const char* help_text() {
  return "usage: perilune run FILE.lua [ARGS]    run a script; FILE may be - for standard input\n"
         "       perilune FILE.lua [ARGS]        the same\n"
         "       perilune --version\n"
         "       perilune --help\n"
         "\n"
         "A script is a task. It finds its arguments in `arg` and `...`, and the library in require \"perilune\".\n"
         "\n"
         "exit codes:\n"
         "  0    the script returned and no failure went unobserved\n"
         "  1    the script failed, or a task's failure went unobserved\n"
         "  2    wrong usage, or FILE cannot be read\n"
         "  3    FILE is not a valid script\n"
         "  70   internal error\n"
         "  129, 130, 143   ended by HUP, INT, TERM after its cleanup\n"
         "os.exit(n) in a script runs closers first and exits with n.\n";
}

}  // namespace perilune::cli
