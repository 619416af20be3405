// Finding test files, running them, reporting. See test_command.hpp.
#include "test_command.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <random>

#include "command_line.hpp"
#include "lua_host.hpp"
#include "run_signals.hpp"
#include "script_file.hpp"
#include "test_run.hpp"

namespace perilune::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t largest_drawn_seed = 999'999;  // easy to type

bool is_test_file(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with("_test.lua") || (name.starts_with("test_") && name.ends_with(".lua"));
}

// The test files in a folder and below it, in the order of their names.
std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code ignored;
  const auto options = fs::directory_options::skip_permission_denied;
  auto at = fs::recursive_directory_iterator(folder, options, ignored);
  for (; at != fs::recursive_directory_iterator(); at.increment(ignored))  // a folder may go meanwhile
    if (is_test_file(at->path()) && !at->is_directory(ignored)) files.push_back(at->path().lexically_normal().string());
  std::sort(files.begin(), files.end());
  return files;
}

// The files to run; nothing, and a problem, when a path names none.
std::vector<std::string> find_files(const std::vector<std::string>& paths, std::string& problem) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code why;
    const fs::file_status status = fs::status(path, why);
    if (!fs::exists(status)) {
      problem = "cannot open " + path + ": " + (why ? why.message() : std::strerror(ENOENT));
      return {};
    }
    if (!fs::is_directory(status)) {
      files.push_back(path);
      continue;
    }
    const std::vector<std::string> found = files_below(path);
    if (found.empty()) {
      problem = "no test files in " + path + ": looked for *_test.lua and test_*.lua";
      return {};
    }
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

const char* flag(bool on) { return on ? "yes" : ""; }

// The host that the reporter lives in, from the first file to the summary.
class reporter {
 public:
  explicit reporter(message_sink say) : say_(say), host_({.runtime = {}, .report = say}) {}

  // Calls a function of perilune.test.report. What it says the exit code is, or nothing.
  std::optional<int> call(const std::string& function, std::vector<std::string> arguments) {
    const std::string source = "return require('perilune.test.report')." + function + "(...)";
    const script_end end =
        host_.run({.source = source, .name = "=report", .program = "perilune", .arguments = std::move(arguments)});
    if (end.exited) return end.exit_code;
    if (end.how != script_end::kind::returned) {
      say_("internal error in the report of tests: " + (end.report.empty() ? end.message : end.report));
      return exit_internal;
    }
    return std::nullopt;
  }

 private:
  message_sink say_;
  lua_host host_;
};

// What became of one file in one round.
struct file_end {
  std::string how = "ran";  // "invalid", "failed": it did not load; "exited": os.exit was called
  std::string text;         // the problem
  std::vector<std::string> results;
  int signal = 0;
};

class file_runner {
 public:
  file_runner(const test_request& request, message_sink say) : request_(request), say_(say) {}

  file_end run(const std::string& path, std::uint64_t seed) {
    const script_file file = read_script(path);
    if (!file.problem.empty()) return {.how = "invalid", .text = file.problem};
    test_run run;
    if (!request_.trace.empty()) run.watch.start_trace();
    file_end end;
    {
      lua_host scripts(run.options(seed, request_.shuffle));
      if (end.text = run.publish(scripts); !end.text.empty()) return end;
      run_signals signals(scripts.engine(), say_);
      end = run_in(scripts, path, file, seed);
      end.signal = signals.ended_by();
    }
    end.results = std::move(run.results);
    for (const std::string& text : run.reports) end.text += (end.text.empty() ? "" : "\n") + text;
    if (!request_.trace.empty())
      trace_ += "# " + path + " seed " + std::to_string(seed) + "\n" + run.watch.take_trace();
    return end;
  }

  const std::string& trace() const noexcept { return trace_; }

 private:
  // The file registers its tests; then a second script runs them.
  file_end run_in(lua_host& scripts, const std::string& path, const script_file& file, std::uint64_t seed) {
    file_end end;
    main_script what{.source = file.source,
                     .name = file.chunk_name,
                     .program = path,
                     .arguments = {},
                     .command = {"test", request_.program},
                     .folder = file.folder};
    script_end loaded = scripts.run(what);
    const std::string source = "require('perilune.test.runner').run(...)";
    if (loaded.how == script_end::kind::returned && !loaded.exited) {
      what.source = source;
      what.name = "=runner";
      what.arguments = {path,
                        std::to_string(seed),
                        request_.filter,
                        flag(request_.shuffle),
                        flag(request_.cancel_here),
                        flag(request_.list),
                        request_.timeout > duration::zero() ? std::to_string(to_seconds(request_.timeout)) : ""};
      loaded = scripts.run(what);
    }
    if (loaded.exited) return {.how = "exited", .text = "os.exit(" + std::to_string(loaded.exit_code) + ") was called"};
    if (loaded.how == script_end::kind::not_loaded) return {.how = "invalid", .text = loaded.message};
    if (loaded.how != script_end::kind::returned) return {.how = "failed", .text = loaded.report};
    return end;
  }

  const test_request& request_;
  message_sink say_;
  std::string trace_;
};

bool write_file(const std::string& path, const std::string& text, message_sink say) {
  std::FILE* to = std::fopen(path.c_str(), "wbe");
  bool written = to && std::fwrite(text.data(), 1, text.size(), to) == text.size();
  const int why = errno;
  if (to && std::fclose(to) != 0) written = false;
  if (!written) say("test: cannot write " + path + ": " + std::strerror(why));
  return written;
}

// All files in all rounds. The signal that ended it, or 0.
int run_all(const test_request& request, const std::vector<std::string>& files, std::uint64_t first_seed,
            file_runner& runner, reporter& report) {
  for (std::uint64_t round = 0; round < request.rounds; ++round) {
    for (const std::string& path : files) {
      file_end end = runner.run(path, first_seed + round);
      std::vector<std::string> arguments = {path, std::to_string(first_seed + round), end.how, end.text};
      std::move(end.results.begin(), end.results.end(), std::back_inserter(arguments));
      report.call("file", std::move(arguments));
      if (end.signal) return end.signal;
    }
  }
  return 0;
}

}  // namespace

int run_tests(const test_request& request, message_sink say) {
  std::string problem;
  const std::vector<std::string> files = find_files(request.paths, problem);
  if (!problem.empty()) {
    say("test: " + problem);
    return exit_usage;
  }
  std::uint64_t seed = request.seed;
  while (seed == 0) seed = std::random_device{}() % (largest_drawn_seed + 1);
  reporter report(say);
  report.call("begin", {std::to_string(seed), std::to_string(request.rounds), std::to_string(files.size()),
                        flag(request.shuffle), flag(request.cancel_here), flag(request.list), flag(request.verbose),
                        flag(request.tap), flag(wants_color(request.color)), request.filter, request.junit});
  file_runner runner(request, say);
  const int signal = run_all(request, files, seed, runner, report);
  const int code = report.call("finish", {}).value_or(exit_internal);
  if (!request.trace.empty() && !write_file(request.trace, runner.trace(), say)) return exit_usage;
  return signal ? exit_signal + signal : code;
}

}  // namespace perilune::cli
