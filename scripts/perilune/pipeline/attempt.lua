-- One attempt at a step's command: a process group, its lines, its end. Whatever way the attempt ends, the group is empty
-- afterwards, and all that it has written has been handed over.
local peri = require "perilune"
local process = require "perilune.process"
local terminal = require "perilune.native.terminal"

local attempt = {}

local hold_seconds <const> = 0.2
local hold_bytes <const> = 64 * 1024
local patience <const> = 0.2 -- for a pipe that someone outside the group holds open, after it has fallen silent

local reader = {}
reader.__index = reader

-- Hands over an unfinished line as far as no secret may have begun at its end.
function reader:release(final)
  local held = self.held
  local ready = final and #held or self.mask:safe_length(held)
  if ready == 0 and #held > hold_bytes then ready = #held end
  if ready > 0 then self.deliver(held:sub(1, ready), true) end
  self.held = held:sub(ready + 1)
end

function reader:take(bytes)
  self.taken = self.taken + #bytes
  local held = self.held .. bytes
  local from = 1
  while true do
    local stop = held:find("\n", from, true)
    if not stop then break end
    self.deliver(held:sub(from, stop - 1), false)
    from = stop + 1
  end
  self.held = held:sub(from)
end

-- Reads a pipe to its end and hands over whole lines; an unfinished one is held for a moment at most.
function reader:read()
  while true do
    local in_time, bytes = true, nil
    if self.held == "" then
      bytes = self.pipe:read("some")
    else
      in_time, bytes = peri.try_timeout(hold_seconds, self.pipe.read, self.pipe, "some")
    end
    if in_time and not bytes then return end
    if in_time then self:take(bytes) end
    if not in_time or #self.held > hold_bytes then self:release(false) end
  end
end

local function new_reader(pipe, mask, deliver)
  return setmetatable({ pipe = pipe, mask = mask, deliver = deliver, held = "", taken = 0 }, reader)
end

-- Waits for the ends of the pipes, but not for those outside the group who keep them open and say nothing.
local function drain(readers, tasks)
  for i, task in ipairs(tasks) do
    local before
    repeat
      before = readers[i].taken
      local ended = task:join(patience)
    until ended ~= nil or readers[i].taken == before
    task:cancel("its group has ended")
    task:join()
    readers[i]:release(true)
  end
end

local function spawn(command)
  local stream = command.interactive and "inherit" or "pipe"
  return process.spawn {
    argv = command.argv, cwd = command.cwd, env = command.env, grace = command.grace,
    stdin = command.interactive and "inherit" or "null", stdout = stream, stderr = stream,
  }
end

-- Waits for the end of the group: its leader's, then the rest is ended. Returns the leader's end, whether that took too long,
-- and how many others were left.
local function wait_for_group(proc, command)
  local in_time, status = true, nil
  if command.timeout then in_time, status = peri.try_timeout(command.timeout, proc.wait, proc) else status = proc:wait() end
  if not in_time then return proc:kill(command.grace), true, 0 end
  local left = proc:members()
  if left > 0 then proc:kill(command.grace) end
  return status, false, left
end

local function ended(status, late)
  local state = late and "timeout" or status.ok and "succeeded" or "failed"
  return { state = state, code = status.code, signal = status.signal, user = status.rusage.user, system = status.rusage.system }
end

local function not_started(problem)
  local message = type(problem) == "userdata" and problem.message or tostring(problem)
  return { state = "failed", code = 127, message = "cannot start: " .. message, left = 0 }
end

-- command: {argv, cwd, env, timeout, grace, interactive, mask}; deliver(stream, text, partial); started(proc).
-- Returns {state, code, signal, user, system, left, message}.
function attempt.run(command, deliver, started)
  local ok, made = pcall(spawn, command)
  if not ok then return not_started(made) end
  local proc <close> = made
  started(proc)
  local given <close> = command.interactive and terminal.give(proc.pid) and peri.defer(terminal.take_back) or nil
  return peri.scope(function(s)
    local readers, tasks = {}, {}
    for _, stream in ipairs(proc.stdout and { "stdout", "stderr" } or {}) do
      local one = new_reader(proc[stream], command.mask, function(line, partial) deliver(stream, line, partial) end)
      readers[#readers + 1] = one
      tasks[#tasks + 1] = s:spawn(one.read, one)
    end
    local status, late, left = wait_for_group(proc, command)
    drain(readers, tasks)
    local result = ended(status, late)
    result.left = left
    return result
  end)
end

return attempt
