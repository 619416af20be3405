// Reading the command line. See command_line.hpp.
#include "command_line.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include <CLI/CLI.hpp>

namespace perilune::cli {

namespace {

// "250ms", "10s", "2m", "1.5h"; a number alone is seconds.
std::optional<duration> read_duration(const std::string& text) {
  struct unit {
    const char* name;
    double seconds;
  };
  constexpr unit units[] = {{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !(number >= 0)) return std::nullopt;
  for (const unit& u : units)
    if (std::string_view(end) == u.name) return from_seconds(number * u.seconds);
  return std::nullopt;
}

bool is_flag(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

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

std::string unknown(const std::string& kind, std::string word, const std::vector<std::string>& known) {
  if (is_flag(word)) word.resize(std::min(word.find('='), word.size()));
  std::string text = "unknown " + kind + " '" + word + "'";
  for (const std::string& candidate : known)
    if (edit_distance(word, candidate) <= 2) return text.append("; did you mean '").append(candidate).append("'?");
  return text.append("; see perilune --help");
}

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
  line.what = command_line::verb::run;
  line.file = words.front();
  line.arguments.assign(words.begin() + 1, words.end());
  for (std::size_t i = static_cast<std::size_t>(argc) - words.size(); i-- > 0;) line.command.emplace_back(argv[i]);
  return line;
}

command_line without_command(command_line line, const std::vector<std::string>& words, int argc, char** argv) {
  if (words.empty()) return wrong("no command; see perilune --help");
  const std::string& first = words.front();
  if (first == "help") return asks_for(command_line::verb::help);
  if (first == "version") return asks_for(command_line::verb::version);
  if (is_flag(first)) return wrong(unknown("flag", first, {"--version", "--help"}));
  if (looks_like_file(first)) return run_line(std::move(line), words, argc, argv);
  return wrong(unknown("command", first, {"run", "help", "version"}));
}

command_line with_run(command_line line, const std::vector<std::string>& words, int argc, char** argv) {
  if (words.empty()) return wrong("run: no file given; use: perilune run FILE.lua [ARGS]");
  if (is_flag(words.front())) return wrong("run: " + unknown("flag", words.front(), {"--grace", "--seed", "--help"}));
  return run_line(std::move(line), words, argc, argv);
}

void set_grace(command_line& line, const std::string& text) {
  const auto grace = read_duration(text);
  if (!grace) throw CLI::ValidationError("--grace", "not a duration like 10s, 500ms or 2m: '" + text + "'");
  line.grace = *grace;
}

void set_seed(command_line& line, const std::string& text) {
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, line.seed);
  if (read.ec != std::errc() || read.ptr != end)
    throw CLI::ValidationError("--seed", "not a whole number from 0 on: '" + text + "'");
}

}  // namespace

command_line read_command_line(int argc, char** argv) {
  command_line line;
  CLI::App app;
  app.prefix_command();
  app.set_version_flag("-V,--version", "");
  CLI::App* run = app.add_subcommand("run")->prefix_command();
  run->add_option_function<std::string>("--grace", [&](const std::string& text) { set_grace(line, text); })
      ->type_name("DUR")
      ->envname("PERILUNE_GRACE");
  run->add_option_function<std::string>("--seed", [&](const std::string& text) { set_seed(line, text); })
      ->type_name("N")
      ->envname("PERILUNE_SEED");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return asks_for(command_line::verb::help);
  } catch (const CLI::CallForVersion&) {
    return asks_for(command_line::verb::version);
  } catch (const CLI::ParseError& problem) {
    return wrong((run->parsed() ? "run: " : "") + std::string(problem.what()));
  }
  return run->parsed() ? with_run(line, run->remaining(), argc, argv)
                       : without_command(line, app.remaining(), argc, argv);
}

const char* help_text() {
  return "usage: perilune run [FLAGS] FILE.lua [ARGS]   run a script; FILE may be - for standard input\n"
         "       perilune FILE.lua [ARGS]               the same\n"
         "       perilune --version\n"
         "       perilune --help\n"
         "\n"
         "A script is a task. It finds its arguments in `arg` and `...`, the library in require \"perilune\", and its\n"
         "own modules beside itself.\n"
         "\n"
         "flags of run, before FILE:\n"
         "  --grace DUR    how long closers may take once the run is being stopped (10s) [PERILUNE_GRACE]\n"
         "  --seed N       of every random choice of the runtime; 0 draws one (0) [PERILUNE_SEED]\n"
         "\n"
         "signals: the first INT, TERM or HUP cancels every task and lets closers run, the second kills them,\n"
         "the third exits at once. A script that listens to a signal gets it instead.\n"
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
