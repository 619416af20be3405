-- What was granted to a task that is cancelled goes back or counts. Rows CAN of the semantics.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same = check.equal, check.same

case("CAN-32: a value handed to a receiver that is cancelled goes back to the head", function()
  local channel = peri.channel(4)
  local task = peri.spawn(function() return channel:recv() end)
  peri.yield()
  channel:send(1)
  channel:send(2)
  task:cancel()
  equal((task:join()), false)
  equal(#channel, 2)
  equal(channel:recv(), 1)
  equal(channel:recv(), 2)
end)

case("CAN-32: or to the next receiver in line", function()
  local channel = peri.channel(0)
  local first = peri.spawn(function() return channel:recv() end)
  local second = peri.spawn(function() return channel:recv() end)
  peri.yield()
  channel:send("v")
  first:cancel()
  equal((first:join()), false)
  same({ second:join() }, { true, "v" })
end)

case("CAN-32: several given back keep their order", function()
  for capacity = 0, 3 do
    local channel = peri.channel(capacity)
    local tasks = {}
    for i = 1, 3 do tasks[i] = peri.spawn(function() return channel:recv() end) end
    peri.yield()
    for i = 1, 3 do equal(channel:try_send(i), true) end
    for i = 1, 3 do tasks[i]:cancel() end
    for i = 1, 3 do equal((tasks[i]:join()), false) end
    equal(#channel, 3)
    for i = 1, 3 do equal(channel:recv(), i) end
    equal(#channel, 0)
  end
end)

case("CAN-32: from inside a coroutine and from a select", function()
  local channel = peri.channel(1)
  local inside = peri.spawn(function() return coroutine.wrap(function() return channel:recv() end)() end)
  local selecting = peri.spawn(function() return peri.select { channel:recv_op(), peri.sleep_op(100) } end)
  peri.yield()
  channel:send("a")
  channel:send("b")
  inside:cancel()
  selecting:cancel()
  inside:join()
  selecting:join()
  equal(channel:recv(), "a")
  equal(channel:recv(), "b")
  equal(channel:stats().waiting_receivers, 0)
end)

case("CAN-33: a value that was sent is sent; cancellation at the next suspension", function()
  local channel = peri.channel(0)
  local note, taken = check.trace()
  local task = peri.spawn(function()
    note(tostring(channel:send("v")))
    note(peri.cancel_requested())
    peri.yield()
    note "never"
  end)
  peri.yield()
  equal(channel:recv(), "v")
  task:cancel()
  equal((task:join()), false)
  equal(taken(), "true true")
end)

case("CAN-33: a join that was granted returns", function()
  local target = peri.spawn(function() return "done" end)
  local got
  local task = peri.spawn(function() got = select(2, target:join()) peri.yield() end)
  local canceller = peri.spawn(function() target:join() task:cancel() end)
  equal((task:join()), false)
  equal(got, "done")
  canceller:join()
end)
