-- Executors: where the command of a step runs that is no process of the runner's. Each is a queue (submit, status, cancel, collect;
-- see executor_command) with the jobs of this run in it, and one task that follows them all: it reads what they print, looks for their
-- results, asks the queue for the state of all at once, and ends together what is to end. Steps wait for their jobs; nobody else
-- speaks to the queue but to submit.
local fs = require "perilune.fs"
local peri = require "perilune"
local attempt = require "perilune.pipeline.attempt"
local job_folder = require "perilune.pipeline.executor_folder"
local text = require "perilune.pipeline.text"

local executor = {}
executor.__index = executor

executor.unreachable_code = 69

local first_look <const>, longest_look <const> = 0.05, 1 -- seconds between two looks at the files of jobs
local first_poll <const>, longest_poll <const> = 1, 10 -- seconds between two questions to the queue
local most_failures <const> = 3 -- of the queue, one after the other
local most_absences <const> = 3 -- of a job that the queue no longer has and that left no result
local gathering <const> = 0.02 -- seconds, for others that are to end too
local usual_jobs <const> = 1000

function executor.of(run, name)
  run.executors = run.executors or {}
  local known = run.executors[name]
  if known then return known end
  local spec = run.pipeline.executors[name]
  if not spec then
    text.refuse(3, "there is no executor '%s'%s", name, text.suggestion(name, text.sorted_keys(run.pipeline.executors)))
  end
  local self = setmetatable({ run = run, name = name, queue = require("perilune.pipeline.executor_" .. spec.kind).new(spec), jobs = {},
                              collected = {}, slots = peri.semaphore(spec.jobs or usual_jobs), woken = peri.notify(),
                              longest_poll = text.duration(spec.poll) or longest_poll }, executor)
  run.executors[name] = self
  return self
end

-- The turns of its jobs: they take none of those of this machine.
function executor.slots_of(run, step) return executor.of(run, step.executor).slots end

function executor:break_off(problem)
  self.run.code = self.run.code or executor.unreachable_code
  self.unreachable = true
  self.run:break_off(("executor '%s' is unreachable: %s"):format(self.name, problem))
  for _, job in pairs(self.jobs) do job.over:cancel("unreachable") end
end

-- Following the jobs ------------------------------------------------------------------------------------------------------

-- Hands over what a job has printed since the last look.
local function read_output(job, final)
  for stream, reader in pairs(job.readers) do
    local file = reader.file or io.open(job.folder:file(stream == "stdout" and "out" or "err"), "rb")
    reader.file = file
    if file then
      file:seek("set", reader.at)
      local bytes = file:read("a")
      reader.at = reader.at + #bytes
      if #bytes > 0 then reader.lines:take(bytes) end
    end
    if final then
      reader.lines:release(true)
      if file then file:close() end
    end
  end
end

local function is_late(job)
  job.began = job.began or math.tointeger(tonumber(job.folder:read "started" or ""))
  return job.timeout and job.began and peri.clock() > job.began + job.timeout
end

local function conclude(job, result)
  job.result = result
  job.over:cancel("over")
end

-- Whether a job has ended since the last look.
local function look(self, job)
  local over = fs.exists(job.folder:file "result")
  if over then
    local brought, problem = self.queue:collect(job.folder)
    conclude(job, brought and job.folder:result() or { state = "failed", lost = true, message = problem or "its result cannot be read", left = 0 })
    return true
  end
  read_output(job, false)
  if not job.late and is_late(job) then
    job.late, job.asked = true, "cancel"
  end
  return false
end

local function lost(job, state)
  if job.asked then return { state = "failed", signal = "TERM", left = 0 } end
  local why = state and state ~= "" and (": " .. state) or ""
  return { state = "failed", lost = true, left = 0, message = ("job %s left the queue without a result%s"):format(job.folder.id or job.folder.name, why) }
end

-- Takes note of what the queue says about a job: one that it no longer has may still be writing its result.
local function judge(self, job, found)
  local known = found[job.folder.id or ""] or found[job.folder.name]
  if known and not job.folder.id and known.id then job.folder:set_id(known.id) end
  if known and not known.over then
    job.absences = 0
    return
  end
  job.absences = job.absences + 1
  if job.absences < most_absences and not (job.asked and job.absences > 1) then return end
  if not look(self, job) then
    local brought = self.queue:collect(job.folder)
    conclude(job, brought and job.folder:result() or lost(job, known and known.state))
  end
end

