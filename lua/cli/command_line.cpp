// Reading the command line. See command_line.hpp.
#include "command_line.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>

#include <sys/stat.h>

#include <CLI/CLI.hpp>

#include "words.hpp"

namespace perilune::cli {

namespace {

command_line wrong(std::string problem) {
  command_line line;
  line.what = command_line::verb::usage_error;
  line.problem = std::move(problem);
  return line;
}

command_line asks_for(command_line::verb what) {
  command_line line;
  line.what = what;
  return line;
}

bool looks_like_file(const std::string& word) { return word == "-" || word.find_first_of("/.") != std::string::npos; }

// The file and what follows it: `words` are those that no option has taken.
command_line run_line(command_line line, const std::vector<std::string>& words, int argc, char** argv) {
  if (line.workers < 1 || line.workers > 256)
    return wrong("run: --workers must be 1 to 256, got " + std::to_string(line.workers));
  line.what = command_line::verb::run;
  line.file = words.front();
  line.arguments.assign(words.begin() + 1, words.end());
  for (std::size_t i = static_cast<std::size_t>(argc) - words.size(); i-- > 0;) line.command.emplace_back(argv[i]);
  return line;
}

// Behind `run` a word may be the name of a step, which may have dots and slashes in it. It is a path where nothing else is meant, and
// where there is a file; of a word without slashes only Lua knows whether a step is called so, unless it is a pipe or the like.
bool names_script(const std::string& word) {
  for (const std::string_view start : {"/", "./", "../"})
    if (word.starts_with(start)) return true;
  if (word.empty() || word == "-" || word.ends_with(".lua")) return true;
  struct stat info{};
  if (stat(word.c_str(), &info) != 0 || S_ISDIR(info.st_mode)) return false;
  return word.find('/') != std::string::npos || !S_ISREG(info.st_mode);
}

// Whether the words are read in Lua: all are but those that begin with a file that is run as a script, as which a word counts more
// easily without `run`. Whether that holds a pipeline after all turns out when it is read.
bool runs_pipeline(const std::vector<std::string>& words, bool behind_run) {
  if (words.empty() || is_flag(words.front()) || words.front().ends_with(".toml")) return true;
  return behind_run ? !names_script(words.front()) : !looks_like_file(words.front());
}

// What the program itself has to know, wherever among the words it stands.
void read_late_number(const std::vector<std::string>& words, const std::string& flag, std::uint64_t& into) {
  for (std::size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    std::string value;
    if (words[i] == flag && i + 1 < words.size()) value = words[i + 1];
    if (words[i].starts_with(flag + "=")) value = words[i].substr(flag.size() + 1);
    if (const auto number = read_number(value)) into = *number;
  }
}

// A command that is Lua (perilune.pipeline.cli), which reads the words behind it and knows whether there is one of that name; "--"
// stands for whichever follows the flags that the words begin with.
command_line lua_line(command_line line, const std::string& command, const std::vector<std::string>& words) {
  read_late_number(words, "--workers", line.workers);
  read_late_number(words, "--seed", line.seed);
  if (line.workers < 1 || line.workers > 256)
    return wrong(command + ": --workers must be 1 to 256, got " + std::to_string(line.workers));
  line.what = command_line::verb::in_lua;
  line.arguments = {command};
  line.arguments.insert(line.arguments.end(), words.begin(), words.end());
  return line;
}

// Reads the flags that stand in front of all other words, the first word being the command's name. What is wrong with them, or that
// help is asked for, is the whole answer.
std::optional<command_line> read_flags(CLI::App& app, const std::string& command, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return lua_line({}, "help", {command});
  } catch (const CLI::ParseError& problem) {
    return wrong(command + ": " + problem.what());
  }
  return std::nullopt;
}

// The flags of `run` that this program reads itself, as far as they stand before all others; or their variables.
void add_run_flags(CLI::App& run, command_line& line) {
  run.prefix_command();
  add_duration(run, "--grace", line.grace)->envname("PERILUNE_GRACE");
  add_number(run, "--seed", line.seed)->envname("PERILUNE_SEED");
  add_number(run, "--workers", line.workers)->envname("PERILUNE_WORKERS");
  const char* inspect = std::getenv("PERILUNE_INSPECT");
  if (inspect && std::string_view(inspect) != "0") line.inspect = inspect;
  run.add_flag("--inspect", line.inspect);
}

// `at`: where the words begin that are read, the first of them standing for the command.
command_line run_command(int argc, char** argv, int at) {
  command_line line;
  CLI::App run;
  add_run_flags(run, line);
  if (auto answer = read_flags(run, "run", argc - at, argv + at)) return *answer;
  const std::vector<std::string> words = run.remaining();
  if (runs_pipeline(words, at > 0)) return lua_line(std::move(line), "run", {argv + at + 1, argv + argc});
  return run_line(std::move(line), words, argc, argv);
}

command_line test_command(int argc, char** argv) {
  command_line line;
  line.test.program = argv[0];
  CLI::App test;
  add_test_flags(test, line.test);
  if (auto answer = read_flags(test, "test", argc - 1, argv + 1)) return *answer;
  if (std::string problem = read_test_words(test, line.test); !problem.empty()) return wrong(std::move(problem));
  line.what = command_line::verb::test;
  return line;
}

// Flags before the command mean what they mean behind it; before a file they stand for `run`, as a file alone does. Behind a flag
// that this program does not read itself only Lua knows which word is the command.
command_line flags_first(int argc, char** argv) {
  command_line line;
  CLI::App run;
  add_run_flags(run, line);
  if (auto answer = read_flags(run, "run", argc, argv)) return *answer;
  const std::vector<std::string> words = run.remaining();
  if (words.empty()) return wrong("no command; see perilune --help");
  const std::string& first = words.front();
  if (first == "run" || first == "test") {
    std::vector<char*> moved(argv, argv + argc);
    const auto command = moved.end() - static_cast<std::ptrdiff_t>(words.size());
    std::rotate(moved.begin() + 1, command, command + 1);
    return read_command_line(argc, moved.data());
  }
  if (!is_flag(first) && looks_like_file(first)) return run_command(argc, argv, 0);
  return lua_line(std::move(line), "--", {argv + 1, argv + argc});
}

// A command that is Lua, to which the variables of flags mean the same.
command_line other_command(int argc, char** argv) {
  command_line line;
  CLI::App none;
  add_run_flags(none, line);
  if (auto answer = read_flags(none, argv[1], 1, argv)) return *answer;
  return lua_line(std::move(line), argv[1], {argv + 2, argv + argc});
}

}  // namespace

command_line read_command_line(int argc, char** argv) {
  if (argc < 2) return wrong("no command; see perilune --help");
  const std::string first = argv[1];
  if (first == "--version" || first == "-V") return asks_for(command_line::verb::version);
  if (first == "--help" || first == "-h") return lua_line({}, "help", {});
  if (first == "run") return run_command(argc, argv, 1);
  if (first == "test") return test_command(argc, argv);
  if (first == "--") return wrong(unknown("flag", first, {"--version", "--help"}));
  if (is_flag(first)) return flags_first(argc, argv);
  if (looks_like_file(first)) return run_command(argc, argv, 0);
  return other_command(argc, argv);
}

}  // namespace perilune::cli
