-- Random askers and cancels on what is held, against a plain model: a queue of who wants how much, served from its front. A
-- mutex is a semaphore of one; the writers of an rwlock want all there is, its readers one each.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local model = {}
model.__index = model

function model:serve()
  while self.queue[1] and self.queue[1].wanted <= self.free do
    local first = table.remove(self.queue, 1)
    self.free = self.free - first.wanted
    self.held[first.id] = first.wanted
  end
end

function model:ask(id, wanted)
  self.queue[#self.queue + 1] = { id = id, wanted = wanted }
  self:serve()
end

function model:leave(id)
  if self.held[id] then
    self.free = self.free + self.held[id]
    self.held[id] = nil
  end
  for i, each in ipairs(self.queue) do
    if each.id == id then
      table.remove(self.queue, i)
      break
    end
  end
  self:serve()
end

local kinds = {}

function kinds.mutex()
  local m = peri.mutex()
  return { total = 1, pick = function() return 1 end, take = function() return m:lock() end, op = function() return m:lock_op() end }
end

function kinds.keyed_mutex()
  local km = peri.keyed_mutex()
  return { total = 1, pick = function() return 1 end, take = function() return km:lock("k") end,
    op = function() return km:lock_op("k") end }
end

function kinds.semaphore()
  local sem = peri.semaphore(4)
  return { total = 4, pick = function() return math.random(4) end, take = function(n) return sem:acquire(n) end,
    op = function(n) return sem:acquire_op(n) end, free = function() return sem.available end }
end

function kinds.rwlock()
  local l, all = peri.rwlock(), 1000
  return { total = all, pick = function() return math.random(3) == 1 and all or 1 end,
    take = function(n) if n == all then return l:write() else return l:read() end end,
    op = function(n) if n == all then return l:write_op() else return l:read_op() end end }
end

local function holder(thing, wanted, holding, id)
  return peri.spawn(function()
    local _, g
    if math.random(3) == 1 then
      _, g = peri.select { thing.op(wanted), never = peri.sleep_op(math.huge) }
    else
      g = thing.take(wanted)
    end
    local guard <close> = g
    holding[id] = wanted
    local _ <close> = check.closer(function() holding[id] = nil end)
    peri.sleep(math.huge)
  end)
end

-- Cancels a random task. One that holds gives up when it runs next; one that was only granted gives back at once.
local function cancel_one(tasks, holding, expected)
  local id = tasks.ids[math.random(#tasks.ids)]
  tasks[id]:cancel()
  if holding[id] then peri.yield() end
  expected:leave(id)
  for i, each in ipairs(tasks.ids) do
    if each == id then
      table.remove(tasks.ids, i)
      break
    end
  end
end

for name, new in check.by_name(kinds) do
  case("LCK-02, SEM-04, CAN-33: random askers and cancels agree with a model of a " .. name, function()
    for seed = 1, 25 do
      math.randomseed(seed)
      local thing, holding, tasks = new(), {}, { ids = {} }
      local expected = setmetatable({ free = thing.total, queue = {}, held = {} }, model)
      for id = 1, 60 do
        local wanted = thing.pick()
        tasks[id] = holder(thing, wanted, holding, id)
        tasks.ids[#tasks.ids + 1] = id
        peri.yield()
        expected:ask(id, wanted)
        for _ = 1, math.random(0, 2) do
          if #tasks.ids > 0 then cancel_one(tasks, holding, expected) end
        end
        peri.yield()
        peri.yield()
        check.same(holding, expected.held)
        if thing.free then check.equal(thing.free(), expected.free) end
      end
      for id = 1, 60 do tasks[id]:cancel() end
      for id = 1, 60 do tasks[id]:join() end
      thing.take(thing.total):release()
    end
  end)
end
