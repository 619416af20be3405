-- A run: a task for each wanted step, which waits for what the step needs, judges, takes its slots, and makes attempts. Lua steps
-- and fan-outs add steps while it goes on. One per process; it alone signals its children.
local peri = require "perilune"
local json = require "perilune.json"
local attempt = require "perilune.pipeline.attempt"
local fingerprint = require "perilune.pipeline.fingerprint"
local model = require "perilune.pipeline.model"
local resolve = require "perilune.pipeline.resolve"
local step_log = require "perilune.pipeline.step_log"
local text = require "perilune.pipeline.text"

local execution = {}
execution.__index = execution

local good = { succeeded = true, cached = true, skipped = true }
execution.good = good

-- parts: pipeline, options, scope, own_environment, events, mask, store, run
function execution.new(parts)
  local self = setmetatable(parts, execution)
  self.outcomes, self.tasks, self.live, self.counts = {}, {}, {}, {}
  self.slots = peri.semaphore(self.options.jobs)
  self.pool_slots = {}
  for name, size in pairs(self.pipeline.pools) do self.pool_slots[name] = peri.semaphore(size) end
  return self
end

function execution:status()
  return self.stopped and "cancelled" or self.first_failure and "failure" or "success"
end

function execution:halted() return self.stopped ~= nil or self.first_failure ~= nil and not self.options.keep_going end

-- Ends the processes of all steps but those that run whatever happens.
function execution:end_processes(grace)
  for key, live in pairs(self.live) do
    if not live.always or grace == 0 then
      live.cancelled = true
      peri.spawn({ name = "end " .. key }, live.proc.kill, live.proc, grace)
    end
  end
end

local function is_always(step) return step.when ~= "success" or step.finally end

-- What stands in the way of a step: a state and a reason, or nil.
function execution:judge(step)
  local bad, worst
  for _, key in ipairs(step.needs) do
    local outcome = self.outcomes[key]
    if outcome and not good[outcome.state] and not bad then bad, worst = key, outcome.state end
  end
  for _, key in ipairs(step.after) do
    local outcome = self.outcomes[key]
    if outcome and not good[outcome.state] and not bad then bad, worst = key, outcome.state end
  end
  if step.when == "failure" and not (bad or self.first_failure) then return "skipped", "nothing failed" end
  if step.when == "cancelled" and not self.stopped then return "skipped", "the run was not cancelled" end
  if is_always(step) then return nil end
  if self.stopped then return "cancelled", "the run was stopped by " .. self.stopped end
  if bad then return "blocked", ("%s %s"):format(bad, worst) end
  if self:halted() then return "cancelled", self.first_failure .. " failed" end
  if self.options.skip[step.key] or self.options.skip[step.name] then return "skipped", "--skip" end
  if step.condition and not step.condition(self:scope_of(step)) then return "skipped", "if: " .. step.condition_text end
end

function execution:scope_of(step)
  self.scope.run = { id = self.run, status = self:status() }
  return setmetatable({ matrix = step.matrix, item = step.item }, { __index = self.scope })
end

-- Keeps an outcome and tells of it.
function execution:settle(step, outcome)
  outcome.duration = outcome.started and peri.clock() - outcome.started or 0
  self.outcomes[step.key] = outcome
  self.counts[outcome.state] = (self.counts[outcome.state] or 0) + 1
  self.scope.steps[step.key] = { value = outcome.value, stdout = outcome.stdout, status = outcome.state }
  local failed = outcome.state == "failed" or outcome.state == "timeout"
  if failed and not self.first_failure then
    self.first_failure = step.key
    if not self.options.keep_going and not step.collect then self:end_processes() end
  end
  local value = outcome.value ~= nil and type(outcome.value) ~= "function" and select(2, pcall(json.encode, outcome.value)) or nil
  if self.store then self.store:record(self.run, step, outcome, value and self.mask(tostring(value))) end
  self.events:emit("step_finished", {
    key = step.key, name = step.name, state = outcome.state, reason = outcome.reason, code = outcome.code, place = step.place,
    signal = outcome.signal, duration = outcome.duration, attempts = outcome.attempts, allowed = step.retry and step.retry.attempts or 1,
    command = outcome.command, log = outcome.log, tail = failed and outcome.tail or nil, message = outcome.message,
    user = outcome.user, system = outcome.system, needs = json.array(step.needs),
  })
  return outcome
end

-- The tasks ---------------------------------------------------------------------------------------------------------