local function ask(self)
  local ids = {}
  for _, job in pairs(self.jobs) do ids[#ids + 1] = job.folder.id end
  local found, problem = self.queue:status(ids)
  if found == nil then
    self.failures = self.failures + 1
    if self.failures >= most_failures then self:break_off(problem) end
    return
  end
  self.failures = 0
  if found == true then return end
  for _, job in pairs(self.jobs) do
    if not job.over:is_cancelled() then judge(self, job, found) end
  end
end

local function anybody_asked(self)
  for _, job in pairs(self.jobs) do
    if job.asked and job.told ~= job.asked then return true end
  end
  return false
end

-- Ends all that are to end with one command; those that are to end at once are not waited for.
local function end_asked(self)
  for _, how in ipairs { "cancel", "kill" } do
    local ids, jobs = {}, {}
    for _, job in pairs(self.jobs) do
      if job.asked == how and job.told ~= how then
        job.told, jobs[#jobs + 1] = how, job
        ids[#ids + 1] = job.folder.id
      end
    end
    if #ids > 0 then self.queue:cancel(ids, how == "kill") end
    for _, job in ipairs(jobs) do
      if how == "kill" and not job.over:is_cancelled() then conclude(job, { state = "failed", signal = "KILL", left = 0 }) end
    end
  end
end

local function follow(self)
  local pause, poll, asked = first_look, first_poll, peri.now()
  self.failures = 0
  while next(self.jobs) and not self.unreachable do
    if anybody_asked(self) then
      peri.sleep(gathering)
      end_asked(self)
    end
    local ended, goes_on = false, false
    for _, job in pairs(self.jobs) do
      if not job.over:is_cancelled() then
        local over = look(self, job)
        ended, goes_on = ended or over, goes_on or not over
      end
    end
    if goes_on and peri.now() - asked >= poll then
      ask(self)
      asked, poll = peri.now(), math.min(poll * 1.5, self.longest_poll)
    end
    pause = ended and first_look or math.min(pause * 1.3, longest_look)
    if peri.select { over = peri.sleep_op(pause), woken = self.woken:wait_op() } == "woken" then
      pause, poll = first_look, first_poll
    end
  end
  self.following = nil
end

local function begin_to_follow(self, job)
  self.jobs[job] = job
  if self.following then return self.woken:notify_one() end
  self.following = peri.spawn({ name = "executor " .. self.name, daemon = true, detached = true }, function()
    local ok, problem = pcall(follow, self)
    if not ok then self:break_off(type(problem) == "userdata" and problem.message or tostring(problem)) end
  end)
end

-- A job of a step --------------------------------------------------------------------------------------------------------

-- Whether an earlier run has left a job that this step goes on with.
function executor.has_job(run, step, ready)
  for _, one in ipairs(step.executor and job_folder.left(run, step) or {}) do
    if job_folder.is_open(run, step, ready, one) then return true end
  end
  return false
end

-- Where the runner died before it heard an id: whether the queue, or the job itself, knows of it.
local function was_submitted(self, one)
  if one.id or one:read "started" or one:read "result" then return true end
  local found, problem = self.queue:status({})
  if not found then return nil, problem end
  local known = found ~= true and found[one.name]
  if known and known.id then one:set_id(known.id) end
  return known ~= nil and known ~= false
end

-- The job that is gone on with, or nil; what counts no more is ended and removed.
local function take_up(self, step, ready)
  local taken
  for _, one in ipairs(job_folder.left(self.run, step)) do
    local sent, problem = was_submitted(self, one)
    if sent == nil then return nil, problem end
    if sent and not taken and job_folder.is_open(self.run, step, ready, one) then
      taken = one
    else
      if one.id and not one:read "result" then self.queue:cancel({ one.id }, true) end
      one:remove()
    end
  end
  return taken
end

local function submit(self, step, ready, n)
  local folder = job_folder.make(self.run, step, ready, n)
  local id, problem, missing = self.queue:submit(folder)
  if id then
    folder:set_id(id)
    return folder
  end
  local sent = false
  if not missing then sent = was_submitted(self, folder) end -- the queue may have taken it all the same
  if sent then return folder end
  if sent == false then folder:remove() end
  if missing or sent == nil then
    self:break_off(problem)
    return nil, { state = "cancelled", reason = self.run:why_halted(), left = 0 }
  end
  return nil, { state = "failed", message = "cannot submit: " .. problem, left = 0 }
end

local function wait_for(self, job, step)
  local live = { always = self.run.is_always(step), in_process = true }
  live.proc = { kill = function(_, grace)
    if self.unreachable then return end -- the job may go on, and be taken up
    job.folder:drop()
    job.asked = grace == 0 and "kill" or "cancel"
    self.woken:notify_one()
  end }
  self.run.live[step.key] = live
  begin_to_follow(self, job)
  if self.run:is_ending(step) then
    live.cancelled = true
    live.proc:kill(self.run.killing:is_cancelled() and 0 or nil)
  end
  job.over:wait()
  self.jobs[job], self.run.live[step.key] = nil, nil
  read_output(job, true)
  return live.cancelled
end

-- Does what attempt.run does, elsewhere. command: {timeout, mask}; deliver(stream, text, partial). Returns the same, and whether it
-- was cancelled.
function executor.run_job(run, step, ready, n, command, deliver)
  local self = executor.of(run, step.executor)
  local folder, problem
  if self.unreachable then return { state = "cancelled", reason = run:why_halted(), left = 0 } end
  folder, problem = take_up(self, step, ready)
  if problem then
    self:break_off(problem)
    return { state = "cancelled", reason = run:why_halted(), left = 0 }
  end
  if not folder then folder, problem = submit(self, step, ready, n) end
  if not folder then return problem end
  if self.unreachable then return { state = "cancelled", reason = run:why_halted(), left = 0 } end
  local job = { folder = folder, over = peri.token(), timeout = command.timeout, absences = 0, readers = {} }
  for _, stream in ipairs { "stdout", "stderr" } do
    job.readers[stream] = { at = 0, lines = attempt.reader(nil, command.mask, function(line, partial) deliver(stream, line, partial) end) }
  end
  local cancelled = wait_for(self, job, step)
  if not job.result then return { state = "cancelled", reason = run:why_halted(), left = 0 } end
  self.collected[#self.collected + 1] = folder
  if job.late and job.result.state ~= "succeeded" then job.result.state = "timeout" end
  return job.result, cancelled
end

-- At the end of a run, when its outcomes are kept: what has been collected is not needed any more.
function executor.tidy(run)
  for _, self in pairs(run.executors or {}) do
    for _, folder in ipairs(self.collected) do folder:remove() end
  end
end

return executor
