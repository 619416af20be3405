-- Random operations on a join set against a plain model of one: after every step both say the same.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

-- Both at once. The model knows when each member will end, and keeps those that have in the order of their ends.
local pair = {}
pair.__index = pair

local function new_pair() return setmetatable({ set = peri.join_set(), running = {}, ended = {}, ids = 0 }, pair) end

-- Members that end at the same instant would have no order: each has a fraction of its own.
function pair:spawn()
  self.ids = self.ids + 1
  local id, fails = self.ids, math.random(3) == 1
  local member = { id = id, at = peri.now() + math.random(0, 4) + id / 1024, outcome = fails and "failed " .. id or "value " .. id }
  member.task = self.set:spawn(function()
    peri.sleep(member.at - peri.now())
    if fails then error(member.outcome, 0) end
    return member.outcome
  end)
  self.running[#self.running + 1] = member
  peri.yield()
end

function pair:any_running()
  return #self.running > 0 and table.remove(self.running, math.random(#self.running)) or nil
end

function pair:cancel()
  local member = self:any_running()
  if not member then return end
  member.task:cancel()
  member.outcome = "cancelled"
  self.ended[#self.ended + 1] = member
  peri.yield()
end

function pair:cancel_all()
  self.set:cancel_all("all")
  for _, member in ipairs(self.running) do
    member.outcome = "cancelled"
    self.ended[#self.ended + 1] = member
  end
  self.running = {}
  peri.yield()
end

function pair:detach()
  local member = self:any_running()
  if member then member.task:detach():cancel() end
  peri.yield()
end

function pair:pass_time()
  peri.sleep(math.random(0, 3))
  self:settle_due()
end

function pair:settle_due()
  table.sort(self.running, function(a, b) return a.at < b.at end)
  while self.running[1] and self.running[1].at <= peri.now() + 1e-9 do
    self.ended[#self.ended + 1] = table.remove(self.running, 1)
  end
  table.sort(self.running, function(a, b) return a.id < b.id end)
end

local function outcome(ok, value) return ok and value or value.kind == "cancelled" and "cancelled" or value.value end

function pair:taken(task, ...)
  self:settle_due()
  local member = table.remove(self.ended, 1)
  check.equal(task, member and member.task)
  if member then check.equal(outcome(...), member.outcome) end
end

function pair:try_join_next() self:taken(self.set:try_join_next()) end

-- A wait with a limit: it takes the next member, or loses and takes nothing.
function pair:join_next()
  local result = table.pack(peri.select({ self.set:join_next_op(), peri.sleep_op(1) }, { biased = true }))
  if result[1] == 1 then
    self:taken(table.unpack(result, 2, result.n))
  else
    self:settle_due()
    check.equal(#self.ended, 0)
  end
end

function pair:finish()
  if math.random(2) == 1 then
    for _, entry in ipairs(self.set:join_all()) do
      self:settle_due()
      check.equal(outcome(entry[1], entry[2]), table.remove(self.ended, 1).outcome)
    end
    check.equal(#self.running + #self.ended, 0)
  end
  local left = {}
  for _, member in ipairs(self.running) do left[#left + 1] = member.task end
  for _, member in ipairs(self.ended) do member.task:join() end
  self.set:close()
  for _, task in ipairs(left) do check.kind(select(2, task:join()), "cancelled") end
  check.equal(#self.set, 0)
end

local steps = { "spawn", "spawn", "spawn", "spawn", "cancel", "cancel_all", "detach", "pass_time", "pass_time",
  "try_join_next", "try_join_next", "join_next", "join_next", "join_next" }

case:ordered("SCO-21, SCO-22, SCO-23: random operations agree with a model", function()
  for seed = 1, 200 do
    math.randomseed(seed)
    local both = new_pair()
    for _ = 1, 60 do
      both[steps[math.random(#steps)]](both)
      check.equal(#both.set, #both.running + #both.ended)
    end
    both:finish()
  end
end)