-- Starts the task of a step, once.
function execution:start(step)
  if self.tasks[step.key] then return end
  self.tasks[step.key] = self.members:spawn({ name = step.key }, function()
    for _, key in ipairs(model.dependencies(step)) do
      if self.tasks[key] then self.tasks[key]:join() end
    end
    return self:carry_out(step)
  end)
end

function execution:carry_out(step)
  local state, reason = self:judge(step)
  if state then return self:settle(step, { state = state, reason = reason }) end
  local ok, outcome = pcall(self.perform, self, step)
  if not ok then outcome = { state = "failed", message = tostring(outcome), started = peri.clock() } end
  return self:settle(step, outcome)
end

function execution:perform(step)
  if step.each then return require("perilune.pipeline.fan_out").run(self, step) end
  local ready = resolve.step(self.pipeline, step, self:scope_of(step), self.own_environment)
  if not ready.shown then return { state = "succeeded", reason = "all it needs is done" } end
  local print, reused, reason = self:reuse(step, ready)
  if reused then
    reused.fingerprint = print and print.hash
    return reused
  end
  local outcome = step.effect and self:with_effect(step, ready, print, reason) or self:try(step, ready, reason)
  outcome.reason, outcome.fingerprint, outcome.command = outcome.reason or reason, print.hash, ready.shown
  if outcome.state == "succeeded" then self:keep_outputs(step, ready, print, outcome) end
  return outcome
end

