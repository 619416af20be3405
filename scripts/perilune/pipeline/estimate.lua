-- How long a run will take yet, from how long its steps took before: as long as the longest chain of steps that are left, and no
-- less than their sum shared by the slots.
local sorted = require("perilune.pipeline.order").sorted

local estimate = {}
estimate.__index = estimate

-- durations: {key = seconds} of earlier runs.
function estimate.new(durations)
  return setmetatable({ durations = durations, left = {}, chain = {}, started = {}, jobs = 1, mean = 0 }, estimate)
end

function estimate:duration_of(key) return self.durations[key] or self.mean end

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
function estimate:finish(key) self.left[key], self.started[key] = nil, nil end

-- Seconds; nil where too little is known.
function estimate:remaining(at)
  local work, longest, known, count = 0, 0, 0, 0
  for key in pairs(self.left) do
    local spent = self.started[key] and at - self.started[key] or 0
    work = work + math.max(self:duration_of(key) - spent, 0)
    longest = math.max(longest, self.chain[key] - spent)
    count = count + 1
    if self.durations[key] then known = known + 1 end
  end
  if count == 0 or known * 2 < count then return nil end
  return math.max(longest, work / self.jobs)
end

return estimate
