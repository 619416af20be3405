// `perilune run`. See run_command.hpp.
#include "run_command.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fcntl.h>

#include "lua_host.hpp"
#include "painted.hpp"
#include "pipeline_text.hpp"
#include "run_signals.hpp"
#include "script_file.hpp"
#include "test_command.hpp"

namespace perilune::cli {

namespace {

// One message on standard error, after what the script has printed so far.
void say(const std::string& text) {
  std::fflush(stdout);
  painted::say(text);
}

// A standard stream that the caller has closed must not become the descriptor of something else.
void fill_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) static_cast<void>(open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY));
}

// What the script printed must have arrived; that nobody reads it any more is for the signal rules to say.
int flush_output(int code) {
  const bool lost = std::ferror(stdout) != 0;
  const int why = std::fflush(stdout) == 0 ? 0 : errno;
  if ((!lost && !why) || why == EPIPE || code != exit_ok) return code;
  if (nobody_reads_output()) return exit_signal + SIGPIPE;
  say(why ? std::string("cannot write standard output: ") + std::strerror(why) : "cannot write standard output");
  return exit_failed;
}

void say_stall(const std::string& report) {
  std::string text = "deadlock: nothing can run, and nothing can wake these tasks:\n" + report;
  if (text.back() == '\n') text.pop_back();
  say(text);
}

int report_end(const script_end& end, int signal) {
  if (end.how == script_end::kind::not_loaded) {
    say(end.message);
    return exit_invalid_file;
  }
  const bool failed = end.how == script_end::kind::failed;
  const bool cancelled = end.how == script_end::kind::cancelled && !signal;
  if ((failed || cancelled) && !end.exited) say(end.report);
  if (end.exited) return end.exit_code;
  if (signal) return exit_signal + signal;
  return failed || cancelled || end.unobserved ? exit_failed : exit_ok;
}

// Runs a script whose text is there already.
int run_source(const command_line& line, const main_script& what) {
  runtime_options options{.workers = static_cast<unsigned>(line.workers), .seed = line.seed, .grace = line.grace};
  options.on_stall = say_stall;
  lua_host scripts({.runtime = std::move(options), .preempt = {.how = preemption::mode::slice}, .report = say});
  run_signals signals(scripts.engine(), say);
  const script_end end = scripts.run(what);
  return flush_output(report_end(end, signals.ended_by()));
}

int run_in_lua(const command_line& line) {
  return run_source(line, {.source = "return require('perilune.pipeline.cli').main(...)",
                           .name = "=perilune",
                           .program = "perilune",
                           .arguments = line.arguments});
}

// A pipeline from standard input, or in a file whose name does not say so. Its words are read in Lua.
int run_pipeline_text(const command_line& line, const script_file& file) {
  std::vector<std::string> words = {file.source, line.file};
  words.insert(words.end(), line.arguments.begin(), line.arguments.end());
  return run_source(line, {.source = "return require('perilune.pipeline.cli').text(...)",
                           .name = "=perilune",
                           .program = "perilune",
                           .arguments = std::move(words)});
}

// Lets others look inside, before the script begins: on its first line, so that all lines keep their numbers.
std::string inspected(const std::string& source, const std::string& where) {
  const std::string call = "require('perilune.cli.inspected').start([==[" + where + "]==]) ";
  return call + (source.starts_with('#') ? "--" : "") + source;
}

int run_script(const command_line& line) {
  const script_file file = read_script(line.file);
  if (!file.problem.empty()) {
    say(file.problem);
    return file.unreadable ? exit_usage : exit_invalid_file;
  }
  if (is_pipeline(file.source)) return run_pipeline_text(line, file);
  const std::string source = line.inspect.empty() ? file.source : inspected(file.source, line.inspect);
  return run_source(line, {.source = source,
                           .name = file.chunk_name,
                           .program = line.file,
                           .arguments = line.arguments,
                           .command = line.command,
                           .folder = file.folder});
}

}  // namespace

int execute(const command_line& line) {
  fill_standard_streams();
  switch (line.what) {
    case command_line::verb::version:
      std::printf("perilune %s\n", PERILUNE_VERSION);
      return flush_output(exit_ok);
    case command_line::verb::usage_error:
      say(line.problem);
      return exit_usage;
    case command_line::verb::run:
      return run_script(line);
    case command_line::verb::in_lua:
      return run_in_lua(line);
    case command_line::verb::test:
      return flush_output(run_tests(line.test, say));
  }
  return exit_internal;
}

}  // namespace perilune::cli