-- The fingerprint; an outcome where the step need not run; else why it runs.
function execution:reuse(step, ready)
  local print = fingerprint.of(ready)
  if not self.store then return print, nil, "nothing is kept" end
  local before = self.resumes and self.store:step_of(self.resumes, step.key)
  local again = self.options.rerun[step.key] or self.options.rerun[step.name]
  if before and good[before.state] and before.fingerprint == print.hash and not again
    and (#step.outputs == 0 or fingerprint.verdict(ready, print, self.store:made(step.key))) then
    local value = before.value and json.decode(before.value)
    return print, { state = "cached", reason = "done in run " .. self.resumes, value = value }
  end
  if self.options.force or again then return print, nil, "forced" end
  if step.effect then return print, nil, "it has an effect" end
  if self.options.no_cache then return print, nil, "--no-cache" end
  local fresh, reason = fingerprint.verdict(ready, print, self.store:made(step.key))
  if fresh then return print, { state = "cached", reason = reason } end
  return print, nil, reason
end

function execution:keep_outputs(step, ready, print, outcome)
  if #step.outputs == 0 or not self.store then return end
  print = fingerprint.of(ready)
  print.outputs = fingerprint.outputs(ready)
  local missing = fingerprint.missing_output(print.outputs)
  if missing then
    outcome.state, outcome.message = "failed", ("it ended well, but its output %s is not there"):format(missing)
  else
    self.store:remember(step.key, self.run, print)
  end
end

-- An effect is announced before and confirmed after. An announced one that nobody confirmed is not guessed about.
function execution:with_effect(step, ready, print, reason)
  local store = self.store
  local before = store and store:effect(step.key)
  if before and before.done == 0 and not self.options.yes then
    return { state = "failed", started = peri.clock(), message = ("run %s may or may not have carried out its effect; look,"
      .. " then: perilune resume --yes to carry it out again"):format(before.run) }
  end
  if store then store:set_effect(step.key, self.run, print.hash, false) end
  local outcome = self:try(step, ready, reason)
  if store then
    if outcome.state == "succeeded" then store:set_effect(step.key, self.run, print.hash, true) else store:drop_effect(step.key) end
  end
  return outcome
end

-- Attempts ----------------------------------------------------------------------------------------------------------

local function worth_repeating(retry, outcome)
  if not retry.on then return outcome.state == "failed" or outcome.state == "timeout" end
  for _, condition in ipairs(retry.on) do
    if condition == outcome.state or condition == "failure" and outcome.state == "failed" then return true end
    local codes = condition:match("^exit:(.+)$")
    for code in (codes or ""):gmatch("%d+") do
      if outcome.code == tonumber(code) then return true end
    end
    local signal = condition:match("^signal:(.+)$")
    if signal and outcome.signal == signal then return true end
  end
  return false
end

local function delay_before(retry, n)
  local delay = math.min(retry.first * retry.factor ^ (n - 1), retry.last)
  return delay * (1 + retry.jitter * (2 * math.random() - 1))
end

function execution:try(step, ready, reason)
  local retry = step.retry or { attempts = (self.options.retries or 0) + 1, first = 1, last = 60, factor = 2, jitter = 0 }
  local began = peri.clock()
  if self.store then self.store:forget(step.key) end
  local user, system = 0, 0
  for n = 1, retry.attempts do
    local outcome = self:attempt(step, ready, reason, n, retry.attempts)
    user, system = user + (outcome.user or 0), system + (outcome.system or 0)
    outcome.attempts, outcome.started, outcome.user, outcome.system = n, began, user, system
    if outcome.state == "succeeded" or outcome.state == "cancelled" or n == retry.attempts or self:halted() and not is_always(step)
      or not worth_repeating(retry, outcome) then
      return outcome
    end
    local delay = delay_before(retry, n)
    local why = outcome.state == "timeout" and "timeout" or outcome.signal and "signal " .. outcome.signal or "exit " .. tostring(outcome.code)
    self.events:emit("step_retry", { key = step.key, attempt = n, attempts = retry.attempts, delay = delay, why = why })
    peri.sleep(delay)
  end
end

function execution:attempt(step, ready, reason, n, attempts)
  if ready.fn then
    local log <close> = step_log.open(self, step, n == 1)
    self:tell_start(step, ready, reason, n, attempts, log.path)
    return require("perilune.pipeline.lua_step").run(self, step, ready, log)
  end
  local pool = step.pool and self.pool_slots[step.pool]
  local turn <close> = pool and self:take_turn(step, pool) or nil
  local slot <close> = self.slots:acquire()
  if self:halted() and not is_always(step) then return { state = "cancelled", reason = "the run was halted" } end
  return self:run_process(step, ready, reason, n, attempts)
end

function execution:take_turn(step, pool)
  local turn = pool:try_acquire()
  if turn then return turn end
  self.events:emit("step_waiting", { key = step.key, pool = step.pool })
  return pool:acquire()
end

function execution:tell_start(step, ready, reason, n, attempts, log)
  self.events:emit("step_started", { key = step.key, name = step.name, doc = step.doc, attempt = n, attempts = attempts,
                                     command = ready.shown, log = log, reason = reason, interactive = step.interactive })
end

function execution:run_process(step, ready, reason, n, attempts)
  local log <close> = step_log.open(self, step, n == 1)
  self:tell_start(step, ready, reason, n, attempts, log.path)
  local command = { argv = ready.run_argv, cwd = ready.cwd, env = ready.environment, timeout = step.timeout or self.options.step_timeout,
                    grace = step.grace or self.options.grace, interactive = step.interactive, capture = step.capture }
  local live = { always = is_always(step) }
  local function deliver(...) log:line(...) end
  local result = attempt.run(command, deliver, function(proc)
    live.proc = proc
    self.live[step.key] = live
  end)
  self.live[step.key] = nil
  if live.cancelled and result.state == "failed" then result.state, result.reason = "cancelled", "the run was halted" end
  return self:conclude(step, result, log)
end

local function captured(step, output)
  local whole = table.concat(output)
  if step.capture == "text" then return (whole:gsub("\n$", "")) end
  if step.capture == "lines" then
    local lines = {}
    for line in whole:gmatch("[^\n]+") do lines[#lines + 1] = line end
    return lines
  end
  local value, problem = json.decode(whole)
  if value == nil then error("its output is no JSON: " .. problem, 0) end
  return value
end

function execution:conclude(step, result, log)
  local usage = result.status.rusage
  local outcome = { state = result.state, reason = result.reason, code = result.code, signal = result.signal, log = log.path,
                    user = usage.user, system = usage.system, tail = log:tail() }
  if outcome.state == "timeout" then
    outcome.message = ("it did not end within %gs"):format(step.timeout or self.options.step_timeout)
  end
  if result.output and outcome.state == "succeeded" then
    outcome.stdout = table.concat(result.output)
    outcome.value = captured(step, result.output)
  end
  return outcome
end

-- The whole ---------------------------------------------------------------------------------------------------------

-- Runs the steps of the set `wanted` and all that they add. Returns the status.
function execution:go(wanted)
  peri.scope({ policy = "supervise" }, function(s)
    self.members = s
    for _, step in ipairs({ table.unpack(self.pipeline.steps) }) do
      if wanted[step.key] then self:start(step) end
    end
  end)
  return self:status()
end

-- Adds a step while the run goes on, and waits for it.
function execution:add_and_wait(step, by)
  self.pipeline:add(step)
  self.events:emit("step_added", { key = step.key, name = step.name, by = by })
  self:start(step)
  self.tasks[step.key]:join()
  return self.outcomes[step.key]
end

return execution
