-- Channels whose senders and receivers are cancelled: nothing is lost, doubled or reordered.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local capacities = { 0, 1, 3, 500 }

local function channels()
  local list = {}
  for i, capacity in ipairs(capacities) do list[i] = peri.channel(capacity) end
  list[#list + 1] = peri.unbounded()
  return list
end

local function spawn_receivers(ch, count)
  local tasks = {}
  for i = 1, count do tasks[i] = peri.spawn(ch.recv, ch) end
  peri.yield()
  check.equal(ch:stats().waiting_receivers, count)
  return tasks
end

local function drain(ch)
  local got = {}
  while true do
    local v = ch:try_recv()
    if v == nil then return got end
    got[#got + 1] = v
  end
end

local function check_cancelled(task)
  local ok, e = task:join()
  check.equal(ok, false)
  check.kind(e, "cancelled")
end

case("CAN-32: a value handed to a receiver that is cancelled goes back to the head", function()
  for _, ch in ipairs(channels()) do
    local receiver = spawn_receivers(ch, 1)[1]
    check.equal(ch:send("a"), true)
    receiver:cancel()
    check.equal(#ch, 1)
    if ch.capacity > 1 then ch:send("b") end
    check_cancelled(receiver)
    check.equal(ch:recv(), "a")
    if ch.capacity > 1 then check.equal(ch:recv(), "b") end
    check.equal(#ch, 0)
    check.equal(ch:stats().sends, ch:stats().recvs)
  end
end)

case("CAN-32: the value goes to the next receiver in line", function()
  for _, ch in ipairs(channels()) do
    local tasks = spawn_receivers(ch, 3)
    ch:send("a")
    tasks[1]:cancel()
    check.equal(#ch, 0)
    tasks[2]:cancel()
    check.equal(tasks[3]:await(), "a")
    check_cancelled(tasks[1])
    check_cancelled(tasks[2])
    check.same(drain(ch), {})
  end
end)

case("CAN-32: values given back in any order return in the order in which they were sent", function()
  local orders = { { 1, 2, 3, 4 }, { 4, 3, 2, 1 }, { 3, 1, 4, 2 }, { 2, 4, 1, 3 } }
  for _, order in ipairs(orders) do
    for _, ch in ipairs(channels()) do
      local tasks = spawn_receivers(ch, 4)
      for v = 1, 4 do ch:send(v) end
      for _, i in ipairs(order) do tasks[i]:cancel() end
      check.equal(#ch, 4)
      check.same(drain(ch), { 1, 2, 3, 4 })
      for i = 1, 4 do check_cancelled(tasks[i]) end
    end
  end
end)

case:ordered("CAN-32: values given back stand before those sent later", function()
  for _, ch in ipairs { peri.channel(3), peri.channel(500), peri.unbounded() } do
    local tasks = spawn_receivers(ch, 2)
    for v = 1, 5 do ch:send(v) end
    tasks[2]:cancel()
    check.equal(ch:recv(), 2)
    tasks[1]:cancel()
    check.equal(#ch, 4)
    check.same(drain(ch), { 1, 3, 4, 5 })
  end
end)

case("CAN-32: values given back may hold the length above the capacity, and senders wait until there is room", function()
  local ch, note, taken = peri.channel(1), check.trace()
  local tasks = spawn_receivers(ch, 3)
  for v = 1, 4 do check.equal(ch:try_send(v), true) end
  for _, task in ipairs(tasks) do task:cancel() end
  check.equal(#ch, 4)
  check.same(table.pack(ch:try_send(5)), { n = 2, nil, "full" })
  peri.spawn(function() ch:send(5); note("sent") end)
  peri.yield()
  for v = 1, 3 do
    check.equal(ch:recv(), v)
    peri.yield()
    check.equal(taken(), "")
  end
  check.equal(ch:recv(), 4)
  peri.yield()
  check.equal(taken(), "sent")
  check.equal(ch:recv(), 5)
end)

case("CAN-32: a rendezvous keeps what was given back, and hands it out first", function()
  local ch = peri.channel(0)
  local receiver = spawn_receivers(ch, 1)[1]
  ch:send("a")
  receiver:cancel()
  check.equal(#ch, 1)
  local sender = peri.spawn(ch.send, ch, "b")
  peri.yield()
  check.equal(sender:status(), "waiting")
  check.equal(ch:recv(), "a")
  check.equal(sender:status(), "waiting")
  check.equal(ch:recv(), "b")
  check.equal(sender:await(), true)
end)

case:ordered("CAN-32: a closed channel still delivers what was given back", function()
  for _, ch in ipairs(channels()) do
    local tasks = spawn_receivers(ch, 2)
    ch:send("a")
    ch:close()
    tasks[1]:cancel()
    check.same(table.pack(tasks[2]:await()), { n = 2, nil, "closed" })
    check.equal(ch:recv(), "a")
    check.same(table.pack(ch:recv()), { n = 2, nil, "closed" })
    check_cancelled(tasks[1])
  end
end)

case("CAN-32: the same for recv_many, iter, select, perform and a join of these", function()
  local ways = {
    function(ch) return ch:recv_many(5) end,
    function(ch) for v in ch:iter() do return v end end,
    function(ch) return peri.select { ch:recv_op() } end,
    function(ch) return peri.select { never = peri.channel(0):recv_op(), got = ch:recv_op() } end,
    function(ch) return peri.perform(ch:recv_op()) end,
    function(ch) return peri.perform(ch:recv_op():wrap(function(v) return v end)) end,
    function(ch) return peri.select { peri.choose { ch:recv_op(), peri.sleep_op(100) } } end,
  }
  for _, way in ipairs(ways) do
    for _, ch in ipairs(channels()) do
      local tasks = { peri.spawn(way, ch), peri.spawn(way, ch) }
      peri.yield()
      check.equal(ch:stats().waiting_receivers, 2)
      ch:send("a")
      ch:send("b")
      tasks[1]:cancel()
      tasks[2]:cancel()
      check_cancelled(tasks[1])
      check_cancelled(tasks[2])
      check.same(drain(ch), { "a", "b" })
      check.equal(ch:stats().waiting_receivers, 0)
    end
  end
end)

case("CAN-32: a receiver cancelled by its timeout gives back too", function()
  local ch = peri.channel(3)
  local receiver = peri.spawn(function() return peri.try_timeout(5, ch.recv, ch) end)
  peri.sleep(6)
  check.same(table.pack(receiver:await()), { n = 2, nil, "timeout" })
  check.equal(ch:stats().waiting_receivers, 0)
  ch:send("a")
  check.equal(ch:try_recv(), "a")
end)

case("CAN-32: a value given back is of the same identity", function()
  for _, ch in ipairs(channels()) do
    for _, v in ipairs { false, {}, print, "text", 1.5 } do
      local receiver = spawn_receivers(ch, 1)[1]
      ch:send(v)
      receiver:cancel()
      check.truthy(rawequal(ch:recv(), v), "the value sent")
    end
    check.equal(#ch, 0)
  end
end)

case("CAN-32: five hundred receivers are cancelled after they were served", function()
  for _, ch in ipairs(channels()) do
    local tasks = spawn_receivers(ch, 500)
    for v = 1, 500 do check.equal(ch:try_send(v), true) end
    for i = 500, 1, -1 do tasks[i]:cancel() end
    check.equal(#ch, 500)
    for v = 1, 500 do check.equal(ch:recv(), v) end
    check.equal(#ch, 0)
    for i = 1, 500 do check_cancelled(tasks[i]) end
  end
end)

case("CAN-33: a send that happened returns, and the cancellation comes at the next suspension", function()
  for _, capacity in ipairs { 0, 1, 3, 500 } do
    local ch, note, taken = peri.channel(capacity), check.trace()
    for v = 1, capacity do ch:send(v) end
    local sender = peri.spawn(function()
      note(ch:send("late"))
      note(peri.cancel_requested())
      ch:send("never")
      note("after")
    end)
    peri.yield()
    local first = ch:recv()
    check.equal(first, capacity == 0 and "late" or 1)
    sender:cancel()
    check_cancelled(sender)
    check.equal(taken(), "true true")
    local rest = drain(ch)
    check.equal(#rest, capacity)
    if capacity > 0 then check.equal(rest[#rest], "late") end
  end
end)

case("CAN-33: a receiver that saw the end before it was cancelled is cancelled at its next suspension at the latest", function()
  local ch = peri.channel(1)
  local receiver = spawn_receivers(ch, 1)[1]
  ch:close()
  receiver:cancel()
  local ok, e = receiver:join()
  if ok then check.same({ ok, e }, { true, nil }) else check.kind(e, "cancelled") end
  check.same(table.pack(ch:recv()), { n = 2, nil, "closed" })
end)

case("CAN-33: a cancelled task neither sends nor receives, ready or not", function()
  for _, ch in ipairs(channels()) do
    if ch.capacity > 1 then ch:send("there") end
    local before = ch:stats()
    local attempts = {
      function() ch:send("x") end, function() ch:recv() end, function() ch:recv_many(2) end,
      function() peri.select { ch:recv_op() } end, function() peri.perform(ch:send_op("x")) end,
    }
    for _, attempt in ipairs(attempts) do
      local task = peri.spawn(function()
        peri.self():cancel()
        attempt()
      end)
      check_cancelled(task)
    end
    check.same(ch:stats(), before)
  end
end)

case:ordered("CHN-18: the value of a cancelled sender is never delivered, and the next sender moves up", function()
  for _, capacity in ipairs(capacities) do
    local ch = peri.channel(capacity)
    for v = 1, capacity do ch:send(v) end
    local senders = {}
    for i = 1, 4 do senders[i] = peri.spawn(ch.send, ch, "s" .. i) end
    peri.yield()
    senders[1]:cancel()
    senders[3]:cancel()
    check.equal(ch:stats().waiting_senders, 2)
    for v = 1, capacity do check.equal(ch:recv(), v) end
    check.equal(ch:recv(), "s2")
    check.equal(ch:recv(), "s4")
    check.same(table.pack(ch:try_recv()), { n = 2, nil, "empty" })
    check_cancelled(senders[1])
    check_cancelled(senders[3])
    check.equal(senders[2]:await(), true)
    check.equal(senders[4]:await(), true)
    check.equal(ch:stats().sends, capacity + 2)
  end
end)

case("CHN-18: all waiting senders cancelled leave a channel that works", function()
  for _, capacity in ipairs { 0, 1, 3 } do
    local ch = peri.channel(capacity)
    for v = 1, capacity do ch:send(v) end
    local senders = {}
    for i = 1, 50 do senders[i] = peri.spawn(ch.send, ch, i) end
    peri.yield()
    for _, sender in ipairs(senders) do sender:cancel() end
    check.equal(ch:stats().waiting_senders, 0)
    check.equal(#drain(ch), capacity)
    local receiver = peri.spawn(ch.recv, ch)
    peri.yield()
    ch:send("fresh")
    check.equal(receiver:await(), "fresh")
  end
end)

case:ordered("CHN-20: a served receiver that is cancelled keeps the order for those behind it", function()
  for _, ch in ipairs(channels()) do
    local tasks = spawn_receivers(ch, 4)
    for _, v in ipairs { "a", "b" } do ch:send(v) end
    tasks[1]:cancel()
    check.equal(tasks[2]:await(), "b")
    check.equal(tasks[3]:await(), "a")
    ch:send("c")
    check.equal(tasks[4]:await(), "c")
    check_cancelled(tasks[1])
  end
end)

case:ordered("CHN-20: waiting receivers that are cancelled leave the line", function()
  local ch = peri.channel(0)
  local tasks = spawn_receivers(ch, 5)
  for _, i in ipairs { 1, 3, 5 } do tasks[i]:cancel() end
  check.equal(ch:stats().waiting_receivers, 2)
  ch:send("a")
  ch:send("b")
  check.equal(tasks[2]:await(), "a")
  check.equal(tasks[4]:await(), "b")
  check.same(table.pack(ch:try_send("c")), { n = 2, nil, "full" })
end)

case("CHN-20: a receiver woken by a waiting sender's channel and cancelled at once changes nothing for the sender", function()
  local ch = peri.channel(0)
  local receiver = spawn_receivers(ch, 1)[1]
  local sender = peri.spawn(function()
    local sent = ch:send("a")
    receiver:cancel()
    return sent
  end)
  check.equal(sender:await(), true)
  check_cancelled(receiver)
  check.equal(ch:recv(), "a")
end)
