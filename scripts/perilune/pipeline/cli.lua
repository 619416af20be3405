-- The commands on pipelines: `perilune COMMAND WORDS`, called by the program with the words behind its name. Ends the program
-- with the exit code.
local vocabulary = require "perilune.cli.vocabulary"
local fs = require "perilune.fs"
local flags = require "perilune.pipeline.flags"
local load_file = require "perilune.pipeline.load"
local text = require "perilune.pipeline.text"

local cli = {}

local function is_pipeline_file(word) return word == "-" or word:match("%.toml$") or word:match("%.lua$") end

-- The pipeline that flags and words name; takes the file out of the words.
local function load_pipeline(values, words)
  local prefix = values.directory and values.directory .. "/" or ""
  local shown = values.file
  if not shown and words[1] and is_pipeline_file(words[1]) then shown = table.remove(words, 1) end
  if shown == "-" then return load_file.toml(io.read("a"), "stdin", fs.real_path(values.directory or ".")) end
  if shown then
    local path = shown:match("^/") and shown or prefix .. shown
    return load_file.read(path, shown)
  end
  local found = load_file.find(values.directory or ".")
  return load_file.read(found, found:match("[^/]*$"))
end

-- Commands that need no pipeline, each a function(values, words).
local function of_program(name)
  return function(...) return require("perilune.cli." .. name).main(...) end
end
local without_pipeline = {
  help = of_program "help", doctor = of_program "doctor", completion = of_program "completion",
  repl = of_program "repl",
  init = function(...) return require("perilune.pipeline.starter")(...) end,
  version = function()
    print("perilune " .. require("perilune.native.system").version)
    return 0
  end,
  schema = function() return require("perilune.pipeline.json_schema")() end,
}

local function set_log(values)
  local log = require("perilune").log
  if values["log-level"] then log.level(values["log-level"]) end
  if values["log-format"] then log.format(values["log-format"]) end
end

local function carry_out(command, ...)
  if not vocabulary.commands[command] then
    local meant = text.suggestion(command, vocabulary.names)
    text.refuse(2, "unknown command '%s'%s", command, meant ~= "" and meant or "; see perilune --help")
  end
  if command == "completion" and ... == "candidates" then return require("perilune.cli.completion").answer(select(2, ...)) end
  local values, words, behind = flags.read({ ... }, command)
  if values.help then return require("perilune.cli.help").main({}, { command }) end
  if without_pipeline[command] then return without_pipeline[command](values, words) end
  set_log(values)
  local commands = require "perilune.pipeline.commands"
  local pipeline, not_one = load_pipeline(values, words)
  if not pipeline then
    if command == "run" then return 0 end
    text.refuse(3, "the file returns no pipeline but %s", type(not_one))
  end
  return commands[command](pipeline, values, words, behind)
end

function cli.main(command, ...)
  io.stdout:setvbuf("line")
  collectgarbage("incremental", 400, 400) -- a plan of many steps is kept to the end: looking for garbage in it finds none
  local ok, code = pcall(carry_out, command, ...)
  if not ok then
    if not text.is_problem(code) then error(code, 0) end
    io.stdout:flush()
    for line in code.message:gmatch("[^\n]+") do io.stderr:write("perilune: ", line, "\n") end
    code = code.code
  end
  os.exit(code or 0)
end

return cli
