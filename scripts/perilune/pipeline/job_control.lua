-- A run as a job of a shell: Ctrl-Z stops its steps and then the runner, and when the shell continues it they go on. An interactive
-- step has the keys for itself, so there it is the step that stops first, and the runner that follows. Time limits stand still
-- meanwhile.
local peri = require "perilune"
local signal = require "perilune.signal"
local terminal = require "perilune.native.terminal"
local time_limit = require "perilune.pipeline.time_limit"

local job_control = {}

local function to_processes(work, name)
  for _, live in pairs(work.live) do
    if not live.in_process and live.proc then live.proc:signal(name) end
  end
end

-- `whole`: the shell has not told the other programs of this job.
local function suspend(work, whole)
  work.events:emit("suspended", {})
  to_processes(work, "STOP")
  time_limit.stand_still(terminal.suspend, whole)
  to_processes(work, "CONT")
  work.events:emit("continued", {})
end

-- Obeys Ctrl-Z; for a task of its own. `heard`: a listener to TSTP.
function job_control.obey(work, heard)
  local listener <close> = heard
  while listener:recv() do suspend(work, false) end
end

-- Gives the terminal to an interactive step until what this returns is closed, and follows it whenever it stops.
function job_control.give_terminal(work, pid)
  local listener = signal.listen("CHLD")
  local given = terminal.give(pid)
  local follower = peri.spawn({ name = "stops of an interactive step", daemon = true }, function()
    repeat
      if terminal.stopped(pid) then
        if given then terminal.take_back() end
        suspend(work, true)
        given = terminal.give(pid)
      end
    until not listener:recv()
  end)
  return peri.defer(function()
    listener:close()
    follower:join()
    if given then terminal.take_back() end
  end)
end

return job_control
