-- Random operations on a channel against a plain model of one: after every step both say the same.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local model = {}
model.__index = model

local function new_model(capacity)
  local fields = { capacity = capacity, buffer = {}, senders = {}, receivers = {}, outcomes = {}, sends = 0, peak = 0, closed = false }
  return setmetatable(fields, model)
end

function model:note_length() self.peak = math.max(self.peak, #self.buffer) end

-- The outcome of a send by `who`: true, "closed", or nil when it waits.
function model:send(who, v)
  if self.closed then return "closed" end
  if #self.receivers > 0 then
    self.sends = self.sends + 1
    self.outcomes[table.remove(self.receivers, 1)] = v
  elseif #self.buffer < self.capacity then
    self.sends = self.sends + 1
    self.buffer[#self.buffer + 1] = v
    self:note_length()
  else
    if who then self.senders[#self.senders + 1] = { who = who, value = v } end
    return nil
  end
  return true
end

function model:move_up()
  if #self.senders == 0 or #self.buffer >= self.capacity then return end
  local sender = table.remove(self.senders, 1)
  self.sends = self.sends + 1
  self.buffer[#self.buffer + 1] = sender.value
  self.outcomes[sender.who] = true
end

-- The value, "closed", or nil when `who` waits.
function model:recv(who)
  if #self.buffer > 0 then
    local v = table.remove(self.buffer, 1)
    self:move_up()
    return v
  end
  if #self.senders > 0 then
    local sender = table.remove(self.senders, 1)
    self.sends = self.sends + 1
    self.outcomes[sender.who] = true
    return sender.value
  end
  if self.closed then return "closed" end
  if who then self.receivers[#self.receivers + 1] = who end
  return nil
end

function model:give_back(v)
  if #self.receivers > 0 then
    self.outcomes[table.remove(self.receivers, 1)] = v
  else
    table.insert(self.buffer, 1, v)
    self:note_length()
  end
end

function model:cancel(who)
  for i, sender in ipairs(self.senders) do
    if sender.who == who then table.remove(self.senders, i) end
  end
  for i, receiver in ipairs(self.receivers) do
    if receiver == who then table.remove(self.receivers, i) end
  end
  self.outcomes[who] = "cancelled"
end

function model:close()
  self.closed = true
  for _, sender in ipairs(self.senders) do self.outcomes[sender.who] = "closed" end
  for _, receiver in ipairs(self.receivers) do self.outcomes[receiver] = "closed" end
  self.senders, self.receivers = {}, {}
end

function model:stats()
  return { len = #self.buffer, capacity = self.capacity, sends = self.sends, recvs = self.sends - #self.buffer,
    waiting_senders = #self.senders, waiting_receivers = #self.receivers, closed = self.closed }
end

-- Both at once: every step is done to the channel and to the model.
local pair = {}
pair.__index = pair

local function new_pair(capacity)
  return setmetatable({ ch = peri.channel(capacity), model = new_model(capacity), tasks = {}, seen = {}, value = 0, ids = 0 }, pair)
end

function pair:next_value()
  self.value = self.value + 1
  return self.value
end

function pair:start(verb, v, answer)
  local id = self.ids + 1
  self.ids = id
  self.tasks[id] = peri.spawn(function()
    local got, why = self.ch[verb](self.ch, v)
    self.seen[id] = got or why
  end)
  peri.yield()
  self.model.outcomes[id] = answer(id)
end

function pair:wait_send()
  local v = self:next_value()
  self:start("send", v, function(id) return self.model:send(id, v) end)
end

function pair:wait_recv()
  self:start("recv", nil, function(id) return self.model:recv(id) end)
end

function pair:try_send()
  local v = self:next_value()
  local ok, why = self.ch:try_send(v)
  check.equal(ok or why, self.model:send(nil, v) or "full")
end

function pair:try_recv()
  local v, why = self.ch:try_recv()
  check.equal(v or why, self.model:recv(nil) or "empty")
end

function pair:recv_many()
  if #self.model.buffer + #self.model.senders == 0 then return end
  local limit, expected = math.random(1, 6), {}
  while #expected < limit and #self.model.buffer + #self.model.senders > 0 do expected[#expected + 1] = self.model:recv(nil) end
  check.same(self.ch:recv_many(limit), expected)
end

function pair:waiting()
  local list = {}
  for _, sender in ipairs(self.model.senders) do list[#list + 1] = sender.who end
  for _, receiver in ipairs(self.model.receivers) do list[#list + 1] = receiver end
  return list
end

function pair:cancel_waiting()
  local list = self:waiting()
  if #list == 0 then return end
  local id = list[math.random(#list)]
  self.tasks[id]:cancel()
  self.model:cancel(id)
  self.seen[id] = "cancelled"
end

-- Serves some of the waiting receivers and cancels some of these before they could resume, in any order.
function pair:cancel_served()
  local served, order = {}, {}
  for _, id in ipairs(self.model.receivers) do served[#served + 1] = { id = id } end
  for i = 1, math.min(#served, math.random(1, 3)) do
    served[i].value = self:next_value()
    check.equal(self.ch:try_send(served[i].value), true)
    self.model:send(nil, served[i].value)
    table.insert(order, math.random(#order + 1), served[i])
  end
  local back = {}
  for _, one in ipairs(order) do
    if self.model.outcomes[one.id] and math.random(2) == 1 then
      self.tasks[one.id]:cancel()
      back[#back + 1] = self.model.outcomes[one.id]
      self.model.outcomes[one.id], self.seen[one.id] = "cancelled", "cancelled"
      if #self.model.receivers > 0 then
        self.model:give_back(table.remove(back))
      end
    end
  end
  table.sort(back, function(a, b) return a > b end)
  for _, v in ipairs(back) do self.model:give_back(v) end
end

function pair:compare()
  peri.yield()
  local stats = self.ch:stats()
  check.truthy(stats.peak <= self.model.peak, "a peak that was reached")
  stats.peak = nil
  check.same(stats, self.model:stats())
  check.equal(#self.ch, stats.len)
  check.same(self.seen, self.model.outcomes)
end

local steps = { "wait_send", "wait_send", "wait_recv", "wait_recv", "wait_recv", "try_send", "try_send", "try_recv", "try_recv",
  "recv_many", "cancel_waiting", "cancel_served", "cancel_served" }

local function finish(both)
  both.ch:close()
  both.model:close()
  both:compare()
  both:wait_send()
  while #both.model.buffer > 0 do both:try_recv() end
  both:try_recv()
  both:wait_recv()
  both:compare()
end

for _, capacity in ipairs { 0, 1, 3, 192, 500 } do
  case("CHN-24: random operations agree with a model of capacity " .. capacity, function()
    for seed = 1, 30 do
      math.randomseed(seed, capacity)
      local both = new_pair(capacity)
      for _ = 1, math.random(0, 2) * capacity // 2 do both:try_send() end
      for _ = 1, 80 do
        both[steps[math.random(#steps)]](both)
        both:compare()
      end
      finish(both)
    end
  end)
end
