-- `perilune repl`: reads Lua, line by line, and carries it out in one task that may wait; tasks that a line has started go on behind
-- it. Input comes through the pool of threads, so that they run while the next line is awaited.
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
  if not self.on_terminal then return end
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

function session:go()
  local source
  while true do
    self:prompt(source and ">> " or "> ")
    local line = self.lines:recv()
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
  self:prompt("\n")
end

function repl.main()
  _G.peri = peri
  local self = setmetatable({ on_terminal = system.is_terminal(0), lines = peri.channel(0), dropped = false }, session)
  if self.on_terminal then print(("perilune %s, %s; peri is require \"perilune\""):format(system.version, _VERSION)) end
  peri.spawn({ name = "interrupts", daemon = true }, self.interrupts, self)
  peri.spawn({ name = "input", daemon = true }, self.read_lines, self)
  self:go()
  return 0
end

return repl
