-- Which steps may begin, against the plain rule: random graphs, started in random batches, ended in random order.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local lineup = require "perilune.pipeline.lineup"
local case <close> = check.cases()

local world = {}
world.__index = world

local kinds <const> = { "ordinary", "ordinary", "ordinary", "last", "late" }

-- Steps of which each stands behind some before it. Nothing but a last one stands behind a last one; late ones are started later.
local function new_world()
  local self = setmetatable({ steps = {}, first = {}, late = {}, started = {}, begun = {}, over = {}, running = {}, heard = 0, waiters = 0 }, world)
  for i = 1, math.random(0, 20) do
    local step = { key = "s" .. i, needs = {}, after = {}, kind = kinds[math.random(#kinds)] }
    for j = 1, i - 1 do
      local kept_apart = step.kind ~= "last" and self.steps[j].kind == "last"
      if not kept_apart and math.random() < 0.2 then table.insert(math.random() < 0.5 and step.needs or step.after, "s" .. j) end
    end
    self.steps[i] = step
    table.insert(step.kind == "late" and self.late or self.first, step)
  end
  self.line = lineup.new(function(step) self:begin(step) end)
  return self
end

function world:begin(step)
  check.equal(self.begun[step.key], nil, step.key .. " begins once")
  for _, list in ipairs { step.needs, step.after } do
    for _, key in ipairs(list) do check.equal(self.started[key] and not self.over[key] or false, false, step.key .. " before " .. key) end
  end
  for _, one in ipairs(step.kind == "last" and self.steps or {}) do
    check.equal(one.kind == "ordinary" and not self.over[one.key], false, step.key .. " is last")
  end
  self.begun[step.key] = true
  self.running[#self.running + 1] = step
end

local function shuffled(list)
  for i = #list, 2, -1 do
    local j = math.random(i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

function world:start(batch)
  for _, step in ipairs(batch) do self.started[step.key] = true end
  self.line:start(shuffled(batch))
end

function world:start_first()
  local last, ordinary = {}, 0
  for _, step in ipairs(self.first) do
    last[step.key] = step.kind == "last"
    if step.kind == "ordinary" then ordinary = ordinary + 1 end
  end
  self.line:stand_last(last, ordinary)
  self:start(self.first)
end

function world:start_late()
  local batch = {}
  for i = 1, math.random(#self.late) do batch[i] = table.remove(self.late, math.random(#self.late)) end
  self:start(batch)
end

function world:end_one()
  local step = table.remove(self.running, math.random(#self.running))
  self.over[step.key] = true
  self.line:leave(step.key)
end

function world:wait(s)
  local step = self.steps[math.random(#self.steps)]
  if not self.started[step.key] then return end
  self.waiters = self.waiters + 1
  s:spawn(function()
    self.line:wait(step.key)
    check.equal(self.over[step.key], true, "waits until it is over")
    self.heard = self.heard + 1
  end)
end

function world:run(s)
  self:start_first()
  while #self.running > 0 or #self.late > 0 do
    if #self.late > 0 and (#self.running == 0 or math.random() < 0.2) then self:start_late() else self:end_one() end
    if math.random() < 0.3 then self:wait(s) end
    if math.random() < 0.3 then peri.yield() end
  end
end

case("lineup: every step begins once, when all is over that stands before it", function()
  for _ = 1, 300 do
    local w = new_world()
    peri.scope(function(s) w:run(s) end)
    for _, step in ipairs(w.steps) do check.equal(w.over[step.key], true, step.key .. " is over in the end") end
    check.equal(w.heard, w.waiters)
  end
end)
