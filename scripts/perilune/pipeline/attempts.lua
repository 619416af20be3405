-- The attempts at a step: its turn in a pool and among the jobs, one process or function at a time, its lines into the log and
-- to the listeners, and the pauses between attempts.
local peri = require "perilune"
local backoff = require "perilune.backoff"
local json = require "perilune.json"
local system = require "perilune.native.system"
local attempt = require "perilune.pipeline.attempt"
local job_control = require "perilune.pipeline.job_control"
local retries = require "perilune.pipeline.retry"
local reuse = require "perilune.pipeline.reuse"
local resolve = require "perilune.pipeline.resolve"
local step_log = require "perilune.pipeline.step_log"
local time_limit = require "perilune.pipeline.time_limit"

local attempts = {}

local load_pause <const> = 0.5

local function what_happened(outcome)
  if outcome.state == "timeout" then return "timeout" end
  if outcome.signal then return "signal " .. outcome.signal end
  return outcome.code and outcome.code ~= 0 and "exit " .. outcome.code or outcome.message or "it failed"
end

-- Waits unless the step is to end. Returns whether the time has passed.
local function pause(run, step, seconds)
  return peri.select { over = peri.sleep_op(seconds), stop = run:end_token(step):wait_op() } == "over"
end

-- `announce()` is called before anything of the step happens; `taken` is a turn, where there is one already.
function attempts.try(run, step, ready, reason, announce, taken)
  local retry = step.retry or run.options.retry
  local began = peri.clock()
  if run.store and #ready.outputs > 0 then run.store:forget(step.key) end
  local user, kernel = 0, 0
  for n = 1, retry.attempts do
    local outcome = attempts.once(run, step, ready, reason, n, retry.attempts, announce, taken)
    if outcome.state == "succeeded" and n < retry.attempts and #ready.outputs > 0 then reuse.check_outputs(ready, outcome) end
    if outcome.state == "not_run" and n > 1 then outcome.state, outcome.attempts = "cancelled", n - 1 end
    user, kernel = user + (outcome.user or 0), kernel + (outcome.system or 0)
    outcome.started, outcome.allowed, outcome.user, outcome.system = began, retry.attempts, user, kernel
    outcome.attempts, outcome.silent = outcome.attempts or n, outcome.silent and n == 1
    if outcome.state == "succeeded" or outcome.state == "cancelled" or n == retry.attempts or run:is_ending(step)
      or not retries.is_worth(retry, outcome) then
      return outcome
    end
    local delay = backoff.pause(retry, n)
    run.events:emit("step_retry", { key = step.key, attempt = n, attempts = retry.attempts, delay = delay, why = what_happened(outcome) })
    if not pause(run, step, delay) then
      outcome.state, outcome.reason = "cancelled", "the run was halted before attempt " .. n + 1
      return outcome
    end
  end
end

local function take_permit(run, step, semaphore, pool)
  local permit = semaphore:try_acquire()
  if permit then return permit end
  if pool then run.events:emit("step_waiting", { key = step.key, pool = pool }) end
  return semaphore:acquire()
end

-- The turn of a process: in its pool, among the jobs, and at the terminal. Given up when it is closed, and can be taken again.
local turn = {}
turn.__index = turn

function attempts.turn() return setmetatable({}, turn) end

-- Its place in the pool alone: of a function, which is none of the jobs.
function turn:take_pool(run, step)
  local pool = step.pool and run.pool_slots[step.pool]
  if pool and not self.pool then self.pool = take_permit(run, step, pool, step.pool) end
end

function turn:take(run, step)
  if self.slot then return end
  self:take_pool(run, step)
  self.slot = take_permit(run, step, step.executor and require("perilune.pipeline.executor").slots_of(run, step) or run.slots)
  if step.interactive then self.terminal = run.terminal:lock() end
end

function turn:__close()
  if self.terminal then self.terminal:release() end
  if self.slot then self.slot:release() end
  if self.pool then self.pool:release() end
  self.terminal, self.slot, self.pool = nil, nil, nil
