-- The words of the command line: every command and what it takes, every flag and what it means. Plain data: the reader of flags,
-- the help, the completions and the man page are made of it.
--
-- A flag: its name, `doc`, `kind` of value ("flag" has none, a "list" may be given several times), `short` letter, `value` as help
-- shows it, `default`, `complete` (what stands for it: "file", "folder", "step", "parameter", "pool", "run", or a list of words),
-- `variable` where that is not PERILUNE_ and the name.
local vocabulary = {}

local flags = {
  { "file", kind = "string", short = "f", value = "FILE", complete = "file", doc = "the pipeline file", default = "perilune.toml or perilune.lua, here or above" },
  { "directory", kind = "string", short = "C", value = "DIR", complete = "folder", doc = "look for files there instead of here" },
  { "param", kind = "list", short = "p", value = "NAME=VALUE", complete = "parameter", doc = "a parameter of the pipeline" },
  { "params-file", kind = "string", value = "FILE", complete = "file", doc = "parameters from a TOML or JSON file; -p wins" },
  { "env-file", kind = "list", value = "FILE", complete = "file", doc = "environment of the steps, from a file of NAME=VALUE lines" },
  { "jobs", kind = "jobs", short = "j", value = "N|auto", doc = "how many steps run at once", default = "the number of processors" },
  { "max-load", kind = "number", short = "l", value = "N", doc = "start no second process while the load is above" },
  { "pool", kind = "list", value = "NAME=N", complete = "pool", doc = "the size of a pool" },
  { "workers", kind = "integer", value = "N", doc = "threads that run Lua, each with a VM", default = "1" },
  { "keep-going", kind = "flag", short = "k", doc = "after a failure run what does not depend on it" },
  { "fail-fast", kind = "flag", doc = "after a failure start nothing more (this is the default)" },
  { "dry-run", kind = "flag", short = "n", doc = "say what would be done, and do nothing" },
  { "only", kind = "list", value = "STEP", complete = "step", doc = "these steps without what they need" },
  { "skip", kind = "list", value = "STEP", complete = "step", doc = "not these; what needs them runs all the same" },
  { "from", kind = "list", value = "STEP", complete = "step", doc = "these and what depends on them" },
  { "until", kind = "list", value = "STEP", complete = "step", doc = "these and what they need" },
  { "rerun", kind = "list", value = "STEP", complete = "step", doc = "these again although they succeeded" },
  { "force", kind = "flag", short = "F", doc = "run every step, up to date or not" },
  { "no-cache", kind = "flag", doc = "take no step for up to date" },
  { "stale", kind = "flag", doc = "exit with 10 where a step would run, and say which and why" },
  { "retries", kind = "integer", value = "N", doc = "further attempts at steps that do not say how many", default = "0" },
  { "timeout", kind = "duration", value = "DUR", doc = "limit of the whole run (exit code 124); what runs always still does, within its own timeout or the grace" },
  { "step-timeout", kind = "duration", value = "DUR", doc = "limit of each step that has none of its own" },
  { "grace", kind = "duration", value = "DUR", doc = "how long what is being stopped may take before it is killed", default = "10s" },
  { "debounce", kind = "duration", value = "DUR", doc = "how long nothing must have changed before it runs again", default = "100ms" },
  { "output", kind = "string", value = "MODE", complete = { "auto", "live", "prefix", "group", "keep-order", "quiet", "json" }, doc = "how output of steps is shown; quiet: only of those that fail", default = "auto" },
  { "ci", kind = "string", value = "SYSTEM", complete = { "auto", "github", "gitlab", "none" }, doc = "whose markers group the output", default = "auto" },
  { "report", kind = "list", value = "FORMAT=PATH", doc = "write a report: json, html, junit, trace or markdown" },
  { "trace", kind = "string", value = "PATH", complete = "file", doc = "write a trace that browsers show" },
  { "format", kind = "string", value = "FORMAT", doc = "what is written" },
  { "run", kind = "string", value = "ID", complete = "run", doc = "as it went in that run" },
  { "follow", kind = "flag", doc = "go on with what is still being written; so does -f where no file follows" },
  { "log-level", kind = "string", value = "LEVEL", complete = { "debug", "info", "warn", "error", "off" }, doc = "which records of peri.log are shown", default = "info" },
  { "log-format", kind = "string", value = "FORMAT", complete = { "text", "json" }, doc = "how they are shown", default = "text" },
  { "seed", kind = "integer", value = "N", doc = "of every random choice; 0 draws one", default = "0" },
  { "inspect", kind = "path", value = "PATH", complete = "file", doc = "let perilune top and inspect look inside, at a socket there or in the runtime folder" },
  { "yes", kind = "flag", doc = "answer yes to what would be asked" },
  { "json", kind = "flag", doc = "results as JSON on standard output" },
  { "color", kind = "string", value = "WHEN", complete = { "auto", "always", "never" }, doc = "colours; NO_COLOR and CLICOLOR_FORCE are heeded", default = "auto" },
  { "verbose", kind = "flag", short = "v", doc = "say more" },
  { "quiet", kind = "flag", short = "q", doc = "beside what steps print, say only what failed" },
  { "port", kind = "integer", value = "N", doc = "of localhost to serve the page at; 0 draws one", default = "0" },
  { "interval", kind = "duration", value = "DUR", doc = "how often to look", default = "1s" },
  { "once", kind = "flag", doc = "look once, print, and end" },
  { "help", kind = "flag", short = "h", doc = "this text" },
}

