-- Which of the steps of a run may begin: each waits in line until all is over that stands before it, and costs next to nothing
-- meanwhile. Owned by the execution. Many tasks call it, so what changes more than one of its tables is not preempted.
local peri = require "perilune"
local model = require "perilune.pipeline.model"

local lineup = {}
lineup.__index = lineup

-- begin(step): all is over that stands before it; called once for each, and must not wait.
function lineup.new(begin)
  return setmetatable({ begin = begin, last = {}, ordinary = 0, behind_ordinary = {}, started = {},
                        behind = {}, -- {key = list of steps that wait for this one}, of those that are not over
                        open = {}, -- {key = how many it waits for}
                        over = {} }, lineup) -- {key = token}, where a task waits
end

-- Those of the set `last` stand behind everything that is started with them and not in it.
function lineup:stand_last(last, ordinary) self.last, self.ordinary = last, ordinary end

local nobody <const> = {} -- shared, never changed

local function arrange(self, step)
  local open = 0
  local keys = model.dependencies(step)
  for i = 1, #keys do
    local key = keys[i]
    local list = self.behind[key]
    if list == nobody then
      self.behind[key] = { step }
    elseif list then
      list[#list + 1] = step
    end
    if list then open = open + 1 end
  end
  if self.last[step.key] and self.ordinary > 0 then
    local list = self.behind_ordinary
    list[#list + 1], open = step, open + 1
  end
  self.open[step.key] = open
  if open == 0 then self.begin(step) end
end

local function mark(self, steps)
  local new = {}
  for _, step in ipairs(steps) do
    if not self.started[step.key] then
      self.started[step.key], self.behind[step.key] = true, nobody
      new[#new + 1] = step
    end
  end
  return new
end

-- Starts those of a list of steps that have not been.
function lineup:start(steps)
  for _, step in ipairs(peri.critical(mark, self, steps)) do peri.critical(arrange, self, step) end
end

function lineup:has_started(key) return self.started[key] end

local function release(self, steps)
  for i = 1, #steps do
    local step = steps[i]
    local key = step.key
    self.open[key] = self.open[key] - 1
    if self.open[key] == 0 then arrange(self, step) end -- what has been started meanwhile may stand before it
  end
end

local function leave(self, key)
  local behind, over = self.behind[key], self.over[key]
  self.behind[key], self.open[key], self.over[key] = nil, nil, nil
  if over then over:cancel("over") end
  if self.last[key] == false then self.ordinary = self.ordinary - 1 end
  release(self, behind)
  if self.ordinary == 0 and #self.behind_ordinary > 0 then
    behind, self.behind_ordinary = self.behind_ordinary, {}
    release(self, behind)
  end
end

-- A step is over.
function lineup:leave(key) peri.critical(leave, self, key) end

local function token_of(self, key)
  if not self.behind[key] then return nil end
  self.over[key] = self.over[key] or peri.token()
  return self.over[key]
end

-- Waits until a step that was started is over.
function lineup:wait(key)
  local over = peri.critical(token_of, self, key)
  if over then over:wait() end
end

return lineup
