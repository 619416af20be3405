// `perilune run`. See run_command.hpp.
#include "run_command.hpp"

#include <cstdio>
#include <iostream>
#include <iterator>

#include <perilune/host.hpp>

#include "script_file.hpp"

namespace perilune::cli {

namespace {

void say(const std::string& text) { std::fprintf(stderr, "perilune: %s\n", text.c_str()); }

int code_of(const script_end& end) {
  if (end.exited) return end.exit_code;
  if (end.how == script_end::kind::not_loaded) return exit_invalid_file;
  return end.how == script_end::kind::returned && end.unobserved == 0 ? exit_ok : exit_failed;
}

int run_script(const command_line& line) {
  const script_file script = read_script(line.file);
  if (!script.problem.empty()) {
    say(script.problem);
    return script.unreadable ? exit_usage : exit_invalid_file;
  }
  host scripts({.report = say});
  const script_end end = scripts.run(script.source, script.chunk_name, line.file, line.arguments);
  if (end.how == script_end::kind::not_loaded)
    say(end.message);
  else if (end.how != script_end::kind::returned && !end.exited)
    say(end.report);
  return code_of(end);
}

}  // namespace

int execute(const command_line& line) {
  switch (line.what) {
    case command_line::verb::version:
      std::printf("perilune %s\n", PERILUNE_VERSION);
      return exit_ok;
    case command_line::verb::help:
      std::fputs(help_text(), stdout);
      return exit_ok;
    case command_line::verb::usage_error:
      say(line.problem);
      return exit_usage;
    case command_line::verb::run:
      return run_script(line);
  }
  return exit_internal;
}

}  // namespace perilune::cli
