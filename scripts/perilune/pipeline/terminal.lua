-- Who reads what a run shows: a person at a terminal, a CI service, or a file. Asked once, when the run begins; the size of a
-- terminal whenever it is painted.
local env = require "perilune.env"
local fs = require "perilune.fs"
local system = require "perilune.native.system"

local terminal = {}

local stdout <const>, stderr <const> = 1, 2

local function is_set(name)
  local value = env.get(name)
  return value ~= nil and value ~= ""
end

local function colored(choice, dumb, descriptor)
  if choice ~= "auto" then return choice == "always" end
  if is_set "NO_COLOR" then return false end
  if is_set "CLICOLOR_FORCE" and env.get "CLICOLOR_FORCE" ~= "0" then return true end
  return not dumb and system.is_terminal(descriptor)
end

local function service(choice)
  if choice == "none" then return nil end
  if choice ~= "auto" then return choice end
  return env.get "GITHUB_ACTIONS" == "true" and "github" or env.get "GITLAB_CI" == "true" and "gitlab" or nil
end

local function speaks_unicode()
  local locale = is_set "LC_ALL" and env.get "LC_ALL" or is_set "LC_CTYPE" and env.get "LC_CTYPE" or env.get("LANG", "")
  return locale:lower():match("utf%-?8") ~= nil
end

-- What reads a pipe may well show it on the same terminal, in the midst of what is painted there.
local function writes_into_pipe()
  local ok, info = pcall(fs.stat, "/proc/self/fd/1")
  return ok and info ~= nil and info.type == "fifo"
end

local function mode_for(choice, reader)
  if choice == "live" and not reader.terminal then return "prefix" end
  if choice ~= "auto" then return choice end
  if reader.asked_for_ci then return "group" end
  if reader.terminal and not reader.dumb and not writes_into_pipe() then return "live" end
  return reader.ci and "group" or "prefix"
end

-- From the flags: {mode, ci, color_out, color_err, terminal, unicode, quiet (nothing of what goes well), mute (no lines of steps
-- either)}. "auto" and "live" have become what can be done.
function terminal.reader(values)
  local color, ci = values.color or "auto", values.ci or "auto"
  local reader = { dumb = not is_set "TERM" or env.get "TERM" == "dumb", terminal = system.is_terminal(stderr),
                   terminal_out = system.is_terminal(stdout), unicode = speaks_unicode() }
  reader.ci, reader.asked_for_ci = service(ci), ci == "github" or ci == "gitlab"
  reader.color_out, reader.color_err = colored(color, reader.dumb, stdout), colored(color, reader.dumb, stderr)
  reader.mode = mode_for(values.json and "json" or values.output or "auto", reader)
  reader.mute = reader.mode == "quiet"
  reader.quiet = values.quiet or reader.mute
  if reader.mute then reader.mode = "prefix" end
  reader.verbose = values.verbose and not reader.quiet
  return reader
end

-- Columns and rows of the terminal on standard error.
function terminal.size()
  local columns, rows = system.terminal_size(stderr)
  return columns or 80, rows or 24
end

return terminal
