-- How long a run will take yet, from how long its steps took before, or others of their name in this run: as long as the longest
-- chain of steps that are left, and no less than their sum shared by the slots.
local sorted = require("perilune.pipeline.order").sorted

local estimate = {}
estimate.__index = estimate

-- durations: {key = seconds} of earlier runs.
function estimate.new(durations)
  return setmetatable({ durations = durations, left = {}, chain = {}, started = {}, of_name = {}, jobs = 1, mean = 0 }, estimate)
end

local enough_of_a_name <const> = 3

-- Of a step that no earlier run had: the mean of those of its name that have ended, as soon as these are some.
local function known_duration(self, key)
  local seen = not self.durations[key] and next(self.of_name) and self.of_name[key:match("^[^%[]*")]
  return self.durations[key] or seen and seen.count >= enough_of_a_name and seen.seconds / seen.count or nil
end

function estimate:duration_of(key) return known_duration(self, key) or self.mean end

-- The steps of the plan, and how many may run at once.
function estimate:plan(steps, jobs)
  self.jobs = jobs
  local sum, known = 0, 0
  for _, step in ipairs(steps) do
    local seconds = self.durations[step.key]
    if seconds then sum, known = sum + seconds, known + 1 end
  end
  self.mean = known > 0 and sum / known or 0
  local ordered = sorted(steps)
  for i = #ordered, 1, -1 do
    local step = ordered[i]
    self.left[step.key] = true
    self.chain[step.key] = (self.chain[step.key] or 0) + self:duration_of(step.key)
    for _, keys in ipairs { step.needs, step.after } do
      for _, key in ipairs(keys) do self.chain[key] = math.max(self.chain[key] or 0, self.chain[step.key]) end
    end
  end
end

function estimate:add(key) self.left[key], self.chain[key] = true, self:duration_of(key) end
function estimate:start(key, at) self.started[key] = self.started[key] or at end

-- `seconds`: that it took, where it did something.
function estimate:finish(key, seconds)
  self.left[key], self.started[key] = nil, nil
  if not seconds or not key:find("[", 1, true) then return end
  local name = key:match("^[^%[]*")
  local seen = self.of_name[name] or { count = 0, seconds = 0 }
  self.of_name[name] = seen
  seen.count, seen.seconds = seen.count + 1, seen.seconds + seconds
end

-- Seconds; nil where too little is known.
function estimate:remaining(at)
  local work, longest, known, count = 0, 0, 0, 0
  for key in pairs(self.left) do
    local spent = self.started[key] and at - self.started[key] or 0
    local seconds = known_duration(self, key)
    work = work + math.max((seconds or self.mean) - spent, 0)
    longest = math.max(longest, self.chain[key] - spent)
    count = count + 1
    if seconds then known = known + 1 end
  end
  if count == 0 or known * 2 < count then return nil end
  return math.max(longest, work / self.jobs)
end

return estimate
