// Reading the command line. See command_line.hpp.
#include "command_line.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include <unistd.h>

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

// Whether the words behind `run` are read in Lua: all are but those that begin with a file that is run as a script. Whether that
// holds a pipeline after all turns out when it is read.
bool runs_pipeline(const std::vector<std::string>& words) {
  if (words.empty() || is_flag(words.front())) return true;
  const std::string& first = words.front();
  if (first.empty()) return false;
  if (first.ends_with(".toml")) return true;
  return !looks_like_file(first) && access(first.c_str(), F_OK) != 0;
}

// The words behind `run` as they were given: the flags that this program reads itself are the pipeline's too.
std::vector<std::string> words_behind_run(int argc, char** argv) {
  const std::vector<std::string> all(argv + 1, argv + argc);
  return {std::find(all.begin(), all.end(), "run") + 1, all.end()};
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

// A command that is Lua (perilune.pipeline.cli), which reads the words behind it and knows whether there is one of that name.
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

// Flags and a file stand for `run`, as a file alone does.
bool names_file(const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(),
                     [](const std::string& word) { return word.ends_with(".lua") || word.ends_with(".toml"); });
}

command_line behind_run(int argc, char** argv) {
  std::string run = "run";
  std::vector<char*> words{argv[0], run.data()};
  words.insert(words.end(), argv + 1, argv + argc);
  return read_command_line(static_cast<int>(words.size()), words.data());
}

command_line without_command(command_line line, const std::vector<std::string>& words, int argc, char** argv) {
  if (words.empty()) return wrong("no command; see perilune --help");
  const std::string& first = words.front();
  if (is_flag(first) && first != "--" && names_file(words)) return behind_run(argc, argv);
  if (is_flag(first)) return wrong(unknown("flag", first, {"--version", "--help"}));
  if (first.ends_with(".toml")) return lua_line(std::move(line), "run", words);
  if (looks_like_file(first)) return run_line(std::move(line), words, argc, argv);
  return lua_line(std::move(line), first, {words.begin() + 1, words.end()});
}

command_line with_run(command_line line, const std::vector<std::string>& words, int argc, char** argv) {
  if (runs_pipeline(words)) return lua_line(std::move(line), "run", words_behind_run(argc, argv));
  return run_line(std::move(line), words, argc, argv);
}

command_line with_test(command_line line, const CLI::App& test) {
  if (std::string problem = read_test_words(test, line.test); !problem.empty()) return wrong(std::move(problem));
  line.what = command_line::verb::test;
  return line;
}

}  // namespace

command_line read_command_line(int argc, char** argv) {
  command_line line;
  CLI::App app;
  app.prefix_command();
  app.set_version_flag("-V,--version", "");
  CLI::App* run = app.add_subcommand("run")->prefix_command();
  add_duration(*run, "--grace", line.grace)->envname("PERILUNE_GRACE");
  add_number(*run, "--seed", line.seed)->envname("PERILUNE_SEED");
  add_number(*run, "--workers", line.workers)->envname("PERILUNE_WORKERS");
  const char* inspect = std::getenv("PERILUNE_INSPECT");
  if (inspect && std::string_view(inspect) != "0") line.inspect = inspect;
  run->add_flag("--inspect", line.inspect);
  line.test.program = argc > 0 ? argv[0] : "perilune";
  const CLI::App* test = add_test_command(app, line.test);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const bool of_one = run->parsed() || test->parsed();
    return lua_line(std::move(line), "help",
                    of_one ? std::vector<std::string>{run->parsed() ? "run" : "test"} : std::vector<std::string>{});
  } catch (const CLI::CallForVersion&) {
    return asks_for(command_line::verb::version);
  } catch (const CLI::ParseError& problem) {
    return wrong((run->parsed() ? "run: " : test->parsed() ? "test: " : "") + std::string(problem.what()));
  }
  if (const std::string first = argc > 1 ? argv[1] : "";
      (run->parsed() || test->parsed()) && is_flag(first) && first != "--")
    return wrong(first + " stands behind the command");
  if (test->parsed()) return with_test(line, *test);
  return run->parsed() ? with_run(line, run->remaining(), argc, argv)
                       : without_command(line, app.remaining(), argc, argv);
}

}  // namespace perilune::cli
