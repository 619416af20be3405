-- A run: a task for each wanted step whose turn has come, which judges, and sees to it that the step is done. Lua steps and
-- fan-outs add steps while it goes on. One per process; it alone signals its children.
local peri = require "perilune"
local fs = require "perilune.fs"
local json = require "perilune.json"
local ends = require "perilune.pipeline.ends"
local lineup = require "perilune.pipeline.lineup"
local makers = require "perilune.pipeline.makers"
local model = require "perilune.pipeline.model"
local resolve = require "perilune.pipeline.resolve"
local reuse = require "perilune.pipeline.reuse"
local selection = require "perilune.pipeline.selection"
local time_limit = require "perilune.pipeline.time_limit"

local execution = {}
execution.__index = execution

execution.good = { succeeded = true, cached = true, skipped = true }
local good = execution.good

-- parts: pipeline, options, scope, own_environment, events, mask, store, run, resumes
function execution.new(parts)
  local self = setmetatable(parts, execution)
  self.outcomes, self.live, self.counts, self.folders, self.awaited = {}, {}, {}, {}, {}
  self.halting, self.killing, self.ends = peri.token(), peri.token(), false
  self.slots, self.terminal = peri.semaphore(self.options.jobs), peri.mutex()
  self.pool_slots, self.makers = {}, makers.new(self.pipeline.folder)
  for name, size in pairs(self.pipeline.pools) do self.pool_slots[name] = peri.semaphore(size) end
  reuse.prepare(self)
  return self
end

function execution:status()
  return self.stopped and "cancelled" or (self.first_failure or self.broken or self.unobserved) and "failure" or "success"
end

-- Ending early ------------------------------------------------------------------------------------------------------

-- Steps that run whatever became of others.
function execution.is_always(step) return step.when ~= "success" or step.finally or step.always end
local is_always = execution.is_always

-- What ends a step: for most the end of the run, for those that run whatever happens only the second signal.
function execution:end_token(step) return is_always(step) and self.killing or self.halting end
function execution:is_ending(step) return self.ends and self:end_token(step):is_cancelled() end

function execution:why_halted()
  if self.broken then return "the run was broken off" end
  return self.stopped and "the run was stopped by " .. self.stopped or self.halted_by and self.halted_by .. " failed" or "the run was halted"
end

-- How a step ends that has not begun when the run is ended.
function execution:not_run() return { state = "not_run", reason = self:why_halted(), attempts = 0 } end

function execution:has_processes()
  for _, live in pairs(self.live) do
    if not live.in_process then return true end
  end
  return false
end

-- Ends the processes and functions of all steps but those that run whatever happens; of these too where `everything` says so.
function execution:end_steps(everything, grace)
  for key, live in pairs(self.live) do
    if everything or not live.always then
      live.cancelled = true
      peri.spawn({ name = "end " .. key }, pcall, live.proc.kill, live.proc, grace) -- one that could not begin is told where it is read
    end
  end
end

-- Starts nothing more: a step has failed, or somebody asks for the end.
function execution:halt(key)
  self.halted_by, self.ends = self.halted_by or key, true
  if self.halting:is_cancelled() then return end
  self.halting:cancel(self:why_halted())
  self:end_steps(false)
end

-- What is known of a step while it runs: whether it runs whatever happens, whether it is limited, how long it may take to end.
function execution:make_live(step, fields)
  fields.always, fields.limited = is_always(step), time_limit.of(self, step) ~= nil
  fields.grace = step.grace or self.options.grace
  self.live[step.key] = fields
  return fields
end

-- The first reason stays; asked once more, nothing is waited for.
function execution:stop(reason, code, count)
  if not self.stopped then self.stopped, self.code, self.ends = reason, code, true end
  if (count or 1) > 1 then
    self.killing:cancel("killed")
    self:end_steps(true, 0)
  end
  self:halt()
end

-- What it keeps cannot be kept any more, or it has a fault of its own: the run ends, and says so.
function execution:break_off(problem)
  if self.broken then return end
  self.broken = type(problem) == "userdata" and problem.message or tostring(problem)
  self:halt()
end

-- Judging -----------------------------------------------------------------------------------------------------------

local function first_bad_of(outcomes, keys)
  for i = 1, #keys do
    local outcome = outcomes[keys[i]]
    if outcome and not good[outcome.state] then return keys[i], outcome.state end
  end
end

-- The first thing in the way among the steps before this one: its key and how it ended.
function execution:first_bad(step)
  local key, state = first_bad_of(self.outcomes, step.needs)
  if key then return key, state end
  return first_bad_of(self.outcomes, step.after)
end

