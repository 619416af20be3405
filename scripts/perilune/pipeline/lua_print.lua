-- What Lua steps print is theirs: `print` and `io.write`, called while a Lua step runs, make lines of the step. Which step that is, the
-- task says: its task-local data, which the tasks that it spawns inherit, names the step's log (step_log.lua).
local data = require("perilune").data

local lua_print = {}

local mark = {}
local held = setmetatable({}, { __mode = "k" }) -- log -> the line that io.write has begun
local print_elsewhere, write_elsewhere = print, io.write

local function deliver(log, text)
  text = (held[log] or "") .. text
  local from = 1
  for line, after in text:gmatch("([^\n]*)\n()") do
    log:line("stdout", line, false)
    from = after
  end
  held[log] = from <= #text and text:sub(from) or nil
end

local function print_line(...)
  local log = data[mark]
  if not log then return print_elsewhere(...) end
  local words = table.pack(...)
  for i = 1, words.n do words[i] = tostring(words[i]) end
  deliver(log, table.concat(words, "\t") .. "\n")
end

local function write(...)
  local log = data[mark]
  if not log or io.output() ~= io.stdout then return write_elsewhere(...) end
  for i = 1, select("#", ...) do
    local word = select(i, ...)
    if type(word) ~= "string" and type(word) ~= "number" then
      error(("bad argument #%d to 'write' (string expected, got %s)"):format(i, type(word)), 2)
    end
    deliver(log, tostring(word))
  end
  return io.stdout
end

local printing = {}
printing.__index = printing

-- A line that was begun ends with the step, whatever way it ends.
function printing:close()
  if held[self.log] then deliver(self.log, "\n") end
end
printing.__close = printing.close

-- From now on the running task prints into that log, until what this returns is closed.
function lua_print.into(log)
  print, io.write = print_line, write
  data[mark] = log
  return setmetatable({ log = log }, printing)
end

return lua_print
