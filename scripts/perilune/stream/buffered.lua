-- Elements that take time, several at once. Each runs in a task of its own, a daemon below the one that reads the stream.
local peri = require "perilune"
local core = require "perilune.stream.core"
local options = require "perilune.native.options"

local error, table_remove, type = error, table.remove, type
local peri_select = peri.select
local methods = core.methods
local in_order = { biased = true }

local function call(fn) return fn() end

local buffer = {}
buffer.__index = buffer

-- The arms that go on: more to run, as long as there is room, and what has finished, in order or any.
function buffer:arms()
  local arms = {}
  if not self.dry and #self < self.size then arms[1] = core.operation(self.below) end
  self.first = #arms
  for i = 1, self.ordered and math.min(#self, 1) or #self do arms[#arms + 1] = self[i].task:join_op() end
  return arms
end

function buffer:start(entry)
  entry.task, entry.reader = core.spawn("stream.buffered", self.fn, entry.element)
end

function buffer:step()
  while not self.dry or #self > 0 do
    local arm, ok, result = peri_select(self:arms(), in_order)
    local entry = self[arm - self.first]
    if arm <= self.first then
      self.dry = ok == nil
      if ok ~= nil then
        self[#self + 1] = { element = ok }
        self:start(self[#self])
      end
    elseif not ok and core.was_cut(result, entry.reader) then
      self:start(entry)
    else
      table_remove(self, arm - self.first)
      if not ok then error(result, 0) end
      return core.element(result, "buffered", self.fn)
    end
  end
  return nil
end

function buffer:release()
  for i = 1, #self do self[i].task:cancel("the stream was closed") end
  for i = 1, #self do self[i].task:join() end
end

function methods:buffered(size, fn, opts)
  core.check_count(size, "buffered", 1)
  if opts == nil and type(fn) == "table" then fn, opts = nil, fn end
  if fn ~= nil then core.check_function(fn, "buffered", 2) end
  local problem = opts ~= nil and options.problem(opts, "buffered", { "ordered" })
  if problem then error(problem, 2) end
  local below = core.claim(self, "buffered")
  local running = setmetatable({ below = below, size = size, fn = fn or call, ordered = not opts or opts.ordered ~= false }, buffer)
  return core.new {
    below = { below },
    step = function() return running:step() end,
    release = function() running:release() end,
  }
end