local function passes_when(self, step, bad)
  if step.when == "failure" then
    local failed = self.first_failure and (bad or ends.waits_for_none(step, self.wanted))
    if not failed then return false, "nothing failed" end
  elseif step.when == "cancelled" and not self.stopped then
    return false, "the run was not cancelled"
  end
  return true
end

-- What stands in the way of a step: a state and a reason, or nil.
function execution:judge(step)
  if self:is_ending(step) and (self.stopped or self.broken) then return "not_run", self:why_halted() end
  local bad, state = self:first_bad(step)
  local passes, why = passes_when(self, step, bad)
  if not passes then return "skipped", why end
  if not is_always(step) then
    if bad then return "blocked", ("%s %s"):format(bad, state) end
    if self:is_ending(step) then return "not_run", self:why_halted() end
  end
  if self.options.skip[step.key] or self.options.skip[step.name] then return "skipped", "--skip" end
  if step.condition and not step.judges_items and not step.condition(self:scope_of(step)) then return "skipped", "if: " .. step.condition_text end
end

function execution:scope_now()
  self.scope.run.status = self:status()
  return self.scope
end

function execution:scope_of(step)
  return resolve.names(step, self:scope_now())
end

-- Ending a step -----------------------------------------------------------------------------------------------------

local function take_note_of_failure(self, step, outcome)
  local failed = outcome.state == "failed" or outcome.state == "timeout"
  if failed then self.first_failure = self.first_failure or step.key end
  local collected = (step.members or step.each) and outcome.state == "blocked" and self.first_failure
  if (failed and not step.collect or collected and step.collect) and not self.options.keep_going then self:halt(step.key) end
  return failed
end

function execution:record(step, outcome)
  if not self.store then return end
  local ok, problem = pcall(self.store.record, self.store, self.run, step, outcome, reuse.kept_value(self, outcome.value))
  if not ok then self:break_off(problem) end
end

-- Keeps an outcome and tells of it.
function execution:settle(step, outcome)
  outcome.duration = outcome.started and peri.clock() - outcome.started or 0
  outcome.message, outcome.reason = outcome.message and self.mask(outcome.message), outcome.reason and self.mask(outcome.reason)
  self.outcomes[step.key] = outcome
  self.counts[outcome.state] = (self.counts[outcome.state] or 0) + 1
  self.scope.steps[step.key] = { value = outcome.value, stdout = outcome.stdout, status = outcome.state, code = outcome.code }
  local failed, needs = take_note_of_failure(self, step, outcome), step.needs
  self:record(step, outcome)
  self.events:emit("step_finished", {
    key = step.key, name = step.name, state = outcome.state, reason = outcome.reason, code = outcome.code, place = step.place,
    signal = outcome.signal, duration = outcome.duration, attempts = outcome.attempts, allowed = outcome.allowed or 1,
    command = outcome.command, log = outcome.log, tail = failed and outcome.tail and json.array(outcome.tail) or nil, message = outcome.message,
    silent = outcome.silent or nil, user = outcome.user, system = outcome.system, left = outcome.left,
    needs = needs[1] and needs or json.array {},
  })
  return outcome
end

-- Doing a step ------------------------------------------------------------------------------------------------------

-- One that stands for the rows of its matrix.
function execution:summarize(step)
  local bad, state = self:first_bad(step)
  if bad then return { state = (state == "cancelled" or state == "not_run") and state or "blocked", reason = ("%s %s"):format(bad, state) } end
  local values, skipped = {}, #step.members > 0
  for _, key in ipairs(step.members) do
    local outcome = self.outcomes[key]
    values[key] = outcome and outcome.value
    skipped = skipped and outcome ~= nil and outcome.state == "skipped"
  end
  return { state = skipped and "skipped" or "succeeded", value = next(values) and values or nil }
end

-- A condition may raise, nothing else.
local function try_to_judge(self, step)
  if step.condition then return pcall(self.judge, self, step) end
  return true, self:judge(step)
end

function execution:carry_out(step)
  if step.members then return self:settle(step, self:summarize(step)) end
  local judged, state, reason = try_to_judge(self, step)
  if not judged then return self:settle(step, { state = "failed", message = "if: " .. tostring(state), started = peri.clock() }) end
  if state then return self:settle(step, { state = state, reason = reason }) end
  local ok, outcome = pcall(self.perform, self, step)
  if not ok then outcome = { state = "failed", message = tostring(outcome), started = peri.clock() } end
  return self:settle(step, outcome)
end

-- A step that says only now what it does; nil where it does nothing, and how that ends.
function execution:made_step(step)
  local spec, ended = require("perilune.pipeline.lua_step").make(self, step)
  if not spec then return nil, ended or { state = "succeeded", reason = "it has nothing to do" } end
  spec.when, spec.finally = step.when, step.finally
  local made = self.pipeline:place_on_executor(model.make_step(step.key, step.name, spec, step.place))
  self.pipeline.by_key[step.key] = made
  return made
