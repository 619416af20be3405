-- Random waiters, signals and cancels on notify, barrier, wait_group and once, each against a model of a few lines. Several
-- actions come between two turns, so that tasks are cancelled before they start, while they wait, and between grant and resume.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function remove(list, id)
  for i, each in ipairs(list) do
    if each == id then return table.remove(list, i) end
  end
end

-- Tasks that wait once each, and what they got: {id = result}.
local function crew(wait, wait_op)
  local self = { got = {}, tasks = {}, count = 0 }
  function self.start()
    self.count = self.count + 1
    local id = self.count
    self.tasks[id] = peri.spawn(function()
      local result
      if wait_op and math.random(3) == 1 then
        _, result = peri.select({ wait_op(), peri.sleep_op(math.huge) })
      else
        result = wait()
      end
      self.got[id] = result
    end)
    return id
  end
  function self.stop()
    for _, task in ipairs(self.tasks) do task:cancel() end
    for _, task in ipairs(self.tasks) do task:join() end
  end
  return self
end

-- What all models have: who has been spawned and not started, who waits, who was granted and has not resumed, what each got.
local function model(rules)
  return setmetatable({ fresh = {}, queue = {}, granted = {}, got = {} }, { __index = rules })
end

local function let_run(m)
  for _, id in ipairs(m.granted) do m.got[id] = m.result end
  m.granted = {}
  local fresh = m.fresh
  m.fresh = {}
  for _, id in ipairs(fresh) do m:begin(id) end
  for _, id in ipairs(m.granted) do m.got[id] = m.got[id] or m.result end
  m.granted = {}
end

local function any_of(...)
  local all = {}
  for _, list in ipairs { ... } do table.move(list, 1, #list, #all + 1, all) end
  return all[math.random(math.max(#all, 1))]
end

-- Runs `steps` batches of actions for each of many seeds. `new()` gives the crew, its model, and the actions by name.
local function compare(new)
  for seed = 1, 40 do
    math.randomseed(seed)
    local members, m, actions = new()
    local names = {}
    for name in pairs(actions) do names[#names + 1] = name end
    table.sort(names)
    for _ = 1, 60 do
      for _ = 1, math.random(4) do
        local kind = math.random(3)
        if kind == 1 then
          m.fresh[#m.fresh + 1] = members.start()
        elseif kind == 2 then
          local id = any_of(m.fresh, m.queue, m.granted)
          if id then
            members.tasks[id]:cancel()
            if not remove(m.fresh, id) and not remove(m.queue, id) then m:cancel_granted(id) end
          end
        else
          actions[names[math.random(#names)]]()
        end
      end
      peri.sleep(1) -- until everybody waits
      let_run(m)
      check.same(members.got, m.got)
    end
    members.stop()
    check.same(members.got, m.got)
  end
end

local function grant_all(m)
  table.move(m.queue, 1, #m.queue, #m.granted + 1, m.granted)
  m.queue = {}
end

case:ordered("NTF-01, NTF-02, NTF-04: random waiters, signals and cancels agree with a model of notify", function()
  compare(function()
    local n, m = peri.notify(), model {}
    m.result, m.stored, m.to_one = true, false, {}
    function m:one()
      local first = table.remove(self.queue, 1)
      if not first then self.stored = true return end
      self.granted[#self.granted + 1], self.to_one[first] = first, true
    end
    function m:begin(id)
      if self.stored then
        self.stored, self.got[id] = false, true
      else
        self.queue[#self.queue + 1] = id
      end
    end
    function m:cancel_granted(id)
      remove(self.granted, id)
      if self.to_one[id] then self:one() end
    end
    local members = crew(function() n:wait() return true end, function() return n:wait_op():wrap(function() return true end) end)
    return members, m, {
      one = function() n:notify_one() m:one() end,
      all = function() n:notify_all() grant_all(m) end,
    }
  end)
end)

case:ordered("BAR-01: random waiters and cancels agree with a model of a barrier", function()
  compare(function()
    local parties = math.random(4)
    local b, m = peri.barrier(parties), model {}
    m.result = "follows"
    function m:begin(id)
      if #self.queue + 1 < parties then
        self.queue[#self.queue + 1] = id
      else
        self.got[id] = "leads"
        grant_all(self)
      end
    end
    local function told(leads) return leads and "leads" or "follows" end
    return crew(function() return told(b:wait()) end, function() return b:wait_op():wrap(told) end), m, { nothing = function() end }
  end)
end)

case("wait_group: random waiters, work and cancels agree with a model", function()
  compare(function()
    local wg, m = peri.wait_group(), model {}
    m.result, m.count = true, 0
    function m:begin(id)
      if self.count == 0 then self.got[id] = true else self.queue[#self.queue + 1] = id end
    end
    function m:cancel_granted(id) remove(self.granted, id) end
    local members = crew(function() wg:wait() return true end, function() return wg:wait_op():wrap(function() return true end) end)
    return members, m, {
      add = function()
        wg:add(2)
        m.count = m.count + 2
      end,
      done = function()
        if m.count == 0 then return end
        wg:done()
        m.count = m.count - 1
        if m.count == 0 then grant_all(m) end
      end,
    }
  end)
end)

-- The one whose turn it is makes the value, until it is told to succeed or to fail, or is cancelled.
case("ONC-01, ONC-02: random askers, failures and cancels agree with a model of once", function()
  for seed = 1, 40 do
    math.randomseed(seed)
    local told, calls, expected_calls = peri.channel(0), 0, 0
    local once = peri.once(function()
      calls = calls + 1
      local word = told:recv()
      return word == "fails" and error("failed", 0) or word
    end)
    local members = crew(function()
      local ok, value = pcall(once.get, once)
      return ok and value or "failed"
    end)
    local queue, got, made = {}, {}, nil
    local function next_turn() if queue[1] then expected_calls = expected_calls + 1 end end
    for step = 1, 60 do
      local kind = math.random(4)
      if kind <= 2 then
        local id = members.start()
        if made then got[id] = made else queue[#queue + 1] = id end
        if #queue == 1 and not made then next_turn() end
      elseif kind == 3 and queue[1] then
        local i = math.random(#queue)
        members.tasks[table.remove(queue, i)]:cancel()
        if i == 1 then next_turn() end
      elseif queue[1] then
        local fails = math.random(4) > 1
        told:send(fails and "fails" or "value " .. step)
        if fails then
          got[table.remove(queue, 1)] = "failed"
          next_turn()
        else
          made = "value " .. step
          for _, id in ipairs(queue) do got[id] = made end
          queue = {}
        end
      end
      peri.sleep(1) -- until everybody waits
      check.same(members.got, got)
      check.equal(calls, expected_calls)
    end
    members.stop()
  end
end)
