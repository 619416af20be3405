-- How a run ends before its time: signals, the time limit, somebody's token; and what is left when it has ended.
-- First INT, TERM or HUP: nothing more starts, TERM; second: KILL; third: out, at once.
local fs = require "perilune.fs"
local peri = require "perilune"
local orphans = require "perilune.native.orphans"
local signal = require "perilune.signal"
local job_control = require "perilune.pipeline.job_control"
local terminal = require "perilune.native.terminal"
local text = require "perilune.pipeline.text"
local time_limit = require "perilune.pipeline.time_limit"

local stopping = {}

stopping.numbers = { HUP = 1, INT = 2, TERM = 15 }

local terminal_stop <const> = 20 -- SIGTSTP
local notice_seconds <const> = 2
local poll_seconds <const> = 0.005

-- Tells what is waited for, and again as long as it is.
local function tell(work, reason, count)
  work.events:emit("stopping", { signal = reason, count = count, waiting_for = text.sorted_keys(work.live) })
  if work.noticing then return end
  work.noticing = true
  peri.spawn({ name = "notice", daemon = true, detached = true }, function()
    while true do
      peri.sleep(notice_seconds)
      if next(work.live) then
        work.events:emit("stopping", { signal = reason, count = work.stop_count, waiting_for = text.sorted_keys(work.live) })
      end
    end
  end)
end

local function stop(work, reason, code, count)
  work.stop_count = count
  work:stop(reason, code, count)
  tell(work, reason, count)
end

-- A program that was told to ignore a signal goes on ignoring it.
local function ignores(number)
  local ok, status = pcall(fs.read, "/proc/self/status")
  local mask = ok and status:match("SigIgn:%s*(%x+)")
  return mask and tonumber(mask, 16) >> (number - 1) & 1 == 1
end

local function obey_signals(work, heard)
  local listener <close> = heard
  local count = 0
  while true do
    local name = listener:recv()
    count = count + 1
    if count == 3 then terminal.leave(128 + stopping.numbers[name]) end
    stop(work, "SIG" .. name, 128 + stopping.numbers[name], count)
  end
end

local function limit_time(work, seconds)
  time_limit.sleep(seconds)
  stop(work, "--timeout", 124, 1)
  time_limit.end_of_run(work)
end

-- `token`: cancelled by whoever wants the run to end, with the reason.
local function obey_token(work, token)
  token:wait()
  stop(work, token.reason, 0, 1)
end

-- Runs the steps under the eyes of all that may end them.
function stopping.go(work, wanted, limit, token)
  local names = ignores(stopping.numbers.HUP) and { "INT", "TERM" } or { "INT", "TERM", "HUP" }
  local watchers = { peri.spawn({ name = "signals", daemon = true }, obey_signals, work, signal.listen(table.unpack(names))) }
  if not ignores(terminal_stop) then
    watchers[#watchers + 1] = peri.spawn({ name = "Ctrl-Z", daemon = true }, job_control.obey, work, signal.listen "TSTP")
  end
  if limit then watchers[#watchers + 1] = peri.spawn({ name = "time limit", daemon = true }, limit_time, work, limit) end
  if token then watchers[#watchers + 1] = peri.spawn({ name = "stop", daemon = true }, obey_token, work, token) end
  work:go(wanted)
  if work.executors then require("perilune.pipeline.executor").close(work) end
  stopping.end_orphans(work)
  for _, watcher in ipairs(watchers) do
    watcher:cancel()
    watcher:join()
  end
end

local function listed()
  local found = {}
  for pid, key in orphans.list():gmatch("(%d+) ([^\n]*)\n") do found[math.tointeger(tonumber(pid))] = key end
  return found
end

-- Ends what has left its group and lost its parents: TERM, the grace, KILL, reaped.
function stopping.end_orphans(work)
  local left = listed()
  if next(left) == nil then return end
  local keys, count, deadline = {}, 0, peri.now() + (work.options.grace or 0)
  local told, forced = {}, false
  while next(left) do
    local force = work.killing:is_cancelled() or peri.now() >= deadline
    for pid, key in pairs(left) do
      if not told[pid] then
        count = count + 1
        keys[key ~= "" and key or "?"] = true
      end
      if not told[pid] or force and not forced then orphans.signal(pid, force) end
      told[pid] = true
    end
    forced = force
    peri.sleep(poll_seconds)
    left = listed()
  end
  work.events:emit("processes_left", { count = count, keys = text.sorted_keys(keys) })
end

return stopping