end

-- Whether it runs whatever has become of it before. What it needs is looked up only when its turn has come, so that those that
-- wait for theirs hold nothing.
local function runs_anyway(self, step)
  return (step.argv or step.sh) and #step.outputs == 0 and not step.effect and not self.resumes
end

function execution:drop_foresight()
  if self.foresight then self.foresight:drop() end
end

function execution:perform(step)
  if step.each then return require("perilune.pipeline.fan_out").run(self, step) end
  if step.make then
    self:drop_foresight()
    local began, made, ended = peri.clock(), self:made_step(step)
    if not made then
      ended.started = began
      return ended
    end
    step = made
  end
  local turn <close> = runs_anyway(self, step) and require("perilune.pipeline.attempts").turn() or nil
  if turn then
    turn:take(self, step)
    if self:is_ending(step) then return self:not_run() end
  end
  local ready = resolve.step(self.pipeline, step, self:scope_now())
  if not ready.shown then return { state = "succeeded", reason = "all it needs is done" } end
  local warning = #ready.outputs > 0 and self.makers:claim(step, ready.outputs)
  if warning then self.events:emit("warning", { key = step.key, place = step.place, message = warning }) end
  ready.foresight = self.foresight
  local print, outcome, reason = reuse.look(self, step, ready)
  ready.fingerprint, ready.foresight = print.hash, nil
  if not outcome then
    self:drop_foresight()
    if step.effect then
      outcome = require("perilune.pipeline.effect").carry_out(self, step, ready, print, reason)
    else
      outcome = require("perilune.pipeline.attempts").try(self, step, ready, reason, nil, turn)
    end
    if outcome.state == "succeeded" then reuse.keep(self, step, ready, print, outcome) end
  end
  outcome.reason, outcome.fingerprint, outcome.command = outcome.reason or reason, print.hash, ready.shown
  return outcome
end

-- The folder of an output is there when the step begins.
function execution:make_folder_of(ready, path)
  local folder = (path:match("^/") and path or ready.folder .. "/" .. path):match("^(.*)/[^/]*$")
  if folder == "" or folder:find("[%*%?%[]") or self.folders[folder] then return end
  self.folders[folder] = true
  if not fs.exists(folder) then fs.mkdir(folder, { recursive = true }) end
end

-- The tasks ---------------------------------------------------------------------------------------------------------

local function see_to(self, step)
  local ok, problem = pcall(self.carry_out, self, step)
  if not ok then
    self:break_off(problem)
    self.outcomes[step.key] = { state = "failed", message = self.broken }
  end
  self.lineup:leave(step.key)
end

local no_part <const> = { status = "not_run" } -- of the run

local function start_all(self, wanted)
  local steps, behind, last = {}, {}, ends.of(self.pipeline.steps, wanted)
  for _, step in ipairs(self.pipeline.steps) do
    if wanted[step.key] then
      local list = last[step.key] and behind or steps
      list[#list + 1] = step
    end
  end
  self.wanted = wanted
  for _, step in ipairs(self.pipeline.steps) do
    if not wanted[step.key] then self.scope.steps[step.key] = no_part end
  end
  self.lineup:stand_last(last, #steps)
  self.lineup:start(table.move(behind, 1, #behind, #steps + 1, steps))
end

-- Runs the steps of the set `wanted` and all that they add. Returns the status.
function execution:go(wanted)
  peri.scope({ policy = "supervise" }, function(s)
    self.lineup = lineup.new(function(step) s:spawn({ name = step.key }, see_to, self, step) end)
    start_all(self, wanted)
  end)
  for key in pairs(wanted) do
    if not self.outcomes[key] then self:break_off(("step '%s' has never had its turn"):format(key)) end
  end
  return self:status()
end

-- Adds a step while the run goes on, and waits for it.
function execution:add_and_wait(step, by)
  step.key = self.mask(step.key)
  self.pipeline:add(step)
  self.events:emit("step_added", { key = step.key, name = step.name, by = by, executor = step.executor or nil })
  return self:finish(step)
end

-- Waits for a step, which is started with all that it needs where it was not wanted so far.
function execution:finish(step)
  local key = step.key
  if not self.lineup:has_started(key) then
    local steps = {}
    for needed in pairs(selection.closure(self.pipeline, { key })) do steps[#steps + 1] = self.pipeline.by_key[needed] end
    self.lineup:start(steps)
  end
  self.lineup:wait(key)
  return self.outcomes[key]
end

return execution
