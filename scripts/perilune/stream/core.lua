-- What every stream is: a stage that can be asked for its next element, knows the streams below it, and can be closed.
-- See perilune.stream for the rules. A stage is made of
--   step(s)           the next element, or nil at the end; asked again after a cancellation, so what it holds stands in `s`
--   below             the streams it reads, closed with it
--   release(s)        what else there is to close, if anything
--   source(s), taken(s, ...)  where it can be waited for without a task: an operation, and the element its results stand for
local peri = require "perilune"
local options = require "perilune.native.options"

local error, ipairs, pcall, setmetatable, getmetatable, type = error, ipairs, pcall, setmetatable, getmetatable, type
local spawn, perform, choose, shield, channel, sleep_op = peri.spawn_below_task_, peri.perform, peri.choose, peri.shield, peri.channel, peri.sleep_op
local token, with_token, oneshot = peri.token, peri.with_token, peri.oneshot
local is_error, cancel_requested, this_task = peri.is_error, peri.cancel_requested, peri.self

local core = {}

local close_grace <const> = 5 -- seconds that closing may take in a task that is cancelled

core.methods = {}
local meta = { __index = core.methods, __name = "perilune.value_stream" }

function core.is_stream(value) return getmetatable(value) == meta end

-- Another task is in the middle of a reading: it wakes with the end, and has left when this returns.
local function send_reader_away(s)
  s.left = oneshot()
  s.closing:cancel("the stream was closed")
  s.left:recv()
end

local function close_parts(s)
  if s.reading and s.reading ~= this_task() then send_reader_away(s) end
  local pump = s.pump
  if pump then
    pump:cancel("the stream was closed")
    pump:join()
  end
  if s.release then s:release() end
  for _, below in ipairs(s.below) do core.close(below) end
end

-- Ends a stream, and then all below it; waits until they have ended.
function core.close(s)
  if s.ended then return end
  s.ended, s.held = true, nil
  if cancel_requested() then return shield(close_grace, close_parts, s) end
  close_parts(s)
end

-- Ends a stream that has failed, and raises the error again.
local function fail(s, e)
  pcall(core.close, s)
  error(e, 0)
end

-- One task reads ahead and offers what it has read. It ends with the task it is below: what it holds stays in `held`, and
-- the next who asks starts another.
local function run_pump(s, offers)
  local leaving <close> = setmetatable({}, { __close = function()
    s.pump = nil
    offers:close()
  end })
  while true do
    if s.held == nil then
      local ok, value = pcall(s.step, s)
      if not ok then
        s.failure = { value }
        return
      end
      s.held = value
    end
    if s.held == nil then
      s.dry = true
      return
    end
    if not offers:send(s.held) then return end
    s.held = nil
  end
end

local function ensure_pump(s)
  if s.pump and s.pump:status() == "cancelled" then s.pump = nil end
  if s.pump or s.dry or s.failure then return end
  s.offers = channel(0)
  s.pump = core.spawn("stream", run_pump, s, s.offers)
end

-- What an operation on a stream gives: the element that was offered, or what its absence means.
local function settle_offer(s, arm, value)
  if arm == 1 and value ~= nil then return value end
  if s.failure and not s.ended then fail(s, s.failure[1]) end
  if s.dry then core.close(s) end
  return core.pull(s)
end

local function settle_source(s, ...)
  if s.ended then return nil end
  local ok, value = pcall(s.taken, s, ...)
  if not ok then fail(s, value) end
  if value == nil then core.close(s) end
  return value
end

-- The operation of waiting for the next element.
function core.operation(s)
  if s.ended then return sleep_op(0):wrap(s.settle) end
  if s.source then return s:source():wrap(s.settle) end
  s.pumped = true
  ensure_pump(s)
  if not s.pump then return sleep_op(0):wrap(s.settle) end
  return choose({ s.offers:recv_op(), s.pump:join_op() }):wrap(s.settle)
end

