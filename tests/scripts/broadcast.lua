-- peri.broadcast: every value to every subscriber, lag told exactly.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function waits(task)
  peri.yield()
  check.equal(task:status(), "waiting")
end

local function send_all(b, first, last)
  for v = first, last do b:send(v) end
end

case("BRO-01: three subscribers get each value sent after they subscribed", function()
  local b = peri.broadcast(8)
  local receivers = {}
  for i = 1, 3 do
    receivers[i] = b:subscribe()
    check.equal(b:send(i), i)
  end
  b:close()
  for i, r in ipairs(receivers) do
    for v = i, 3 do check.equal(r:recv(), v) end
    check.same({ r:recv() }, { nil, "closed" })
  end
end)

case("BRO-02: capacity 2, 5 sent: lagged by 3, then the last two", function()
  local b = peri.broadcast(2)
  local r, quick = b:subscribe(), b:subscribe()
  for v = 1, 5 do
    b:send(v)
    check.equal(quick:recv(), v)
  end
  check.same({ r:recv() }, { nil, "lagged", 3 })
  check.equal(r:recv(), 4)
  check.equal(r:recv(), 5)
  check.same({ r:try_recv() }, { nil, "empty" })
  check.same(r:stats(), { len = 0, recvs = 2, lagged = 3, waiting_receivers = 0, closed = false })
end)

case("BRO-02: a lag counts what was lost until it is told", function()
  local b = peri.broadcast(2)
  local r = b:subscribe()
  send_all(b, 1, 3)
  check.same({ r:recv() }, { nil, "lagged", 1 })
  send_all(b, 4, 7)
  check.same({ r:recv() }, { nil, "lagged", 4 })
  check.equal(r:recv(), 6)
end)

for _, capacity in ipairs { 1, 3, 5, 192, 193, 500 } do
  case("BRO-04: a capacity of " .. capacity .. " is exact", function()
    local b = peri.broadcast(capacity)
    local full, over = b:subscribe(), nil
    send_all(b, 1, capacity)
    check.equal(b:stats().len, capacity)
    for v = 1, capacity do check.equal(full:recv(), v) end
    over = b:subscribe()
    send_all(b, 1, capacity + 1)
    check.same({ over:recv() }, { nil, "lagged", 1 })
    for v = 2, capacity + 1 do check.equal(over:recv(), v) end
  end)
end

case("BRO-05: without subscribers send returns 0", function()
  local b = peri.broadcast(1)
  for _ = 1, 3 do check.equal(b:send("nobody"), 0) end
  local r = b:subscribe()
  check.same({ r:try_recv() }, { nil, "empty" })
  check.same(b:stats(), { len = 0, capacity = 1, sends = 3, subscribers = 1, waiting_receivers = 0, closed = false })
end)

case("BRO-06: closed with two unread: two values, then the end", function()
  local b = peri.broadcast(4)
  local r, idle = b:subscribe(), b:subscribe()
  send_all(b, 1, 2)
  idle:recv() idle:recv()
  local waiting = peri.spawn(idle.recv, idle)
  waits(waiting)
  b:close()
  b:close()
  check.same({ waiting:await() }, { nil, "closed" })
  check.equal(r:recv(), 1)
  check.equal(r:recv(), 2)
  for _ = 1, 2 do check.same({ r:recv() }, { nil, "closed" }) end
  check.same({ b:send(3) }, { nil, "closed" })
end)

case("BRO-08: a subscriber of a closed broadcast never hangs", function()
  local b = peri.broadcast(4)
  b:close()
  local r = b:subscribe()
  check.same({ r:recv() }, { nil, "closed" })
  check.same({ peri.select { r:recv_op() } }, { 1, nil, "closed" })
end)

