-- Hand-over through broadcast, watch, mutex and semaphore, for Lua tasks. usage: perilune run handover.lua WORKLOAD N
-- Prints one line: ns=<nanoseconds of the timed part> ops=<operations>
local peri = require "perilune"

local name, count = arg[1], math.tointeger(tonumber(arg[2] or "")) or 0
local receivers = 4

local workloads = {}

function workloads.broadcast() -- a value to four receivers, each of which acknowledges it; an operation is one delivery
  local values, acks = peri.broadcast(64), peri.channel(receivers)
  for _ = 1, receivers do
    local from = values:subscribe()
    peri.spawn({ daemon = true }, function()
      while true do acks:send(from:recv()) end
    end)
  end
  for i = 1, count do
    values:send(i)
    for _ = 1, receivers do acks:recv() end
  end
  return count * receivers
end

function workloads.watch() -- round trips over two watches
  local there, back = peri.watch(0), peri.watch(0)
  local at_there, at_back = there:subscribe(), back:subscribe()
  peri.spawn({ daemon = true }, function()
    while at_there:changed() do back:set(at_there:get()) end
  end)
  for i = 1, count do
    there:set(i)
    at_back:changed()
    assert(at_back:get() == i)
  end
  return count
end

function workloads.mutex() -- two tasks take turns with one mutex, each keeps it over a yield
  local m = peri.mutex()
  local function take()
    for _ = 1, count // 2 do
      local g <close> = m:lock()
      peri.yield()
    end
  end
  local first, second = peri.spawn(take), peri.spawn(take)
  first:join()
  second:join()
  return count // 2 * 2
end

function workloads.semaphore() -- four tasks share two permits, each kept over a yield
  local sem, tasks = peri.semaphore(2), {}
  for i = 1, 4 do
    tasks[i] = peri.spawn(function()
      for _ = 1, count // 4 do
        local p <close> = sem:acquire()
        peri.yield()
      end
    end)
  end
  for i = 1, 4 do tasks[i]:join() end
  return count // 4 * 4
end

if not workloads[name] or count < 1 then
  io.stderr:write("usage: perilune run handover.lua WORKLOAD N\n")
  os.exit(3)
end
local begun = peri.now()
local operations = workloads[name]()
print(("ns=%.0f ops=%d"):format((peri.now() - begun) * 1e9, operations))
