-- `perilune repl`: reads Lua, line by line, and carries it out in one task that may wait; tasks that a line has started go on behind
-- it. Input comes through the pool of threads, so that they run while the next line is awaited; at a terminal by an editor of lines
-- with a history, where the program was built with one.
local editor = require "perilune.native.editor"
local env = require "perilune.env"
local fs = require "perilune.fs"
local peri = require "perilune"
local signal = require "perilune.signal"
local system = require "perilune.native.system"

local repl = {}

local session = {}
session.__index = session

-- What a chunk is: a function, or nil and whether more lines may complete it, and the problem.
local function compile(source)
  local expression = source:match("^%s*=(.*)$")
  local chunk = load("return " .. (expression or source), "=stdin", "t")
  if chunk then return chunk end
  local problem
  chunk, problem = load(expression and "return " .. expression or source, "=stdin", "t")
  return chunk, not chunk and problem:match("<eof>['\"]?$") ~= nil, problem
end

local function say_problem(problem)
  io.stdout:flush()
  io.stderr:write(tostring(problem), "\n")
end

local function show(ok, ...)
  if not ok then return say_problem((...)) end
  local done, how = ...
  if not done then return say_problem(how) end
  if select("#", ...) > 1 then print(select(2, ...)) end
  io.stdout:flush()
end

function session:prompt(text)
  if not self.on_terminal or self.editor then return end
  io.stdout:write(text)
  io.stdout:flush()
end

-- Carries out a chunk; an interrupt meanwhile ends it.
function session:evaluate(chunk)
  self.token = peri.token()
  show(pcall(peri.with_token, self.token, chunk))
  self.token = nil
end

function session:interrupts()
  local listener <close> = signal.listen("INT")
  while listener:recv() do
    if self.token then
      self.token:cancel("interrupted")
    elseif self.editor then
      self.editor.interrupt()
    elseif self.on_terminal then
      self.lines:send("")
      self.dropped = true
    else
      os.exit(130)
    end
  end
end

function session:read_lines()
  local input = fs.open("/dev/stdin")
  for line in input:lines() do self.lines:send(line) end
  self.lines:close()
end

local function read_edited(...) return require("perilune.native.editor").read(...) end

-- The next line; nil at the end of the input.
function session:next_line(prompt)
  if not self.editor then
    self:prompt(prompt)
    return self.lines:recv()
  end
  local _ <close> = peri.defer(self.editor.interrupt)
  local line, why = peri.blocking(read_edited, prompt, self.history):await()
  self.dropped = why == "interrupted"
  return self.dropped and "" or line
end

function session:go()
  local source
  while true do
    local line = self:next_line(source and ">> " or "> ")
    if not line then break end
    if self.dropped then
      self.dropped, source = false, nil
      io.stdout:write("\n")
    else
      source = source and source .. "\n" .. line or line
      local chunk, incomplete, problem = compile(source)
      if chunk then self:evaluate(chunk) elseif not incomplete then say_problem(problem) end
      if not incomplete then source = nil end
    end
  end
  if source then say_problem(select(3, compile(source))) end
  if self.on_terminal then io.stdout:write("\n") end
end

-- Where lines are kept from session to session; nil where that cannot be.
local function history_path()
  local above = env.get "XDG_STATE_HOME"
  if not above or above == "" then above = env.get("HOME", "") .. "/.local/state" end
  local folder = above .. "/perilune"
  return above:sub(1, 1) == "/" and pcall(fs.mkdir, folder, { recursive = true }) and folder .. "/repl_history" or nil
end

-- The editor, where there is one and the terminal is one that it can use.
local function find_editor(on_terminal)
  local dumb = env.get("TERM", "dumb") == "dumb"
  return on_terminal and system.is_terminal(1) and not dumb and editor.usable() and editor or nil
end

function repl.main()
  _G.peri = peri
  local self = setmetatable({ on_terminal = system.is_terminal(0), lines = peri.channel(0), dropped = false }, session)
  if self.on_terminal then print(("perilune %s, %s; peri is require \"perilune\""):format(system.version, _VERSION)) end
  peri.spawn({ name = "interrupts", daemon = true }, self.interrupts, self)
  self.editor, self.history = find_editor(self.on_terminal), history_path()
  if not self.editor then peri.spawn({ name = "input", daemon = true }, self.read_lines, self) end
  self:go()
  return 0
end

return repl
