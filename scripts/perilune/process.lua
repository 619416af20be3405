-- perilune.process: child processes, each in a process group of its own. `run` starts one, feeds it, collects what it says
-- and waits for its end; `spawn` starts one and gives its streams and its end to the script.
--
-- Here what scripts pass is checked and brought into the one form the native half reads.
local native = require "perilune.native.process"
local options = require "perilune.native.options"

local error, ipairs, pairs, tostring, type = error, ipairs, pairs, tostring, type
local huge = math.huge
local concat, sort = table.concat, table.sort

local process = {}

local shared_names = { "argv", "sh", "cwd", "env", "clear_env", "stdin", "stdout", "stderr", "grace", "group" }
local function names_with(...)
  local names = { ... }
  for _, name in ipairs(shared_names) do names[#names + 1] = name end
  sort(names)
  return names
end
local run_names = names_with("timeout", "check", "output_limit")
local spawn_names = names_with("kill_on_close", "confirm_start")

local default_grace <const> = 5

-- A checker returns what it read, or nil and what is wrong.

local function bad(name, call, expected, value)
  return nil, ("bad option '%s' to '%s' (%s expected, got %s)"):format(name, call, expected, type(value))
end

local function has_zero(text) return text:find("\0", 1, true) ~= nil end

local function check_text(opts, name, call, expected)
  local value = opts[name]
  if type(value) ~= "string" then return bad(name, call, expected, value) end
  if has_zero(value) then return nil, ("bad option '%s' to '%s' (a zero byte in it)"):format(name, call) end
  return value
end

local function check_argv(opts, call)
  local argv = opts.argv
  if type(argv) ~= "table" or #argv == 0 then return bad("argv", call, "a list of at least one string", argv) end
  local words = {}
  for i = 1, #argv do
    local word = argv[i]
    if type(word) ~= "string" and type(word) ~= "number" then return bad("argv[" .. i .. "]", call, "a string", word) end
    words[i] = tostring(word)
    if has_zero(words[i]) then return nil, ("bad option 'argv[%d]' to '%s' (a zero byte in it)"):format(i, call) end
  end
  for key in pairs(argv) do
    if not words[key] then return nil, ("bad option 'argv' to '%s' (a list expected, it has the key %s)"):format(call, tostring(key)) end
  end
  return words
end

local function check_command(opts, call)
  if (opts.argv == nil) == (opts.sh == nil) then
    return nil, ("bad argument #1 to '%s' (give either argv = {\"program\", ...} or sh = \"command line\")"):format(call)
  end
  if opts.argv ~= nil then return check_argv(opts, call) end
  local line, problem = check_text(opts, "sh", call, "a command line")
  return line and { "/bin/sh", "-c", line }, problem
end

local function check_env(opts, call)
  if opts.env == nil then return false end
  if type(opts.env) ~= "table" then return bad("env", call, "a table of variables", opts.env) end
  local pairs_in_order, names = {}, {}
  for name, value in pairs(opts.env) do
    if type(name) ~= "string" or name == "" or name:find("=", 1, true) or has_zero(name) then
      return nil, ("bad option 'env' to '%s' (%s is no name of a variable)"):format(call, tostring(name))
    end
    if value ~= false and type(value) ~= "string" and type(value) ~= "number" or type(value) == "string" and has_zero(value) then
      return bad("env." .. name, call, "a string, or false to remove it", value)
    end
    names[#names + 1] = name
  end
  if #names > 1 then sort(names) end
  for i = 1, #names do
    local value = opts.env[names[i]]
    pairs_in_order[2 * i - 1] = names[i]
    pairs_in_order[2 * i] = value and tostring(value)
  end
  return pairs_in_order
end

local function check_file(value, name, call, ...)
  local problem = options.problem(value, name, { ... })
  if problem then return nil, ("bad option '%s' to '%s' (%s)"):format(name, call, problem) end
  if type(value.file) ~= "string" or has_zero(value.file) then return bad(name .. ".file", call, "a path", value.file) end
  return value.append and "append" or "file", value.file
end

-- Reads what a stream is to be: kind and value, or nil and what is wrong.
local function check_input(value, default, call)
  if value == nil then return default, false end
  if value == "inherit" or value == "null" then return value, false end
  if value == "pipe" and call == "spawn" then return "pipe", false end
  if type(value) == "string" then return "text", value end
  if type(value) ~= "table" then return bad("stdin", call, "a text, \"inherit\", \"null\", {file =} or {text =}", value) end
  if value.text == nil then return check_file(value, "stdin", call, "file", "text") end
  if type(value.text) ~= "string" then return bad("stdin.text", call, "a string", value.text) end
  return "text", value.text
end

local output_kinds = { capture = "pipe", pipe = "pipe", inherit = "inherit", null = "null" }

local function check_output(name, value, default, call)
  if value == nil then return default, false end
  if output_kinds[value] then return output_kinds[value], false end
  if value == "stdout" and name == "stderr" then return "output", false end
  if type(value) == "table" then return check_file(value, name, call, "file", "append") end
  local kinds = "\"capture\", \"inherit\", \"null\"" .. (name == "stderr" and ", \"stdout\"" or "") .. " or {file =}"
  if type(value) ~= "string" then return bad(name, call, kinds, value) end
  return nil, ("bad option '%s' to '%s' (%s expected, got \"%s\")"):format(name, call, kinds, value)
end

local function check_streams(opts, call)
  local runs = call == "run"
  local in_kind, in_value = check_input(opts.stdin, runs and "null" or "pipe", call)
  if not in_kind then return nil, in_value end
  local out_kind, out_value = check_output("stdout", opts.stdout, "pipe", call)
  if not out_kind then return nil, out_value end
  local err_kind, err_value = check_output("stderr", opts.stderr, runs and "pipe" or "inherit", call)
  if not err_kind then return nil, err_value end
  return { in_kind, in_value, out_kind, out_value, err_kind, err_value }
end

local function check_number(opts, name, call, expected, default)
  local value = opts[name]
  if value == nil then return default end
  if type(value) ~= "number" or value ~= value or value < 0 then return bad(name, call, expected, value) end
  return value
end

local function check_flag(opts, name, call, default)
  local value = opts[name]
  if value == nil then return default end
  if type(value) ~= "boolean" then
    local _, problem = bad(name, call, "a boolean", value)
    return nil, problem
  end
  return value
end

-- Reads everything: the arguments of the native calls by name, or nil and the first thing that is wrong.
local function check(opts, call, names)
  if type(opts) ~= "table" then
    return nil, ("bad argument #1 to '%s' (a table of options expected, got %s)"):format(call, type(opts))
  end
  if opts[1] ~= nil then return nil, ("bad argument #1 to '%s' (the program's words go into argv = {...})"):format(call) end
  local problem = options.problem(opts, call, names)
  if problem then return nil, problem end
  local read = { argv = nil, cwd = nil, env = nil, clear_env = nil, streams = nil, grace = nil, group = nil, kill_on_close = nil,
                 confirm_start = nil } -- room for all
  local function keep(name, value, why)
    if value == nil then problem = problem or why end
    read[name] = value
  end
  keep("argv", check_command(opts, call))
  if opts.cwd ~= nil then keep("cwd", check_text(opts, "cwd", call, "a path")) end
  keep("env", check_env(opts, call))
  keep("clear_env", check_flag(opts, "clear_env", call, false))
  keep("streams", check_streams(opts, call))
  keep("grace", check_number(opts, "grace", call, "seconds", default_grace))
  keep("group", check_flag(opts, "group", call, true))
  keep("kill_on_close", check_flag(opts, "kill_on_close", call, true))
  keep("confirm_start", check_flag(opts, "confirm_start", call, true))
  keep("check", check_flag(opts, "check", call, true))
  if opts.timeout ~= nil then keep("timeout", check_number(opts, "timeout", call, "seconds")) end
  if opts.output_limit ~= nil then
    local limit = opts.output_limit
    if not options.count(limit, 0) then
      keep("output_limit", bad("output_limit", call, "a number of bytes", limit))
    end
    read.output_limit = limit
  end
  if problem then return nil, problem end
  if read.timeout == huge then read.timeout = nil end
  return read
end

local function native_call(start, call)
  return start(call.argv, call.cwd, call.env, call.clear_env, call.streams, call.grace, call.group,
               not call.kill_on_close, call.timeout, call.output_limit, call.confirm_start)
end

-- What messages call the command: one short line.
local function shown(opts)
  local text = opts.sh or concat(opts.argv, " ")
  text = text:match("^%s*([^\n]*)")
  return #text <= 60 and text or text:sub(1, 57) .. "..."
end

local tail_bytes <const> = 8192

local function last_line(text)
  return text:match("([^\n]*%S[^\n]*)%s*$")
end

local function raise_end(opts, result)
  local tail = result.stderr and result.stderr:sub(-tail_bytes)
  local said = tail and last_line(tail)
  local message = shown(opts) ..
    (result.signal and " was ended by signal " .. result.signal or " exited with code " .. result.code) ..
    (said and ": " .. said:sub(1, 200) or "")
  native.raise("process", message, { code = result.code, signal = result.signal, stderr = tail, result = result })
end

-- Where standard streams are somebody's who shows them, children cannot inherit them: process.shown_(streams) changes what they are
-- to be, and returns who follows the child (perilune.pipeline.lua_children), or nil.

function process.run(opts)
  local call, problem = check(opts, "run", run_names)
  if not call then error(problem, 2) end
  local follower = process.shown_ and process.shown_(call.streams)
  local result, stopped_by
  if follower then
    result, stopped_by = follower:run(native_call(native.spawn, call), call)
  else
    result, stopped_by = native_call(native.run, call)
  end
  if stopped_by == "timeout" then
    native.raise("timeout", ("%s did not end within %g s"):format(shown(opts), opts.timeout), { result = result })
  elseif stopped_by == "limit" then
    native.raise("limit", shown(opts) .. " wrote more than output_limit allows", { result = result })
  elseif call.check and not result.ok then
    raise_end(opts, result)
  end
  return result
end

function process.spawn(opts)
  local call, problem = check(opts, "spawn", spawn_names)
  if not call then error(problem, 2) end
  local follower = process.shown_ and process.shown_(call.streams)
  local proc = native_call(native.spawn, call)
  if follower then follower:follow(proc) end
  return proc
end

return process
