-- The commands on pipelines: `perilune COMMAND WORDS`, called by the program with the words behind its name. Ends the program
-- with the exit code.
local vocabulary = require "perilune.cli.vocabulary"
local fs = require "perilune.fs"
local orphans = require "perilune.native.orphans"
local peri = require "perilune"
local system = require "perilune.native.system"
local flags = require "perilune.pipeline.flags"
local load_file = require "perilune.pipeline.load"
local text = require "perilune.pipeline.text"

local cli = {}

local function is_file(word) return fs.exists(word) and fs.stat(word).type == "file" end

-- A word without slashes may be the name of a step as well: it is a file where there is no pipeline that could have one.
local function is_bare_file(word)
  return not word:find("/", 1, true) and not word:match("%.toml$") and is_file(word) and not load_file.find(".", true)
end

-- Where words are read on as those of a script.
local function is_script(word, values) return word:match("%.lua$") ~= nil or not values.file and is_bare_file(word) end

local function is_pipeline_file(word)
  return word == "-" or word:match("%.toml$") or word:match("%.lua$") or word:find("/", 1, true) and is_file(word) or is_bare_file(word)
end

local function read_text(path)
  if path == "-" then return io.read("a"), "stdin", fs.real_path(".") end
  return load_file.source(path), path, load_file.folder_of(path)
end

-- The file that flags and words name; it is taken out of the words.
local function file_of(values, words)
  if values.file then return values.file end
  if words[1] and is_pipeline_file(words[1]) then return table.remove(words, 1) end
  local found = load_file.find(".")
  local name = found:match("[^/]*$")
  return fs.exists(name) and fs.real_path(name) == found and name or found
end

-- Commands that need no pipeline, each a function(values, words).
local function of_program(name)
  return function(...) return require("perilune.cli." .. name).main(...) end
end
local without_pipeline = {
  help = of_program "help", doctor = of_program "doctor", completion = of_program "completion",
  repl = of_program "repl", top = of_program "top", inspect = of_program "inspect",
  init = function(...) return require("perilune.pipeline.starter")(...) end,
  version = function()
    print("perilune " .. require("perilune.native.system").version)
    return 0
  end,
  schema = function() return require("perilune.pipeline.json_schema")() end,
}

-- A Lua file that is no pipeline: all words behind it are its own. Returns what runs it.
local function plain_script(source, shown, folder, words)
  local chunk = load_file.lua_chunk(source, shown, folder, words)
  return function() return chunk(table.unpack(words)) end
end

local function refuse_surplus(command, words)
  local most = vocabulary.commands[command].most
  if most and #words > most then text.refuse(2, "%s: '%s' is too much; see perilune %s --help", command, words[most + 1], command) end
end

local function set_log(values)
  local log = require("perilune").log
  if values["log-level"] then log.level(values["log-level"]) end
  if values["log-format"] then log.format(values["log-format"]) end
end

local function enter(directory)
  if not pcall(system.change_directory, directory) then text.refuse(2, "--directory: cannot enter %s", directory) end
end

local function check_command(command)
  if vocabulary.commands[command] then return end
  local meant = text.suggestion(command, vocabulary.names)
  text.refuse(2, "unknown command '%s'%s", command, meant ~= "" and meant or "; see perilune --help")
end

-- Commands that have their guard before the pipeline is read, and with it most of what a run has in memory.
local guarded = { run = true, resume = true, watch = true }

local function post_guard()
  orphans.post_guard()
  return peri.defer(orphans.drop_guard)
end

-- The command and its words, of words that begin with flags: they stand before the command, or before a file, or name one, and then
-- the command is run.
local function behind_flags(words)
  local values, at = flags.leading(words)
  local word = words[at]
  if vocabulary.commands[word] then return table.remove(words, at), words end
  if values.file or word and is_pipeline_file(word) then return "run", words end
  if values.help then return "help", {} end
  if not word then text.refuse(2, "no command; see perilune --help") end
  check_command(word)
end

-- The values of flags with those behind a Lua file, as far as they are flags: whether it holds a pipeline turns out when it has run.
local function told_behind(values, rest, command)
  local told = {}
  for name, value in pairs(values) do told[name] = type(value) == "table" and table.move(value, 1, #value, 1, {}) or value end
  pcall(flags.read_more, told, table.move(rest, 1, #rest, 1, {}), command)
  pcall(flags.read_environment, told, command)
  return told
end

-- given: {source, shown, folder} of a text that has been read already.
local function text_of(given, rest, values, words)
  if given then return table.unpack(given) end
  return read_text(rest and table.remove(rest, 1) or file_of(values, words))
end

local function fail_to_read(command, values, shown, problem)
  if command == "check" and values.json and text.is_problem(problem) and problem.code == 3 then
    require("perilune.pipeline.commands").tell_problems(shown, problem.message)
  end
  error(problem, 0)
end

local function carry_out(given, command, ...)
  local told = { ... }
  if command == "--" then command, told = behind_flags(told) end
  check_command(command)
  if command == "completion" and told[1] == "candidates" then return require("perilune.cli.completion").answer(table.unpack(told, 2)) end
  if vocabulary.commands[command].own_flags then text.refuse(2, "%s: its flags stand behind it; see perilune %s --help", command, command) end
  local values, words, behind, rest = flags.read(told, command, command == "run" and not given and is_script)
  if values.help then return require("perilune.cli.help").main({}, { command }) end
  if without_pipeline[command] then
    refuse_surplus(command, words)
    return without_pipeline[command](values, words)
  end
  set_log(values)
  if values.directory then enter(values.directory) end
  values.entered, values.directory = values.directory, nil
  if values.inspect then require("perilune.cli.inspected").start(values.inspect) end
  local source, shown, folder = text_of(given, rest, values, words)
  if rest and not load_file.holds_pipeline(source, shown) then return nil, plain_script(source, shown, folder, rest) end
  local guard <close> = guarded[command] and post_guard() or nil
  local told_now = rest and told_behind(values, rest, command) or values
  local read, pipeline, not_one = pcall(load_file.text, source, shown, folder, rest or words, told_now)
  if not read then fail_to_read(command, values, shown, pipeline) end
  if not pipeline then
    if command == "run" then return 0 end
    text.refuse(3, "the file returns no pipeline but %s", type(not_one))
  end
  if rest then words, behind = flags.read_more(values, rest, command) end
  refuse_surplus(command, words)
  flags.read_environment(values, command)
  return require("perilune.pipeline.commands")[command](pipeline, values, words, behind)
end

local function finish(ok, code, script)
  if script then return script() end
  if not ok then
    if not text.is_problem(code) then
      io.stdout:flush()
      io.stderr:write("perilune: internal error: ", tostring(code), "\n")
      os.exit(70)
    end
    io.stdout:flush()
    for line in code.message:gmatch("[^\n]+") do io.stderr:write("perilune: ", line, "\n") end
    code = code.code
  end
  os.exit(code or 0)
end

local function begin()
  io.stdout:setvbuf("line")
  collectgarbage("incremental", 400, 400) -- a plan of many steps is kept to the end: looking for garbage in it finds none
end

function cli.main(command, ...)
  begin()
  return finish(pcall(carry_out, nil, command, ...))
end

-- `run` of a text that the program has read: of standard input, or of a file whose name does not say what it is.
function cli.text(source, shown, ...)
  begin()
  local folder = shown == "-" and fs.real_path(".") or load_file.folder_of(shown)
  return finish(pcall(carry_out, { source, shown == "-" and "stdin" or shown, folder }, "run", ...))
end

return cli