vocabulary.flags = {}
for place, flag in ipairs(flags) do
  flag.name, flag.place = flag[1], place
  flag.variable = "PERILUNE_" .. flag.name:upper():gsub("%-", "_")
  vocabulary.flags[flag.name] = flag
end

local where = { "file", "directory" }
local given = { "param", "params-file", "env-file" }
local shown = { "output", "ci", "color", "log-level", "log-format", "json", "verbose", "quiet" }
local running = { "jobs", "max-load", "pool", "workers", "keep-going", "fail-fast", "skip", "force", "no-cache", "retries", "timeout",
                  "step-timeout", "grace", "report", "trace", "seed", "inspect", "yes" }
local chosen = { "only", "from", "until" }

local function all(...)
  local names = {}
  for _, list in ipairs { ... } do table.move(list, 1, #list, #names + 1, names) end
  names[#names + 1] = "help"
  return names
end

local exit_codes = [[
exit codes:
  0    all wanted steps succeeded, were cached or rightly skipped; the script returned
  1    a step, a test or the script failed, or a failure went unobserved
  2    wrong usage, an unknown target or parameter, or FILE cannot be read
  3    FILE is invalid
  10   check --stale, why: something would run
  69   an executor cannot be reached
  70   internal error
  75   another run holds the state of this project
  124  --timeout
  129, 130, 143   ended by HUP, INT, TERM after the cleanup
os.exit(n) in a script runs closers first and exits with n.]]
vocabulary.exit_codes = exit_codes

-- `words`: what its words are, for completions; `most`: how many it takes beside FILE, without which there is no limit.
local commands = {
  { "run", usage = "[FLAGS] [FILE] [TARGET...] [-- ARGS]", words = "target", flags = all(where, given, running, chosen, { "dry-run" }, shown),
    summary = "run a pipeline, or a script",
    detail = [[
FILE is a pipeline in TOML or Lua, a Lua script, or - for standard input. Without one, perilune.toml, then perilune.lua, is
searched here and above. A step runs once, after what it needs; one whose outputs are as it would make them now does not run.
TARGET is a step, a row of its matrix, or an item of its fan-out, like 'test[3]': of the fan-out only that item runs then.

A script is a task. It finds its arguments in `arg` and `...`, the library in require "perilune", and its own modules beside
itself. Flags stand before FILE then, all behind it is the script's; --grace, --seed, --workers and --inspect mean something there.

The first INT, TERM or HUP starts nothing more and ends what runs; the second kills it; the third exits at once. When the time
of --timeout is over nothing more starts either; steps that run always, or at the end, still do, each within its own timeout
or, without one, the grace. While Ctrl-Z has stopped a run, time counts for no limit.]] },
  { "watch", usage = "[FLAGS] [FILE] [TARGET...]", words = "target", flags = all(where, given, running, chosen, { "debounce" }, shown),
    summary = "run targets again whenever what they depend on has changed",
    detail = [[
Watches the inputs of the wanted steps, the pipeline file, and the files that it names. Only changed content counts. A pass that is
under way is ended first, with its processes. Interrupt to end.]] },
  { "list", most = 0, usage = "[FLAGS] [FILE]", flags = all(where, { "json" }), summary = "the steps and what they are for" },
  { "show", most = 1, usage = "[FLAGS] STEP", words = "step", flags = all(where, given, { "json" }), summary = "a step as it would run, names replaced" },
  { "why", most = 1, usage = "[FLAGS] STEP", words = "step", flags = all(where, given, { "json" }), summary = "why a step would run, or would not" },
  { "graph", most = 0, usage = "[FLAGS] [FILE]", flags = all(where, given, { "format", "run" }), summary = "the graph of steps: --format dot, mermaid, json or html",
    formats = { "dot", "mermaid", "json", "html" } },
  { "check", most = 0, usage = "[FLAGS] [FILE]", words = "file", flags = all(where, given, { "stale", "json" }), summary = "look for mistakes, run nothing" },
  { "resume", most = 1, usage = "[FLAGS] [RUN]", words = "run", flags = all(where, given, running, chosen, { "rerun" }, shown),
    summary = "go on with a run (the last one); what succeeded stays done" },
  { "history", most = 0, usage = "[FLAGS]", flags = all(where, { "json", "color" }), summary = "the runs of this project" },
  { "logs", most = 2, usage = "[FLAGS] RUN [STEP]", words = "run", flags = all(where, { "follow" }), summary = "what the steps of a run said; RUN may be last" },
  { "report", most = 1, usage = "[FLAGS] RUN", words = "run", flags = all(where, { "format", "report" }), summary = "a report of a run: --format json, html, junit, trace or markdown",
    formats = { "json", "html", "junit", "trace", "markdown" } },
  { "clean", usage = "[FLAGS] [STEP...]", words = "step", flags = all(where, given, { "dry-run" }),
    summary = "remove the outputs of steps, or of all and the state as well" },
  { "init", most = 0, usage = "[FLAGS]", flags = all({ "directory" }), summary = "write a first perilune.toml" },
  { "test", usage = "[FLAGS] PATH...", words = "file", own_flags = true, summary = "run tests: files, or a folder's *_test.lua and test_*.lua" },
  { "top", most = 1, usage = "[FLAGS] [PID|SOCKET]", words = "program", flags = all({ "interval", "once", "json", "color" }),
    summary = "the tasks of a running program, live in the terminal",
    detail = [[
The program was started with --inspect, or with PERILUNE_INSPECT=1. Without PID, the one that runs; where there are several, they
are listed. q or an interrupt ends it.]] },
  { "inspect", most = 1, usage = "[FLAGS] [PID|SOCKET]", words = "program", flags = all({ "port" }),
    summary = "the tasks of a running program, as a page of a local web server" },
  { "repl", most = 0, usage = "[FLAGS]", flags = all({ "color" }), summary = "type Lua; every line is a task that may wait",
    detail = [[
A line that is an expression prints its values; `=expr` does so too. What is not complete yet goes on in the next line. An error
ends the line, not the session. Global variables stay. An interrupt ends the line under way, end of input the session. At a terminal lines are edited as in a shell,
and kept for the next session in $XDG_STATE_HOME/perilune/repl_history, where libedit is installed.]] },
  { "doctor", most = 0, usage = "[FLAGS]", flags = all(where, { "json" }), summary = "look whether everything is there that runs need" },
  { "completion", most = 1, usage = "bash|zsh|fish", words = { "bash", "zsh", "fish" }, flags = all(),
    summary = "the completions of a shell, on standard output",
    detail = [[
  bash   perilune completion bash > ~/.local/share/bash-completion/completions/perilune
  zsh    perilune completion zsh > "${fpath[1]}/_perilune"
  fish   perilune completion fish > ~/.config/fish/completions/perilune.fish]] },
  { "schema", most = 0, usage = "", flags = all(), summary = "the JSON Schema of a pipeline in TOML" },
  { "help", most = 1, usage = "[COMMAND]", words = "command", flags = all({ "format" }), formats = { "text", "man" }, summary = "this text, or that of a command" },
  { "version", most = 0, usage = "", flags = all(), summary = "the version" },
}

vocabulary.test_flags = {
  { "filter", value = "TEXT", doc = "only tests whose name has TEXT in it, or matches it as a Lua pattern" },
  { "seed", value = "N", doc = "of every random choice; 0 draws one, and it is printed", default = "0", variable = "PERILUNE_SEED" },
  { "rounds", value = "N", doc = "run everything N times, each with the next seed", default = "1" },
  { "shuffle", doc = "tests, and tasks that are ready, run in an order drawn from the seed" },
  { "cancel-here", doc = "run each test once more for each of its suspension points, and cancel it there" },
  { "timeout", value = "DUR", doc = "how long a test may take, in virtual time" },
  { "tap", doc = "results as TAP on standard output" },
  { "junit", value = "FILE", complete = "file", doc = "results as JUnit XML in a file" },
  { "trace", value = "FILE", complete = "file", doc = "every switch of tasks, as text" },
  { "color", value = "WHEN", complete = { "auto", "always", "never" }, doc = "colours", default = "auto" },
  { "list", doc = "the names only" },
  { "verbose", short = "v", doc = "say more" },
}
for _, flag in ipairs(vocabulary.test_flags) do
  flag.name, flag.kind = flag[1], flag.value and "string" or "flag"
  flag.variable = flag.variable or "PERILUNE_TEST_" .. flag.name:upper():gsub("%-", "_")
end

vocabulary.commands, vocabulary.names = commands, {}
for i, command in ipairs(commands) do
  command.name = command[1]
  vocabulary.commands[command.name], vocabulary.names[i] = command, command.name
end

-- The flags of a command as help lists them.
function vocabulary.flags_of(command)
  if command.own_flags then return vocabulary.test_flags end
  local listed = {}
  for _, name in ipairs(command.flags) do listed[#listed + 1] = vocabulary.flags[name] end
  table.sort(listed, function(a, b) return a.place < b.place end)
  return listed
end

return vocabulary
