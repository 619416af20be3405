-- The record of a run: what every report derives from. A listener fills it while the run goes on; it is written to
-- .perilune/runs/ID/report.json, or made from the database for a run that could not write its own.
--
-- A record is plain data: run, pipeline, file, status ("running" until it ends), started (wall clock), duration, jobs, resumed_from,
-- counts, cpu {user, system}, left {count, keys} (processes that had left their groups and were ended), first_failure, resume,
-- critical_path and slowest (keys), and steps. A step has: key, name, doc, place, needs, after, executor (of a command that runs
-- elsewhere), added_by, added, last (it stands behind all others), state ("pending" or "running" until it ends), reason, message,
-- command, log, code, signal, user, system, started, ended, duration, attempts (a list of {started, ended, why}), allowed, left (how
-- many processes of its group its command had left), tail (of a failure). Times of steps are seconds since the run began.
local fs = require "perilune.fs"
local json = require "perilune.json"
local analysis = require "perilune.pipeline.analysis"
local any_json = require "perilune.pipeline.any_json"

local record = {}
record.__index = record

local layout <const> = 1

-- With room for all that it will have.
local function new_step(fields)
  return { started = nil, ended = nil, duration = nil, reason = nil, message = nil, code = nil, signal = nil, user = nil, system = nil,
           key = fields.key, name = fields.name or fields.key, doc = fields.doc, place = fields.place, added_by = fields.by, added = fields.added, last = fields.last, executor = fields.executor,
           needs = json.array(fields.needs or {}), after = json.array(fields.after or {}), state = "pending", attempts = json.array {} }
end

function record.new()
  return setmetatable({ failures = {}, by_key = {},
                        data = { layout = layout, status = "running", steps = json.array {}, counts = {}, cpu = { user = 0, system = 0 } } }, record)
end

function record:add(fields)
  local step = new_step(fields)
  self.by_key[step.key] = step
  table.insert(self.data.steps, step)
  return step
end

-- The steps with added ones before the step that added them, as the rows of a matrix stand before their group.
local function added_first(steps, by_key)
  local added, out = {}, json.array {}
  local function put(step)
    for _, one in ipairs(added[step.key] or {}) do put(one) end
    out[#out + 1] = step
  end
  for _, step in ipairs(steps) do
    local adder = by_key[step.added_by or false]
    if adder then
      added[adder.key] = added[adder.key] or {}
      table.insert(added[adder.key], step)
    end
  end
  for _, step in ipairs(steps) do
    if not by_key[step.added_by or false] then put(step) end
  end
  return out
end

local on = {}

function on.run_started(self, event)
  local data = self.data
  data.run, data.pipeline, data.file, data.jobs, data.resumed_from = event.run, event.pipeline, event.file, event.jobs, event.resumed_from
  data.started, self.began = event.time, event.at
  for _, step in ipairs(event.steps) do self:add(step) end
end

function on.step_added(self, event)
  event.added = event.at - self.began
  self:add(event)
end

function on.step_started(self, event)
  local step = self.by_key[event.key]
  local at = event.at - self.began
  step.started, step.state = step.started or at, "running"
  step.command, step.log, step.reason, step.allowed = event.command, event.log, event.reason, event.attempts
  table.insert(step.attempts, { started = at })
end

local function end_attempt(step, at, why)
  local attempt = step.attempts[#step.attempts]
  if attempt then attempt.ended, attempt.why = at, why end
end

function on.step_retry(self, event)
  end_attempt(self.by_key[event.key], event.at - self.began, event.why)
end

function on.step_finished(self, event)
  local step, cpu = self.by_key[event.key], self.data.cpu
  local at = event.at - self.began
  end_attempt(step, at)
  step.started, step.ended = step.started or math.max(at - event.duration, 0), at
  step.duration = step.ended - step.started
  step.state, step.reason, step.message, step.code, step.signal = event.state, event.reason, event.message, event.code, event.signal
  step.user, step.system, step.tail, step.left = event.user, event.system, event.tail, (event.left or 0) > 0 and event.left or nil
  step.command, step.place = step.command or event.command, step.place or event.place
  step.log = not event.silent and (step.log or event.log) or nil
  cpu.user, cpu.system = cpu.user + (event.user or 0), cpu.system + (event.system or 0)
  self.data.counts[event.state] = (self.data.counts[event.state] or 0) + 1
  if event.state == "failed" or event.state == "timeout" then self.failures[#self.failures + 1] = step end
end

function on.processes_left(self, event)
  self.data.left = { count = event.count, keys = json.array(event.keys) }
end

function on.run_finished(self, event)
  local data = self.data
  data.status, data.duration, data.first_failure, data.resume = event.status, event.duration, event.first_failure, event.resume
  data.steps = added_first(data.steps, self.by_key)
  self:analyse()
end

local function keys_of(steps)
  local keys = json.array {}
  for i, step in ipairs(steps) do keys[i] = step.key end
  return keys
end

function record:analyse()
  self.critical, self.slowest = analysis.critical_path(self.data.steps), analysis.slowest(self.data.steps, 5)
  self.data.critical_path, self.data.slowest = keys_of(self.critical), keys_of(self.slowest)
end

function record:hear(event)
  local note = on[event.event]
  if note then note(self, event) end
end

local function path_in(folder, run) return ("%s/runs/%s/report.json"):format(folder, run) end

-- Writes report.json into the folder of the run.
function record:keep(folder)
  if not self.data.run then return end
  if not self.critical then self:analyse() end
  fs.write(path_in(folder, self.data.run), any_json.readable(self.data, { indent = 1 }) .. "\n")
end

-- From the database, for a run that ended without a word: what had been committed.
local function from_database(store, row)
  local self = record.new()
  local data = self.data
  data.run, data.file, data.started, data.status = row.id, row.file, row.started, row.status
  data.duration = row.ended and row.ended - row.started
  for _, one in ipairs(store:steps_of(row.id)) do
    local step = self:add(one)
    local from = one.started and one.started - row.started
    for _, name in ipairs { "state", "reason", "code", "signal", "duration", "log" } do step[name] = one[name] end
    step.started, step.ended = from, from and from + (one.duration or 0)
    step.command = one.log and "" or nil
    data.counts[one.state] = (data.counts[one.state] or 0) + 1
  end
  self:analyse()
  return data
end

-- The data of a run that the database knows, `row` being its row there.
function record.of(store, row)
  local path = path_in(store.folder, row.id)
  local data = fs.exists(path) and json.decode(fs.read(path))
  return data and data.status ~= "running" and data or from_database(store, row)
end

return record
