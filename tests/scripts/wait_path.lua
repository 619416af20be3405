-- Waiting allocates nothing: once tasks run, a value that goes from one to another costs not one byte of Lua memory.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local warm_up, rounds = 300, 1000 -- more than a budget of operations, so that forced yields are part of what is measured

-- The bytes that `rounds` calls of `step` allocate; what others do while it waits counts as well.
local function allocated_by(step)
  for _ = 1, warm_up do step() end
  collectgarbage("stop")
  local before = collectgarbage("count")
  for _ = 1, rounds do step() end
  local after = collectgarbage("count")
  collectgarbage("restart")
  return (after - before) * 1024
end

-- Spawns a task that repeats `step` as often as allocated_by does.
local function partner(step)
  return peri.spawn(function()
    for _ = 1, warm_up + rounds do step() end
  end)
end

case("hand-over through a channel, whatever its capacity, in both directions", function()
  for _, capacity in ipairs { 0, 1, 64, 500 } do
    local ch = peri.channel(capacity)
    local other = partner(function() ch:send(true) end)
    check.equal(allocated_by(function() ch:recv() end), 0)
    other:join()
    other = partner(function() ch:recv() end)
    check.equal(allocated_by(function() ch:send(true) end), 0)
    other:join()
  end
end)

case("a round trip over two channels", function()
  local there, back = peri.channel(1), peri.channel(1)
  local other = partner(function() back:send(there:recv()) end)
  check.equal(allocated_by(function() there:send(1); back:recv() end), 0)
  other:join()
end)

case("a select over operations that are used again, ready or not", function()
  local a, b, c = peri.channel(0), peri.channel(1), peri.channel(1)
  local arms = { a:recv_op(), b:recv_op(), c:recv_op(), peri.sleep_op(1000) }
  local other = partner(function() a:send(1) end)
  check.equal(allocated_by(function() peri.select(arms) end), 0)
  other:join()
  check.equal(allocated_by(function() b:send(1); peri.select(arms) end), 0)
end)

case("recv_op of a channel is made once", function()
  local ch = peri.channel(1)
  check.equal(allocated_by(function() return ch:recv_op() end), 0)
end)

case("sleep and yield", function()
  check.equal(allocated_by(function() peri.sleep(0.001) end), 0)
  local other = partner(peri.yield)
  check.equal(allocated_by(peri.yield), 0)
  other:join()
end)

case("joining a task that has ended", function()
  local ended = peri.spawn(function() return 1 end)
  check.equal(allocated_by(function() ended:join() end), 0)
end)

case("the count sees what is allocated", function()
  check.truthy(allocated_by(function() return {} end) >= rounds * 40)
end)
