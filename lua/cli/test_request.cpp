// The options of `perilune test`. See test_request.hpp.
#include "test_request.hpp"

#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "words.hpp"

namespace perilune::cli {

namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

}  // namespace

void add_test_flags(CLI::App& test, test_request& request) {
  test.allow_extras();
  const auto text = [&](const char* name, std::string& into) { return test.add_option(name, into); };
  add_number(test, "--seed", request.seed)->envname("PERILUNE_SEED");
  add_number(test, "--rounds", request.rounds)->envname("PERILUNE_TEST_ROUNDS");
  test.add_flag("--shuffle", request.shuffle)->envname("PERILUNE_TEST_SHUFFLE");
  test.add_flag("--cancel-here", request.cancel_here)->envname("PERILUNE_TEST_CANCEL_HERE");
  test.add_flag("--list", request.list)->envname("PERILUNE_TEST_LIST");
  test.add_flag("-v,--verbose", request.verbose)->envname("PERILUNE_TEST_VERBOSE");
  test.add_flag("--tap", request.tap)->envname("PERILUNE_TEST_TAP");
  text("--filter", request.filter)->envname("PERILUNE_TEST_FILTER");
  add_duration(test, "--timeout", request.timeout)->envname("PERILUNE_TEST_TIMEOUT");
  text("--junit", request.junit)->envname("PERILUNE_TEST_JUNIT");
  text("--trace", request.trace)->envname("PERILUNE_TEST_TRACE");
  text("--color", request.color)->envname("PERILUNE_TEST_COLOR");
}

std::string read_test_words(const CLI::App& command, test_request& request) {
  request.paths = command.remaining();
  for (const std::string& word : request.paths)
    if (is_flag(word))
      return "test: " + unknown("flag", word,
                                {"--seed", "--rounds", "--shuffle", "--cancel-here", "--list", "--verbose", "--tap",
                                 "--filter", "--timeout", "--junit", "--trace", "--color", "--help"});
  if (request.paths.empty()) return "test: no path given; use: perilune test PATH...";
  if (request.color != "auto" && request.color != "always" && request.color != "never")
    return "test: --color: must be auto, always or never, got '" + request.color + "'";
  if (request.rounds == 0) return "test: --rounds: must be at least 1";
  return {};
}

bool wants_color(const std::string& when) {
  if (when != "auto") return when == "always";
  if (is_set("NO_COLOR")) return false;
  if (is_set("CLICOLOR_FORCE") && std::strcmp(std::getenv("CLICOLOR_FORCE"), "0") != 0) return true;
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) && terminal && std::strcmp(terminal, "dumb") != 0;
}

}  // namespace perilune::cli
