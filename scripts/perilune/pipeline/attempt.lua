-- One attempt at a step's command: a process group, its lines as events and in the log, its end. Whatever way the attempt
-- ends, the group is empty afterwards.
local peri = require "perilune"
local process = require "perilune.process"

local attempt = {}

local hold_seconds <const> = 0.2
local hold_bytes <const> = 64 * 1024

-- Reads a pipe to its end and hands over whole lines; an unfinished one is held for a moment at most.
local function read_lines(pipe, deliver)
  local held = ""
  local function take(bytes)
    held = held .. bytes
    local from = 1
    while true do
      local stop = held:find("\n", from, true)
      if not stop then break end
      deliver(held:sub(from, stop - 1), false)
      from = stop + 1
    end
    held = held:sub(from)
  end
  local function release()
    if held ~= "" then deliver(held, true) end
    held = ""
  end
  while true do
    local in_time, bytes = true, nil
    if held == "" then
      bytes = pipe:read("some")
    else
      in_time, bytes = peri.try_timeout(hold_seconds, pipe.read, pipe, "some")
    end
    if not in_time or #held > hold_bytes then release() end
    if in_time and not bytes then return release() end
    if bytes and in_time then take(bytes) end
  end
end

local function ended(status, timed_out)
  if timed_out then return { state = "timeout", code = status.code, signal = status.signal, status = status } end
  return { state = status.ok and "succeeded" or "failed", code = status.code, signal = status.signal, status = status }
end

-- command: {argv, cwd, env, timeout, grace, interactive, capture}; deliver(stream, text, partial); started(proc).
-- Returns {state, code, signal, status, output}.
function attempt.run(command, deliver, started)
  local collected = command.capture and {} or nil
  local proc <close> = process.spawn {
    argv = command.argv, cwd = command.cwd, env = command.env, grace = command.grace,
    stdin = command.interactive and "inherit" or "null", stdout = command.interactive and "inherit" or "pipe",
    stderr = command.interactive and "inherit" or "pipe", group = not command.interactive,
  }
  started(proc)
  return peri.scope(function(s)
    if proc.stdout then
      s:spawn(read_lines, proc.stdout, function(line, partial)
        if collected then collected[#collected + 1] = line .. (partial and "" or "\n") else deliver("stdout", line, partial) end
      end)
      s:spawn(read_lines, proc.stderr, function(line, partial) deliver("stderr", line, partial) end)
    end
    local in_time, status = peri.try_timeout(command.timeout or math.huge, proc.wait, proc)
    if in_time then proc:kill(command.grace) else status = proc:kill(command.grace) end
    local result = ended(status, not in_time)
    result.output = collected
    return result
  end)
end

return attempt
