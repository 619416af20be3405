-- Streams made of streams: what is left out, what is made of each element, and how several become one.
local peri = require "perilune"
local core = require "perilune.stream.core"
local sources = require "perilune.stream.sources"

local error, next, pairs, pcall, select, type = error, next, pairs, pcall, select, type
local peri_select = peri.select
local pull, claim, check_function, check_count = core.pull, core.claim, core.check_function, core.check_count
local methods = core.methods

-- One element for each.
local function new_mapped(below, fn)
  return core.new { below = { below }, step = function()
    local value = pull(below)
    if value == nil then return nil end
    return fn(value)
  end }
end

function methods:map(fn)
  check_function(fn, "map")
  return new_mapped(claim(self, "map"), function(value) return core.element(fn(value), "map", fn) end)
end

-- The accumulated value after each element.
function methods:scan(start, fn)
  check_function(fn, "scan", 2)
  local sum = start
  return new_mapped(claim(self, "scan"), function(value)
    sum = core.element(fn(sum, value), "scan", fn)
    return sum
  end)
end

-- Calls `fn` with each element as it passes.
function methods:inspect(fn)
  check_function(fn, "inspect")
  return new_mapped(claim(self, "inspect"), function(value)
    fn(value)
    return value
  end)
end

function methods:filter(fn)
  check_function(fn, "filter")
  local below = claim(self, "filter")
  return core.new { below = { below }, step = function()
    local value = pull(below)
    while value ~= nil and not fn(value) do value = pull(below) end
    return value
  end }
end

function methods:take(count)
  check_count(count, "take", 0)
  local below = claim(self, "take")
  return core.new { below = { below }, step = function()
    if count == 0 then return nil end
    local value = pull(below)
    count = count - 1
    return value
  end }
end

function methods:skip(count)
  check_count(count, "skip", 0)
  local below = claim(self, "skip")
  return core.new { below = { below }, step = function()
    local value = pull(below)
    while value ~= nil and count > 0 do
      count = count - 1
      value = pull(below)
    end
    return value
  end }
end

-- Up to the first element that does not pass, which is dropped.
function methods:take_while(fn)
  check_function(fn, "take_while")
  local below = claim(self, "take_while")
  return core.new { below = { below }, step = function()
    local value = pull(below)
    if value == nil or not fn(value) then return nil end
    return value
  end }
end

-- Lists of `size` elements; the last may be shorter.
function methods:chunks(size)
  check_count(size, "chunks", 1)
  local below, chunk = claim(self, "chunks"), {}
  return core.new { below = { below }, step = function()
    while #chunk < size do
      local value = pull(below)
      if value == nil then break end
      chunk[#chunk + 1] = value
    end
    if #chunk == 0 then return nil end
    local full = chunk
    chunk = {}
    return full
  end }
end

-- `fn` makes of each element something that streams are made of; their elements follow each other.
function methods:flat_map(fn)
  check_function(fn, "flat_map")
  local below = claim(self, "flat_map")
  local parts = { below }
  return core.new { below = parts, step = function()
    while true do
      if parts[2] then
        local value = pull(parts[2])
        if value ~= nil then return value end
        parts[2] = nil
      end
      local value = pull(below)
      if value == nil then return nil end
      parts[2] = claim(sources.result_as_stream(core.element(fn(value), "flat_map", fn), "flat_map"), "flat_map")
    end
  end }
end

-- Pairs {a, b}, until one of the two has ended.
function methods:zip(other)
  local below = { claim(self, "zip"), claim(sources.as_stream(other, "zip"), "zip") }
  local left
  return core.new { below = below, step = function()
    if left == nil then left = pull(below[1]) end
    local right = left ~= nil and pull(below[2])
    if right == nil or left == nil then return nil end
    local pair = { left, right }
    left = nil
    return pair
  end }
end

-- The elements of several streams as they come. Among those that are ready the choice is uniform.
function methods:merge(...)
  local below = { claim(self, "merge") }
  for i = 1, select("#", ...) do below[i + 1] = claim(sources.as_stream((select(i, ...)), "merge", i), "merge") end
  local open = {}
  for i, s in pairs(below) do open[i] = s end
  return core.new { below = below, step = function()
    while next(open) do
      local arms = {}
      for i, s in pairs(open) do arms[i] = core.operation(s) end
      local i, value = peri_select(arms)
      if value ~= nil then return value end
      open[i] = nil
    end
    return nil
  end }
end

-- Until an operation commits or a token is cancelled. The operation is waited for once, from the first element asked for on.
function methods:take_until(stop)
  local token = sources.field(stop, "wait_op") ~= nil
  if not token and not pcall(peri.operation_parts_, stop) then
    error(("bad argument #1 to 'take_until' (an operation or a token expected, got %s)"):format(type(stop)), 2)
  end
  local below, waiting, reader = claim(self, "take_until"), nil, nil
  local function stop_op()
    if token then return stop:wait_op() end
    if not waiting then waiting, reader = core.spawn("stream.take_until", peri.perform, stop) end
    return waiting:join_op()
  end
  return core.new {
    below = { below },
    step = function()
      while true do
        local i, value, e = peri_select({ stop_op(), core.operation(below) }, { biased = true })
        if i == 2 then return value end
        if token or value then return nil end
        if not core.was_cut(e, reader) then error(e, 0) end
        waiting = nil
      end
    end,
    release = function()
      if not waiting then return end
      waiting:cancel("the stream was closed")
      waiting:join()
    end,
  }
end
