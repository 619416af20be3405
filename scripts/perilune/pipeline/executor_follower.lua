-- Who follows the jobs of an executor: one task, which reads what they print, looks for their results and limits, and asks for the end
-- of those that are to end. It never waits for the queue: whatever has the queue asked runs beside it, so that a command that does
-- not answer holds up neither output nor ends. Of a job it keeps:
--
--   folder, over, result    its folder; a token, cancelled when it has ended; how it ended, as attempt.run tells
--   readers                 of its output, by stream
--   timeout, grace          seconds; late: it has run for longer than its timeout
--   began                   seconds since 1970, as soon as it is known
--   asked, told             "cancel" or "kill": what it is to be ended by, and what the queue was told
--   deadline                when more is done about one that was asked to end; at_once: no more than telling is waited for
--   absences                how often the queue did not have it
local peri = require "perilune"

local follower = {}

local first_look <const>, longest_look <const> = 0.05, 1 -- seconds between two looks at the files of jobs
local first_poll <const> = 1 -- seconds between two questions to the queue
local most_failures <const> = 3 -- of the queue, one after the other
local most_absences <const> = 3 -- of a job that the queue no longer has and that left no result
local gathering <const> = 0.02 -- seconds, for others that are to end too
local kill_patience <const> = 5 -- seconds for the end of a job that is to be killed
local last_patience <const> = 2 -- seconds for the queue, where no end is waited for

local function conclude(job, result)
  if job.over:is_cancelled() then return end
  job.result = result
  job.over:cancel("over")
end

