-- Where streams begin: lists, ranges, iterators, channels and receivers, intervals, files.
local peri = require "perilune"
local core = require "perilune.stream.core"
local checks = require "perilune.native.options"

local error, getmetatable, ipairs, pcall, select, tostring, type = error, getmetatable, ipairs, pcall, select, tostring, type
local huge = math.huge
local perform, sleep_op = peri.perform, peri.sleep_op

local sources = {}

local function ready() return sleep_op(0) end

-- A source that never waits needs no task to be waited for: its element is taken when the operation commits.
local function new_ready(s)
  s.source, s.taken = ready, s.step
  return core.new(s)
end

-- A source that is an operation, again and again.
local function new_operation(source, taken)
  return core.new { source = source, taken = taken, step = function(s) return s:taken(perform(source(s))) end }
end

function sources.of(...)
  local list, count = { ... }, select("#", ...)
  for i = 1, count do
    if list[i] == nil then error(("bad argument #%d to 'of' (nil is no element)"):format(i), 2) end
  end
  return sources.list(list)
end

-- The list as it is when each element is asked for.
function sources.list(list)
  local at = 0
  return new_ready { step = function()
    at = at + 1
    return list[at]
  end }
end

-- first, first + step, ... up to last, that included.
function sources.range(first, last, step)
  last, step = last == nil and huge or last, step == nil and 1 or step
  for i, value in ipairs { first == nil and "nil" or first, last, step } do
    if type(value) ~= "number" or value ~= value then error(("bad argument #%d to 'range' (a number expected, got %s)"):format(i, type(value)), 2) end
  end
  if step == 0 then error("bad argument #3 to 'range' (a step that is not 0 expected)", 2) end
  local at = 0
  return new_ready { step = function()
    local value = first + at * step
    if step > 0 and value > last or step < 0 and value < last then return nil end
    at = at + 1
    return value
  end }
end

-- A generic `for`, element by element: the first value of each round. A closing value is closed with the stream.
local function from_iterator(fn, state, control, closing)
  local function release()
    local last <close> = closing
  end
  return core.new {
    release = closing ~= nil and release or nil,
    step = function()
      local value = fn(state, control)
      control = value
      return value
    end,
  }
end

local function from_receiver(receiver, on_lag)
  local function taken(s, value, why, count)
    if why ~= "lagged" then return value end
    if not on_lag then error(("the stream's receiver lagged: %d messages lost"):format(count), 0) end
    on_lag(count)
    return s:step()
  end
  return new_operation(function() return receiver:recv_op() end, taken)
end

-- A watched value, each time it has changed since it was last seen; what lies between is left out.
local function from_watch(receiver)
  return new_operation(function() return receiver:changed_op() end, function(_, changed)
    if not changed then return nil end
    return core.element(receiver:get(), "watch")
  end)
end

local function from_interval(interval)
  return new_operation(function() return interval:tick_op() end, function(_, at) return at end)
end

-- value[name], or nil where that cannot be asked.
function sources.field(value, name)
  local ok, found = pcall(function() return value[name] end)
  return ok and found or nil
end

-- What a value is as a stream, or nil where it is none.
local function convert(value, on_lag)
  if core.is_stream(value) then return value end
  local of = getmetatable(value)
  if type(value) == "table" and not of then return sources.list(value) end
  if sources.field(value, "recv_op") then return from_receiver(value, on_lag) end
  if sources.field(value, "changed_op") then return from_watch(value) end
  if sources.field(value, "tick_op") then return from_interval(value) end
  if type(value) == "function" or type(of) == "table" and of.__call then return from_iterator(value) end
  return nil
end

local function not_one(value) return ("(a function, list, channel, receiver or interval expected, got %s)"):format(type(value)) end

-- As from, for an argument of an operator.
function sources.as_stream(value, name, argument)
  return convert(value) or error(("bad argument #%d to '%s' %s"):format(argument or 1, name, not_one(value)), 3)
end

-- The same for what an operator's function has returned; no line of the script stands for that.
function sources.result_as_stream(value, name)
  return convert(value) or error(("bad result of the function of '%s' %s"):format(name, not_one(value)), 0)
end

function sources.from(value, state, control, closing)
  if not checks.closable(closing) then error(("bad argument #4 to 'from' (a closable value expected, got %s)"):format(type(closing)), 2) end
  if type(value) == "function" then return from_iterator(value, state, control, closing) end
  local on_lag = type(state) == "table" and state.on_lag or nil
  if state ~= nil and type(on_lag) ~= "function" then error("bad argument #2 to 'from' ({on_lag = function} expected)", 2) end
  return convert(value, on_lag) or error("bad argument #1 to 'from' " .. not_one(value), 2)
end

-- Ticks: the instants at which they stood. Options as of peri.interval.
function sources.interval(seconds, options)
  local ok, interval = pcall(peri.interval, seconds, options)
  if not ok then error((tostring(interval):gsub("perilune%.", "", 1)), 2) end
  local s = from_interval(interval)
  s.release = function() interval:close() end
  return s
end

-- The lines of a file, without their ends. The file is closed with the stream.
function sources.lines(path)
  if type(path) ~= "string" then error(("bad argument #1 to 'lines' (a path expected, got %s)"):format(type(path)), 2) end
  if path:find("\0", 1, true) then error("bad argument #1 to 'lines' (a path holds no zero byte)", 2) end
  return from_iterator(peri.fs.lines(path))
end

return sources
