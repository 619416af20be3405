-- The commands on pipelines: `perilune COMMAND WORDS`, called by the program with the words behind its name. Ends the program
-- with the exit code.
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

local without_file = { init = true, schema = true }

local function carry_out(command, ...)
  local values, words, behind = flags.read({ ... }, command)
  local commands = require "perilune.pipeline.commands"
  if without_file[command] then return commands[command](values, words) end
  local pipeline, not_one = load_pipeline(values, words)
  if not pipeline then
    if command == "run" then return 0 end
    text.refuse(3, "the file returns no pipeline but %s", type(not_one))
  end
  return commands[command](pipeline, values, words, behind)
end

function cli.main(command, ...)
  io.stdout:setvbuf("line")
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
