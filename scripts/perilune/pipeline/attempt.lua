-- One attempt at a step's command: a process group, its lines, its end. Whatever way the attempt ends, the group is empty
-- afterwards, and all that it has written has been handed over.
local peri = require "perilune"
local process = require "perilune.process"
local time_limit = require "perilune.pipeline.time_limit"

local attempt = {}

local hold_seconds <const> = 0.2
local hold_bytes <const> = 64 * 1024
local patience <const> = 0.2 -- for a pipe that someone outside the group holds open, after it has fallen silent

local reader = {}
reader.__index = reader

local function new_reader(pipe, mask, deliver)
  return setmetatable({ pipe = pipe, next = pipe and pipe:read_op("some"), mask = mask, deliver = deliver, held = "", hold_until = nil }, reader)
end

-- For output that comes from elsewhere than a pipe too.
attempt.reader = new_reader

-- Hands over an unfinished line as far as no secret may have begun at its end.
function reader:release(final)
  local held = self.held
  local ready = final and #held or self.mask:safe_length(held)
  if ready == 0 and #held > hold_bytes then ready = #held end
  if ready > 0 then self.deliver(held:sub(1, ready), true) end
  self.held = held:sub(ready + 1)
  self.hold_until = self.held ~= "" and peri.now() + hold_seconds or nil
end

-- Hands over whole lines; an unfinished one is held for a moment at most.
function reader:take(bytes)
  local held = self.held .. bytes
  local from = 1
  while true do
    local stop = held:find("\n", from, true)
    if not stop then break end
    self.deliver(held:sub(from, stop - 1), false)
    from = stop + 1
  end
  self.held = held:sub(from)
  if #self.held > hold_bytes then return self:release(false) end
  self.hold_until = self.held ~= "" and peri.now() + hold_seconds or nil
end

-- All pipes of a process, read by the task that waits for it.
local pipes = {}
pipes.__index = pipes

local function open_pipes(proc, command, deliver)
  local readers, waits = {}, { stdout = nil, stderr = nil, over = nil, held = nil, late = nil, silent = nil } -- room for all
  for _, stream in ipairs(proc.stdout and { "stdout", "stderr" } or {}) do
    local one = new_reader(proc[stream], command.mask, function(line, partial) deliver(stream, line, partial) end)
    readers[stream], waits[stream] = one, one.next
  end
  return setmetatable({ readers = readers, waits = waits }, pipes)
end

-- Seconds until an unfinished line has been held for long enough, or nil.
function pipes:patience()
  local first
  for _, one in pairs(self.readers) do
    if one.hold_until and (not first or one.hold_until < first) then first = one.hold_until end
  end
  return first and math.max(first - peri.now(), 0)
end

function pipes:release_late()
  local now = peri.now()
  for _, one in pairs(self.readers) do
    if one.hold_until and one.hold_until <= now then one:release(false) end
  end
end

function pipes:release_all()
  for _, one in pairs(self.readers) do one:release(true) end
end

-- Reads until `over` is ready; what that gives. With `seconds`, true when that time has passed before.
function pipes:read_until(over, seconds)
  local waits, late = self.waits, seconds and time_limit.now() + seconds
  waits.over = over
  while true do
    local hold, rest = self:patience(), late and math.max(late - time_limit.now(), 0)
    waits.held = hold and (not rest or hold < rest) and peri.sleep_op(hold) or nil
    waits.late = rest and not waits.held and peri.sleep_op(rest) or nil
    local what, value = peri.select(waits)
    if what == "over" then return value end
    if what == "late" then
      if time_limit.now() >= late then return nil, true end
    elseif what == "held" then
      self:release_late()
    elseif value then
      self.readers[what]:take(value)
    else
      waits[what] = nil
    end
  end
end

-- Waits for the ends of the pipes, but not for those outside the group who keep them open and say nothing.
function pipes:drain()
  local waits = self.waits
  waits.over, waits.held, waits.late = nil, nil, nil
  while next(waits) do
    waits.silent = peri.sleep_op(patience)
    local what, bytes = peri.select(waits)
    waits.silent = nil
    if what == "silent" then break end
    if bytes then self.readers[what]:take(bytes) else waits[what] = nil end
  end
  self:release_all()
end

local function spawn(command)
  local stream = command.interactive and "inherit" or "pipe"
  return process.spawn {
    argv = command.argv, cwd = command.cwd, env = command.env, grace = command.grace, confirm_start = false,
    stdin = command.interactive and "inherit" or "null", stdout = stream, stderr = stream,
  }
end

-- Ends the group, and reads meanwhile what it says. Returns its leader's end.
local function end_group(proc, streams, grace)
  local ending = peri.spawn({ name = "end the group" }, proc.kill, proc, grace)
  streams:read_until(ending:join_op())
  return select(2, assert(ending:join()))
end

-- Waits for the end of the group: its leader's, then the rest is ended. Returns the leader's end, whether that took too long,
-- and how many others were left.
local function wait_for_group(proc, streams, command)
  local status, late = streams:read_until(proc:wait_op(), command.timeout)
  if late then return end_group(proc, streams, command.grace), true, 0 end
  local left = proc:members()
  if left > 0 then end_group(proc, streams, command.grace) end
  return status, false, left
end

local function ended(status, late)
  local state = late and "timeout" or status.ok and "succeeded" or "failed"
  return { state = state, code = status.code, signal = status.signal, user = status.rusage.user, system = status.rusage.system,
           left = nil, tail = nil, log = nil, silent = nil, started = nil, allowed = nil, attempts = nil, reason = nil, fingerprint = nil,
           command = nil, duration = nil } -- room for all
end

local function not_started(problem)
  local message = type(problem) == "userdata" and problem.message or tostring(problem)
  return { state = "failed", code = 127, message = "cannot start: " .. message, left = 0 }
end

-- command: {argv, cwd, env, timeout, grace, interactive, mask}; deliver(stream, text, partial); started(proc), which may return
-- something to be closed when the attempt is over.
-- Returns {state, code, signal, user, system, left, message}.
function attempt.run(command, deliver, started)
  local ok, made = pcall(spawn, command)
  if not ok then return not_started(made) end
  local proc <close> = made
  local watched <close> = started(proc)
  local streams = open_pipes(proc, command, deliver)
  local began, status, late, left = pcall(wait_for_group, proc, streams, command)
  if not began then return not_started(status) end
  streams:drain()
  local result = ended(status, late)
  result.left = left
  return result
end

return attempt