-- The next element, for whoever owns the stream.
function core.pull(s)
  if s.ended then return nil end
  if s.pumped then return perform(core.operation(s)) end
  local value = s:step()
  if value == nil then core.close(s) end
  return value
end

-- A task of a stream: a daemon below the task that reads, not below a scope or time limit around one reading. Returns the
-- task and the reader's id.
function core.spawn(name, fn, ...)
  return spawn({ name = name, daemon = true }, fn, ...), this_task().id
end

-- Whether such a task was cancelled because its reader has ended: no end of what it was for, since now another one reads.
function core.was_cut(e, reader) return is_error(e, "cancelled") and reader ~= this_task().id end

-- Around each reading: an error ends the stream; a cancellation of who reads does not.
local guard_meta = { __close = function(guard, e)
  local s = guard.of
  s.reading = false
  if s.left then s.left:close() end
  if e ~= nil and not (is_error(e, "cancelled") and cancel_requested()) then pcall(core.close, s) end
end }

function core.new(s)
  s.below = s.below or {}
  s.guard = setmetatable({ of = s }, guard_meta)
  s.settle = s.source and function(...) return settle_source(s, ...) end or function(arm, value) return settle_offer(s, arm, value) end
  return setmetatable(s, meta)
end

-- Refuses, at the line that called the method, what is no stream or is not the caller's to read.
local function check_free(s, name, level)
  if not core.is_stream(s) then error(("bad argument #1 to '%s' (a stream expected, got %s): call it with ':'"):format(name, type(s)), level + 1) end
  if s.owned then error(("bad use of '%s' (the stream is part of another one)"):format(name), level + 1) end
  if s.reading then error(("bad use of '%s' (another task reads the stream; share it with to_channel)"):format(name), level + 1) end
end

-- Makes a stream part of another; returns it.
function core.claim(s, name, level)
  check_free(s, name, (level or 2) + 1)
  s.owned = true
  return s
end

function core.check_function(value, name, argument)
  if not options.callable(value) then
    error(("bad argument #%d to '%s' (a function expected, got %s)"):format(argument or 1, name, type(value)), 3)
  end
end

-- A whole number of at least `least`.
function core.check_count(value, name, least, argument)
  if not options.count(value, least) then
    error(("bad argument #%d to '%s' (an integer of at least %d expected, got %s)"):format(argument or 1, name, least, tostring(value)), 3)
  end
end

function core.check_seconds(value, name, argument)
  if type(value) ~= "number" or not (value >= 0) then
    error(("bad argument #%d to '%s' (seconds must be a number of at least 0, got %s)"):format(argument or 1, name, tostring(value)), 3)
  end
end

-- What a function has made of an element: never nil.
function core.element(value, name, fn)
  if value ~= nil then return value end
  local place = ""
  if type(fn) == "function" and debug and debug.getinfo then
    local info = debug.getinfo(fn, "S")
    place = (" at %s:%d"):format(info.short_src, info.linedefined)
  end
  error(("the function%s given to '%s' returned nil, which is no element; leave elements out with 'filter'"):format(place, name), 0)
end

local methods = core.methods

local function read(s, name)
  check_free(s, name, 3)
  s.reading, s.closing = this_task(), s.closing or token()
  local guard <close> = s.guard
  local ok, value = with_token(s.closing, core.pull, s)
  if ok then return value end
  return nil -- closed by another task
end

function methods:next() return (read(self, "next")) end

function methods:next_op()
  check_free(self, "next_op", 2)
  return core.operation(self)
end

function methods:close()
  if not core.is_stream(self) then error("bad argument #1 to 'close' (a stream expected): call it with ':'", 2) end
  core.close(self)
end

-- `for v in s:iter() do`: leaving the loop closes the stream.
function methods:iter()
  check_free(self, "iter", 2)
  return self, nil, nil, self
end

meta.__call = function(s) return (read(s, "for")) end
meta.__close = core.close

return core