case("BRO-09: what a closed receiver has not read is released", function()
  local b = peri.broadcast(4)
  local slow, quick = b:subscribe(), b:subscribe()
  local weak = setmetatable({ {}, {} }, { __mode = "v" })
  b:send(weak[1])
  b:send(weak[2])
  quick:recv() quick:recv()
  collectgarbage()
  check.truthy(weak[1] and weak[2])
  check.equal(b:stats().len, 2)
  slow:close()
  slow:close()
  collectgarbage()
  check.equal(weak[1] or weak[2], nil)
  check.equal(b:stats().len, 0)
  check.equal(b:send(1), 1)
  check.same({ slow:recv() }, { nil, "closed" })
end)

case("BRO-09: so is what a collected receiver has not read", function()
  local b = peri.broadcast(300)
  local quick = b:subscribe()
  do
    local gone = b:subscribe()
    send_all(b, 1, 250)
  end
  for v = 1, 250 do check.equal(quick:recv(), v) end
  collectgarbage()
  check.equal(b:stats().len, 0)
  check.equal(b:stats().subscribers, 1)
end)

case("BRO-09: closing a receiver ends the waits at it", function()
  local b = peri.broadcast(1)
  local r = b:subscribe()
  local waiting = peri.spawn(r.recv, r)
  waits(waiting)
  r:close()
  check.same({ waiting:await() }, { nil, "closed" })
end)

case("BRO-11: recv that loses a select takes nothing", function()
  local b, ch = peri.broadcast(2), peri.channel(1)
  local r = b:subscribe()
  check.equal(peri.select { value = r:recv_op(), late = peri.sleep_op(1) }, "late")
  b:send("kept")
  ch:send("first")
  check.same({ peri.select({ ch:recv_op(), r:recv_op() }, { biased = true }) }, { 1, "first" })
  check.same({ peri.select { value = r:recv_op() } }, { "value", "kept" })
end)

case("BRO-11: two arms on subscriptions of the same broadcast take one value", function()
  local b = peri.broadcast(2)
  local r1, r2 = b:subscribe(), b:subscribe()
  local got = peri.spawn(peri.select, { one = r1:recv_op(), two = r2:recv_op(), again = r1:recv_op() })
  waits(got)
  b:send("v")
  local key, v = got:await()
  check.equal(v, "v")
  check.equal((key == "two" and r1 or r2):recv(), "v")
  check.same({ r1:try_recv() }, { nil, "empty" })
  check.same({ r2:try_recv() }, { nil, "empty" })
end)

case("CAN-32: a receiver cancelled before it resumes has taken nothing", function()
  local b = peri.broadcast(4)
  local r = b:subscribe()
  local first, second = peri.spawn(r.recv, r), peri.spawn(r.recv, r)
  waits(second)
  b:send("a")
  first:cancel()
  check.equal((first:join()), false)
  check.equal(second:await(), "a")
  local third = peri.spawn(r.recv, r)
  waits(third)
  b:send("b")
  b:send("c")
  third:cancel()
  check.equal((third:join()), false)
  check.equal(r:recv(), "b")
  check.equal(r:recv(), "c")
end)

case:ordered("tasks that share a receiver get different values, in order", function()
  local b = peri.broadcast(1)
  local r, note, taken = b:subscribe(), check.trace()
  for i = 1, 3 do peri.spawn(function() note(i .. ":" .. tostring(select(-1, r:recv()))) end) end
  peri.yield()
  send_all(b, 1, 3)
  check.same({ r:try_recv() }, { nil, "empty" }) -- what is there is promised
  peri.yield()
  check.equal(taken(), "1:2 2:3")
  b:send(4)
  peri.yield()
  check.equal(taken(), "3:4")
end)

case("misuse names the argument", function()
  local b = peri.broadcast(1)
  check.misuse("bad argument #1 to 'broadcast' (capacity must be a positive integer, got 0)", function() peri.broadcast(0) end)
  check.misuse("capacity must be a positive integer, got 1.5", function() peri.broadcast(1.5) end)
  check.misuse("capacity must be a positive integer, got no value", function() peri.broadcast() end)
  check.misuse("nil is not a message", function() b:send(nil) end)
  check.misuse("a receiver of a broadcast expected", function() b:subscribe().recv(b) end)
end)

