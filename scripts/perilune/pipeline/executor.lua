-- Executors: where the command of a step runs that is no process of the runner's. Each is a queue (submit, status, cancel, collect;
-- see executor_command) with the jobs of this run in it, which executor_follower looks after. Steps wait for their jobs; they speak to
-- the queue only to submit one, and to put away what an earlier attempt or run has left.
local peri = require "perilune"
local attempt = require "perilune.pipeline.attempt"
local follower = require "perilune.pipeline.executor_follower"
local job_folder = require "perilune.pipeline.executor_folder"
local text = require "perilune.pipeline.text"

local executor = {}
executor.__index = executor

executor.unreachable_code = 69

local longest_poll <const> = 10 -- seconds between two questions to the queue
local usual_jobs <const> = 1000
local put_away_pause <const> = 0.5

-- Its description with the names replaced that are known to all steps.
local function expanded(run, spec)
  local out, scope = {}, run:scope_now()
  for key, value in pairs(spec) do
    out[key] = type(value) == "table" and text.expand_all(value, scope) or text.is_template(value) and text.expand(value, scope) or value
  end
  return out
end

local function poll_of(name, poll)
  if not poll then return longest_poll end
  return text.duration(poll) or text.refuse(3, "executors.%s.poll: a duration expected, got '%s'", name, poll)
end

function executor.of(run, name)
  run.executors = run.executors or {}
  local known = run.executors[name]
  if known then return known end
  local spec = expanded(run, run.pipeline.executors[name])
  local self = setmetatable({ run = run, name = name, jobs = {}, slots = peri.semaphore(spec.jobs or usual_jobs), woken = peri.notify(),
                              queue = require("perilune.pipeline.executor_" .. spec.kind).new(spec, run.pipeline.folder), asking = {},
                              answered = peri.notify(), longest_poll = poll_of(name, spec.poll) }, executor)
  run.executors[name] = self
  return self
end

-- At the end of a run, before what its steps have left is looked for: commands of queues are none of it.
function executor.close(run)
  for _, self in pairs(run.executors or {}) do follower.close(self) end
end

-- The turns of its jobs: they take none of those of this machine.
function executor.slots_of(run, step) return executor.of(run, step.executor).slots end

function executor:break_off(problem)
  self.run.code = self.run.code or executor.unreachable_code
  self.unreachable = true
  self.run:break_off(("executor '%s' is unreachable: %s"):format(self.name, problem))
  for _, job in pairs(self.jobs) do job.over:cancel("unreachable") end
end

-- Calls what nobody waits for: it cannot fail unheard.
function executor:guard(fn, ...)
  local ok, problem = pcall(fn, ...)
  if not ok then self:break_off(type(problem) == "userdata" and problem.message or tostring(problem)) end
end

-- A job of a step --------------------------------------------------------------------------------------------------------

-- Whether an earlier run has left a job that this step goes on with.
function executor.has_job(run, step, ready)
  for _, one in ipairs(step.executor and job_folder.left(run, step) or {}) do
    if job_folder.is_open(run, step, ready, one) then return true end
  end
  return false
end

-- What the queue says of a job: true where it waits or runs, false where it is gone, nil and what is wrong; "unknown" where the
-- queue tells nothing of it. An id that nobody has heard is heard here.
local function state_of(self, one)
  local found, problem = self.queue:status({ one.id })
  if not found then return nil, problem end
  if found == true then return "unknown" end
  local known = found[one.id or ""] or found[one.name]
  if not known then return not one:would_be_listed(self.queue) and "unknown" end
  if not one.id and known.id then one:set_id(known.id) end
  return not known.over
end

-- Whether the queue, or the job itself, knows of one that may not have been submitted.
local function was_submitted(self, one)
  if one.id or one:is_over() then return true end
  local state, problem = state_of(self, one)
  if state == true or one.id or one:has "started" then return true end
  if state == nil then return nil, problem end
  return false
end

local function cancelled(run) return { state = "cancelled", reason = run:why_halted(), left = 0 } end
local function failed(message) return { state = "failed", message = message, left = 0 } end

-- It cannot be reached: how that ends an attempt.
local function give_up(self, problem)
  self:break_off(problem)
  return cancelled(self.run)
end

-- Ends a job that counts no more, and removes what it left when it runs no more. Returns how the attempt ends where it goes on.
local function put_away(self, step, one, grace)
  local deadline = peri.now() + follower.patience(self, grace)
  if not one:is_over() then one:mark "dropped" end
  while not one:is_over() do
    local state, problem = state_of(self, one)
    if state == nil then return give_up(self, problem) end
    local told = one.id and self.queue:cancel({ one.id }, true)
    if state == false or state == "unknown" and (told or not one:has "started") then break end
    if self.run:is_ending(step) then return cancelled(self.run) end
    if peri.now() >= deadline then
      return failed(("job %s of run %s may still run and did not end; see to it, then remove %s"):format(one.id or one.name, one.run, one.path))
    end
    peri.sleep(put_away_pause)
  end
  one:remove()
