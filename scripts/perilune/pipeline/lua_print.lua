-- What Lua steps print is theirs: `print`, `io.write`, what they write to io.stdout and io.stderr, and what their children write
-- there, while a Lua step runs, make lines of the step. Which step that is, the task says: its task-local data, which the tasks
-- that it spawns inherit, names the step's log (step_log.lua).
local data = require("perilune").data
local lua_children = require "perilune.pipeline.lua_children"
local process = require "perilune.process"

local lua_print = {}

local mark = {}
local streams <const> = { stdout = {}, stderr = {} } -- log -> the line that was begun there
for _, held in pairs(streams) do setmetatable(held, { __mode = "k" }) end

local files = getmetatable(io.stdout).__index
local print_elsewhere, write_elsewhere, write_to_file = print, io.write, files.write

-- What shows the lines writes too: meanwhile the task prints for nobody.
local restoring = {}
function restoring:__close() data[mark] = self.log end

local function print_for_nobody()
  local before = data[mark]
  data[mark] = false
  return setmetatable({ log = before }, restoring)
end

local function deliver(log, stream, text)
  local held = streams[stream]
  text = (held[log] or "") .. text
  local _ <close> = print_for_nobody()
  local from = 1
  for line, after in text:gmatch("([^\n]*)\n()") do
    log:line(stream, line, false)
    from = after
  end
  held[log] = from <= #text and text:sub(from) or nil
end

local function print_line(...)
  local log = data[mark]
  if not log then return print_elsewhere(...) end
  local words = table.pack(...)
  for i = 1, words.n do words[i] = tostring(words[i]) end
  deliver(log, "stdout", table.concat(words, "\t") .. "\n")
end

local function deliver_all(log, stream, ...)
  for i = 1, select("#", ...) do
    local word = select(i, ...)
    if type(word) ~= "string" and type(word) ~= "number" then
      error(("bad argument #%d to 'write' (string expected, got %s)"):format(i, type(word)), 3)
    end
    deliver(log, stream, tostring(word))
  end
end

local function write(...)
  local log = data[mark]
  if not log or io.output() ~= io.stdout then return write_elsewhere(...) end
  deliver_all(log, "stdout", ...)
  return io.stdout
end

local function write_file(file, ...)
  local stream = file == io.stdout and "stdout" or file == io.stderr and "stderr"
  local log = stream and data[mark]
  if not log then return write_to_file(file, ...) end
  deliver_all(log, stream, ...)
  return file
end

-- An interactive step has the terminal for its children as well.
local function shown(inherited)
  local log = data[mark]
  if not log or log.interactive then return nil end
  return lua_children.shown(inherited, function(stream, bytes) deliver(log, stream, bytes) end)
end

local printing = {}
printing.__index = printing

-- A line that was begun ends with the step, whatever way it ends.
function printing:close()
  for stream, held in pairs(streams) do
    if held[self.log] then deliver(self.log, stream, "\n") end
  end
  data[mark] = nil
end
printing.__close = printing.close

-- From now on the running task prints into that log, until what this returns is closed.
function lua_print.into(log)
  print, io.write, files.write, process.shown_ = print_line, write, write_file, shown
  data[mark] = log
  return setmetatable({ log = log }, printing)
end

-- Calls fn(...) for the runner: neither it nor the tasks that it spawns print for the step.
function lua_print.aside(fn, ...)
  local _ <close> = print_for_nobody()
  return fn(...)
end

return lua_print