case("OBS-01: waits are shown with verb and resource", function()
  local b = peri.broadcast(1)
  local r = b:subscribe()
  local waiting = peri.spawn(r.recv, r)
  peri.yield()
  check.contains(peri.dump(), "in recv on a broadcast")
  check.equal(b:stats().waiting_receivers, 1)
  waiting:cancel()
end)

-- The model of a receiver is the list of all it was sent; what is older than the capacity is its lag.
local function run_model(seed, capacity)
  math.randomseed(seed, capacity)
  local b, sent, closed = peri.broadcast(capacity), 0, false
  local receivers, tasks, seen, outcomes = {}, {}, {}, {}

  local function subscribe() receivers[#receivers + 1] = { r = b:subscribe(), values = {}, lost = 0, waiting = {}, recvs = 0 } end
  local function take(one)
    if one.left then return "closed" end
    if one.lost > 0 then
      local lost = one.lost
      one.lost = 0
      return "lagged " .. lost
    end
    if #one.values > 0 then
      one.recvs = one.recvs + 1
      return table.remove(one.values, 1)
    end
    return closed and "closed" or nil
  end
  local function text(v, why, lost) return lost and why .. " " .. lost or v or why end
  -- Everybody runs: those who wait take their turns.
  local function settle()
    for _, one in ipairs(receivers) do
      while #one.waiting > 0 do
        local got = take(one)
        if got == nil then break end
        outcomes[table.remove(one.waiting, 1)] = got
      end
    end
    peri.yield()
    check.same(seen, outcomes)
  end
  local function any() return receivers[math.random(#receivers)] end
  local function wait_somewhere()
    settle()
    local one, id = any(), #tasks + 1
    tasks[id] = peri.spawn(function()
      if math.random(2) == 1 then
        seen[id] = text(one.r:recv())
      else
        seen[id] = text(select(2, peri.select { one.r:recv_op(), peri.sleep_op(1e9) }))
      end
    end)
    table.insert(one.waiting, id)
    settle()
  end
  local function send()
    local count = 0
    for _, one in ipairs(receivers) do
      if not one.left then count = count + 1 end
    end
    local told = b:send(sent + 1)
    if closed then return check.equal(told, nil) end
    check.equal(told, count)
    sent = sent + 1
    for _, one in ipairs(receivers) do
      if not one.left then
        table.insert(one.values, sent)
        if #one.values > capacity then
          table.remove(one.values, 1)
          one.lost = one.lost + 1
        end
      end
    end
  end
  local function cancel()
    local one = any()
    if #one.waiting == 0 then return end
    local id = table.remove(one.waiting, math.random(#one.waiting)) -- also one that was granted
    tasks[id]:cancel()
    seen[id], outcomes[id] = "cancelled", "cancelled"
  end
  local function try()
    settle()
    local one = any()
    check.equal(text(one.r:try_recv()), take(one) or "empty")
  end
  local function leave()
    if math.random(5) > 1 then return end
    settle()
    local one = any()
    one.r:close()
    one.left, one.values, one.lost = true, {}, 0
  end
  local steps = { wait_somewhere, wait_somewhere, send, send, send, cancel, cancel, try, try, leave }
  for _ = 1, 3 do subscribe() end
  for _ = 1, 40 do
    for _ = 1, math.random(4) do steps[math.random(#steps)]() end
    if math.random(8) == 1 then subscribe() end
    if math.random(80) == 1 then b:close(); closed = true end
    settle()
    local longest = 0
    for _, one in ipairs(receivers) do
      longest = math.max(longest, #one.values)
      local stats = one.r:stats()
      check.same({ stats.len, stats.recvs, stats.waiting_receivers }, { #one.values, one.recvs, #one.waiting })
    end
    check.equal(b:stats().len, longest)
  end
  b:close()
  closed = true
  settle()
end

for _, capacity in ipairs { 1, 2, 3, 7, 193 } do
  case:ordered("BRO-11: random operations and cancels agree with a model of capacity " .. capacity, function()
    for seed = 1, 80 do run_model(seed, capacity) end
  end)
end