-- Those that have not ended: a list, since others may come while it is gone through.
local function open_jobs(self)
  local open = {}
  for _, job in pairs(self.jobs) do
    if not job.over:is_cancelled() then open[#open + 1] = job end
  end
  return open
end

-- Asks something of the queue beside the follower; one question of a kind at a time.
local function beside(self, what, question, ...)
  if self.asking[what] then return end
  self.asking[what] = peri.spawn({ name = ("executor %s: %s"):format(self.name, what), daemon = true, detached = true }, function(...)
    local done <close> = peri.defer(function()
      self.asking[what] = nil
      self.answered:notify_one()
    end)
    self:guard(question, self, ...)
  end, ...)
end

-- Looking at files ---------------------------------------------------------------------------------------------------------

local function read_stream(job, stream, reader, final)
  local file = reader.file or io.open(job.folder:file(stream == "stdout" and "out" or "err"), "rb")
  reader.file = file
  if file then
    file:seek("set", reader.at)
    local bytes = file:read("a")
    reader.at = reader.at + #bytes
    if #bytes > 0 then reader.lines:take(bytes) end
    if final then file:close() end
  end
  local held_until = reader.lines.hold_until
  if final or held_until and held_until <= peri.now() then reader.lines:release(final) end
  return reader.lines.hold_until
end

-- Hands over what a job has printed since the last look. Returns when an unfinished line has been held for long enough, or nil.
function follower.read_output(job, final)
  local due
  for stream, reader in pairs(job.readers) do
    local held_until = read_stream(job, stream, reader, final)
    if held_until and (not due or held_until < due) then due = held_until end
  end
  return due
end

-- Has what a job has left brought here, and concludes it. `otherwise`: how it ended where there is no result.
local function collect(self, job, otherwise)
  beside(self, "collect " .. job.folder.name, function()
    local brought, problem = self.queue:collect(job.folder)
    if not job.folder:has "result" and job.folder:would_be_listed(self.queue) then job.folder:mark "gone" end
    conclude(job, brought and job.folder:result() or otherwise
                  or { state = "failed", lost = true, message = problem or "its result cannot be read", left = 0 })
  end)
end

-- It began in the second that is told, nobody knows when in it.
local function is_late(job)
  job.began = job.began or math.tointeger(tonumber(job.folder:read "started" or ""))
  return job.timeout and job.began and peri.clock() > job.began + 1 + job.timeout
end

-- Asks for the end of a job, and for more when that has not come in time.
local function ask_end(job, how, patience)
  job.asked, job.deadline = how, peri.now() + patience
end

-- How long a job may take to end.
function follower.patience(self, grace) return math.max(grace, self.queue.kill_wait or 0) end

function follower.cancel(self, job)
  if not job.asked then ask_end(job, "cancel", follower.patience(self, job.grace)) end
end

function follower.kill(job)
  job.at_once = true
  ask_end(job, "kill", last_patience)
end

local function name_of(job) return job.folder.id or job.folder.name end

local function tell_trouble(self, message) self.run.events:emit("executor_trouble", { executor = self.name, message = message }) end

-- What it ended by, of one that left no result.
local function ended_by(job) return { state = "failed", signal = job.asked == "kill" and "KILL" or "TERM", left = 0 } end

-- Whether a job that was asked to end can be waited for no longer than until the queue was told: where the run ends at once, and where
-- it has not begun and its queue tells nothing. Should it begin all the same, it does nothing: it looks for "dropped" after it has said
-- that it begins.
local function needs_no_end(self, job)
  return job.at_once or self.queue.is_blind and job.folder:has "dropped" and not job.folder:has "started"
end

-- Whether nothing more is to be expected of a job that was asked to end.
local function is_given_up(self, job)
  local told = job.told == job.asked
  if told and needs_no_end(self, job) then return true end
  if job.asked ~= "kill" or peri.now() < job.deadline then return false end
  if not told or not self.queue.is_blind then
    tell_trouble(self, ("job %s did not end, and may still run"):format(name_of(job)))
  end
  return true
end

-- Whether a job has ended since the last look, and when the next is due.
local function look(self, job)
  local has_result = job.folder:has "result"
  if has_result then collect(self, job) end
  if job.over:is_cancelled() then return true end
  local due = follower.read_output(job, false)
  if not has_result and not job.asked and is_late(job) then
    job.late = true
    follower.cancel(self, job)
  end
  if not job.asked then return false, due end
  if is_given_up(self, job) then
    conclude(job, ended_by(job))
  elseif job.asked == "cancel" and peri.now() >= job.deadline then
    ask_end(job, "kill", kill_patience)
  end
  return job.over:is_cancelled(), math.min(due or math.huge, math.max(job.deadline, peri.now() + first_look))
end

-- Speaking to the queue ----------------------------------------------------------------------------------------------------

local function lost(job, state)
  if job.asked then return ended_by(job) end
  local why = state and state ~= "" and (": " .. state) or ""
  return { state = "failed", lost = true, left = 0, message = ("job %s left the queue without a result%s"):format(name_of(job), why) }
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
  if job.absences >= most_absences or job.asked and job.absences > 1 then collect(self, job, lost(job, known and known.state)) end
end

local function ask_states(self)
  local ids = {}
  for _, job in ipairs(open_jobs(self)) do ids[#ids + 1] = job.folder.id end
  local found, problem = self.queue:status(ids)
  self.polled, self.poll = peri.now(), math.min(self.poll * 1.5, self.longest_poll)
  if found == nil then
    self.failures = self.failures + 1
    if self.failures >= most_failures then self:break_off(problem) end
    return
  end
  self.failures = 0
  if found == true then return end
  for _, job in ipairs(open_jobs(self)) do judge(self, job, found) end
end

-- Those that are to end and of which the queue has not been told: their ids are known.
local function untold(self, how)
  local jobs, ids = {}, {}
  for _, job in ipairs(open_jobs(self)) do
    if job.asked == how and job.told ~= how and job.folder.id and not job.folder:is_over() then
      jobs[#jobs + 1], ids[#ids + 1] = job, job.folder.id
    end
  end
  return jobs, ids
end

-- Ends all that are to end with one command. One that fails is told once, and given again.
local function tell_ends(self, how)
  peri.sleep(gathering)
  local jobs, ids = untold(self, how)
  if #ids == 0 then return end
  local said, problem = self.queue:cancel(ids, how == "kill")
  if said then
    for _, job in ipairs(jobs) do job.told = how end
    self.poll = first_poll -- their ends are near
  elseif #untold(self, how) > 0 then
    if not self.complained then tell_trouble(self, problem .. "; asked again") end
    self.complained = true
    peri.sleep(first_poll)
  end
end

local function look_at_all(self)
  local ended, due = false, math.huge
  for _, job in ipairs(open_jobs(self)) do
    local over, next_look = look(self, job)
    ended, due = ended or over, math.min(due, next_look or math.huge)
  end
  return ended, due
end

-- Returns when the next question is due.
local function ask_what_is_due(self)
  for _, how in ipairs { "cancel", "kill" } do
    if #untold(self, how) > 0 then beside(self, how, tell_ends, how) end
  end
  if peri.now() >= self.polled + self.poll then beside(self, "status", ask_states) end
  return self.asking.status and math.huge or self.polled + self.poll
end

local function follow(self)
  local pause = first_look
  self.failures, self.poll, self.polled = 0, first_poll, peri.now()
  while next(self.jobs) and not self.unreachable do
    local ended, due = look_at_all(self)
    local question = ask_what_is_due(self)
    pause = ended and first_look or math.min(pause * 1.3, longest_look)
    local seconds = math.max(math.min(pause, math.min(due, question) - peri.now()), 0)
    if peri.select { over = peri.sleep_op(seconds), woken = self.woken:wait_op(), answered = self.answered:wait_op() } == "woken" then
      pause, self.poll = first_look, first_poll
    end
  end
  self.following = nil
end

-- At the end of a run: nothing is asked of the queue any more.
function follower.close(self)
  local tasks = { self.following }
  for _, question in pairs(self.asking) do tasks[#tasks + 1] = question end
  for _, task in ipairs(tasks) do task:cancel "the run is over" end
  for _, task in ipairs(tasks) do task:join() end
end

function follower.begin(self, job)
  self.jobs[job] = job
  if self.following then return self.woken:notify_one() end
  self.following = peri.spawn({ name = "executor " .. self.name, daemon = true, detached = true }, self.guard, self, follow, self)
end

return follower