end

-- The job that is gone on with, or nil, and how the attempt ends where there can be none; what counts no more is ended and removed.
local function take_up(self, step, ready, grace)
  local taken
  for _, one in ipairs(job_folder.left(self.run, step)) do
    local sent, problem = was_submitted(self, one)
    if sent == nil then return nil, give_up(self, problem) end
    if sent and not taken and job_folder.is_open(self.run, step, ready, one) then
      taken = one
    else
      local ended = put_away(self, step, one, grace)
      if ended then return nil, ended end
    end
  end
  if taken then taken:belong_to(self.run) end
  return taken
end

-- One that is broken off before the queue has answered leaves a job that does nothing, should it begin.
local function submit(self, step, ready, n)
  local folder = job_folder.make(self.run, step, ready, n)
  local unheard <close> = peri.defer(function(problem)
    if problem then folder:mark "dropped" end
  end)
  local id, problem, why = self.queue:submit(folder)
  if id then
    folder:set_id(id)
    return folder
  end
  local sent = false
  if why ~= "missing" then sent = was_submitted(self, folder) end -- the queue may have taken it all the same
  if sent then return folder end
  if sent == false then folder:remove() end
  if why == "missing" or sent == nil then return nil, give_up(self, problem) end
  return nil, failed("cannot submit: " .. problem)
end

local function begin_job(self, step, grace, ready, n)
  local folder, ended = take_up(self, step, ready, grace)
  if folder or ended then return folder, ended end
  return submit(self, step, ready, n)
end

-- Has `question` ask the queue. When the step is to end the answer is waited for no longer than the grace, and not at all after the
-- second signal. Returns what it gives, or nil and how the attempt ends.
local function answer_in_time(self, step, grace, question, ...)
  local asking = peri.spawn({ name = ("executor %s: %s"):format(self.name, step.key) }, question, self, step, grace, ...)
  if peri.select { over = asking:join_op(), stop = self.run:end_token(step):wait_op() } == "stop" then
    peri.select { over = asking:join_op(), late = peri.sleep_op(grace), killed = self.run.killing:wait_op() }
    asking:cancel "its step is to end"
  end
  local ok, folder, ended = asking:join()
  if ok then return folder, ended end
  if folder.kind ~= "cancelled" then error(folder, 0) end
  return nil, cancelled(self.run)
end

local function new_job(folder, command, deliver)
  local job = { folder = folder, over = peri.token(), timeout = command.timeout, grace = command.grace, absences = 0, readers = {} }
  for _, stream in ipairs { "stdout", "stderr" } do
    job.readers[stream] = { at = 0, lines = attempt.reader(nil, command.mask, function(line, partial) deliver(stream, line, partial) end) }
  end
  return job
end

-- Returns whether the run has ended it.
local function wait_for(self, job, step)
  local proc = { kill = function(_, grace)
    if self.unreachable then return end -- the job may go on, and be taken up
    job.folder:mark "dropped"
    if grace == 0 then follower.kill(job) else follower.cancel(self, job) end
    self.woken:notify_one()
  end }
  local live = self.run:make_live(step, { proc = proc, in_process = true })
  follower.begin(self, job)
  if self.run:is_ending(step) then
    live.cancelled = true
    live.proc:kill(self.run.killing:is_cancelled() and 0 or nil)
  end
  job.over:wait()
  self.jobs[job], self.run.live[step.key] = nil, nil
  follower.read_output(job, true)
  if job.result then job.folder:forget_command() end
  job.late = job.late or live.late
  return live.cancelled
end

-- Does what attempt.run does, elsewhere. command: {timeout, grace, mask}; deliver(stream, text, partial). Returns the same, and whether
-- it was cancelled.
function executor.run_job(run, step, ready, n, command, deliver)
  local self = executor.of(run, step.executor)
  if self.unreachable then return cancelled(run) end
  local folder, ended = answer_in_time(self, step, command.grace, begin_job, ready, n)
  if ended then return ended end
  if self.unreachable then return cancelled(run) end
  local job = new_job(folder, command, deliver)
  local was_cancelled = wait_for(self, job, step)
  if not job.result then return cancelled(run) end
  if job.late then job.result.state = "timeout" end
  return job.result, was_cancelled
end

return executor