end

-- Where a limit of the load is set, more than one process starts only below it.
local function wait_for_load(run, step)
  local limit = run.options.max_load
  while limit and run:has_processes() and not run:is_ending(step) and system.load() > limit do pause(run, step, load_pause) end
end

local function make_folders(run, ready)
  for _, path in ipairs(ready.outputs) do run:make_folder_of(ready, path) end
end

function attempts.once(run, step, ready, reason, n, allowed, announce, taken)
  if ready.fn then
    local place <close> = attempts.turn()
    place:take_pool(run, step)
    if run:is_ending(step) then return run:not_run() end
    if announce then announce() end
    local log <close> = step_log.open(run, step)
    make_folders(run, ready)
    attempts.tell_start(run, step, ready, reason, n, allowed, log.path)
    return log:finish(require("perilune.pipeline.lua_step").run(run, step, ready, log, place))
  end
  local own <close> = taken or attempts.turn()
  own:take(run, step)
  wait_for_load(run, step)
  if run:is_ending(step) then return run:not_run() end
  if announce then announce() end
  return attempts.run_process(run, step, ready, reason, n, allowed)
end

function attempts.tell_start(run, step, ready, reason, n, allowed, log)
  run.events:emit("step_started", { key = step.key, name = step.name, doc = step.doc, attempt = n, attempts = allowed,
                                    command = ready.shown, log = log, reason = reason, interactive = step.interactive })
end

function attempts.run_process(run, step, ready, reason, n, allowed)
  local log <close> = step_log.open(run, step)
  make_folders(run, ready)
  attempts.tell_start(run, step, ready, reason, n, allowed, log.path)
  if step.interactive then run.events:emit("terminal", { key = step.key, taken = true }) end
  local environment = resolve.environment(ready, run.own_environment)
  ready.environment = environment
  environment.PERILUNE_RUN_ID, environment.PERILUNE_RUN_DIR, environment.PERILUNE_STEP = run.run, run.folder, step.key
  local command = { argv = ready.run_argv, cwd = ready.cwd, env = environment, timeout = time_limit.of(run, step),
                    grace = step.grace or run.options.grace, interactive = step.interactive, mask = run.mask }
  if step.executor then
    environment.PERILUNE_RUN_DIR = nil
    local result, cancelled = require("perilune.pipeline.executor").run_job(run, step, ready, n, command, function(...) log:line(...) end)
    if cancelled and result.state ~= "succeeded" then result.state, result.reason = "cancelled", run:why_halted() end
    return attempts.conclude(run, step, result, log)
  end
  local live
  local result = attempt.run(command, function(...) log:line(...) end, function(proc)
    live = run:make_live(step, { proc = proc })
    return step.interactive and job_control.give_terminal(run, proc.pid) or nil
  end)
  run.live[step.key] = nil
  if step.interactive then run.events:emit("terminal", { key = step.key, taken = false }) end
  if live and live.late then result.state = "timeout" end
  if live and live.cancelled and result.state ~= "succeeded" then result.state, result.reason = "cancelled", run:why_halted() end
  return attempts.conclude(run, step, result, log)
end

local readers = {}
function readers.text(whole) return (whole:gsub("\n$", "")) end
function readers.lines(whole)
  local lines = {}
  if whole:find("[^\n]$") then whole = whole .. "\n" end
  for line in whole:gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  return lines
end
readers.json = json.decode

local function take_value(step, outcome, whole)
  local value, problem = readers[step.capture](whole)
  if value == nil then
    outcome.state, outcome.message = "failed", "its output is no JSON: " .. problem
  elseif value ~= json.null then
    outcome.value = value
  end
  outcome.stdout = whole
end

function attempts.conclude(run, step, result, log)
  result.tail = log:tail()
  if result.state == "timeout" then result.message = time_limit.told(run, step) end
  if log.captured and result.state == "succeeded" then take_value(step, result, table.concat(log.captured)) end
  return log:finish(result)
end

return attempts
