-- Channels: capacity, order, closing, values, statistics. Cancelled senders and receivers: channel_cancel.lua.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local capacities = { 0, 1, 3, 500 }

local function fill(ch, first, last)
  for v = first, last do check.equal(ch:try_send(v), true) end
end

local function take_all(ch)
  local got = {}
  for v in ch:iter() do got[#got + 1] = v end
  return got
end

local function numbers(first, last)
  local list = {}
  for v = first, last do list[#list + 1] = v end
  return list
end

case:ordered("CHN-01: a full channel holds back the sender, and senders complete in order", function()
  for _, capacity in ipairs { 1, 2, 3, 500 } do
    local ch, note, taken = peri.channel(capacity), check.trace()
    fill(ch, 1, capacity)
    for name = 1, 3 do peri.spawn(function() check.equal(ch:send(capacity + name), true); note(name) end) end
    peri.sleep(1)
    check.equal(taken(), "")
    check.equal(ch:stats().waiting_senders, 3)
    check.equal(ch:recv(), 1)
    check.equal(#ch, capacity)
    peri.sleep(1)
    check.equal(taken(), "1")
    for v = 2, capacity + 3 do check.equal(ch:recv(), v) end
    peri.sleep(1)
    check.equal(taken(), "2 3")
  end
end)

case("CHN-02: a rendezvous completes only when a receiver took the value", function()
  local ch, sent_at, got_at = peri.channel(0)
  local sender = peri.spawn(function() check.equal(ch:send("x"), true); sent_at = peri.now() end)
  peri.sleep(5)
  check.equal(sender:status(), "waiting")
  check.equal(#ch, 0)
  local started = peri.now()
  check.equal(ch:recv(), "x")
  sender:await()
  check.equal(sent_at, started)
  peri.spawn(function() check.equal(ch:recv(), "y"); got_at = peri.now() end)
  peri.sleep(2)
  check.equal(ch:send("y"), true)
  peri.yield()
  check.equal(got_at, started + 2)
end)

case:ordered("CHN-02: a rendezvous serves its senders and its receivers in order", function()
  local ch, note, taken = peri.channel(0), check.trace()
  for v = 1, 3 do peri.spawn(function() ch:send(v); note("sent" .. v) end) end
  peri.yield()
  for v = 1, 3 do check.equal(ch:recv(), v) end
  peri.yield()
  check.equal(taken(), "sent1 sent2 sent3")
  for name = 1, 3 do peri.spawn(function() note(name .. ch:recv()) end) end
  peri.yield()
  for _, v in ipairs { "a", "b", "c" } do check.equal(ch:send(v), true) end
  peri.yield()
  check.equal(taken(), "1a 2b 3c")
end)

case("CHN-03: a capacity is a non-negative integer of some size", function()
  check.misuse("bad argument #1 to 'channel' (capacity must be a non-negative integer, got -1)", function() peri.channel(-1) end)
  check.misuse("capacity must be a non-negative integer, got 1.5", function() peri.channel(1.5) end)
  check.misuse("capacity must be a non-negative integer", function() peri.channel(1 << 62) end)
  check.misuse("capacity must be a non-negative integer", function() peri.channel(math.huge) end)
  check.misuse("capacity must be a non-negative integer", function() peri.channel(0 / 0) end)
  check.misuse("capacity must be a non-negative integer", function() peri.channel() end)
  check.misuse("capacity must be a non-negative integer", function() peri.channel("3") end)
  check.misuse("capacity must be a non-negative integer", function() peri.channel({}) end)
  check.equal(peri.channel(3.0).capacity, 3)
  check.misuse("to 'unbounded'", function() peri.unbounded { warn_at = 0 } end)
  check.misuse("to 'unbounded'", function() peri.unbounded(5) end)
end)

case("CHN-04: a closed channel refuses every send", function()
  for _, capacity in ipairs(capacities) do
    local ch = peri.channel(capacity)
    ch:close()
    for _ = 1, 100 do
      check.same(table.pack(ch:send("v")), { n = 2, nil, "closed" })
      check.same(table.pack(ch:try_send("v")), { n = 2, nil, "closed" })
    end
    check.equal(ch:stats().sends, 0)
  end
end)

case("CHN-05: what was buffered at the close is received before the end", function()
  for _, capacity in ipairs { 3, 500 } do
    local ch = peri.channel(capacity)
    fill(ch, 1, 3)
    ch:close()
    for v = 1, 3 do check.equal(ch:recv(), v) end
    check.same(table.pack(ch:recv()), { n = 2, nil, "closed" })
    check.same(table.pack(ch:try_recv()), { n = 2, nil, "closed" })
  end
end)

case:ordered("CHN-06: the end is given at once, as often as asked, and others run meanwhile", function()
  local ch, others = peri.channel(2), 0
  ch:close()
  local ended = 0
  local other <const> = peri.spawn(function() while ended < 1000 do others = others + 1; peri.yield() end end)
  for _ = 1, 1000 do
    local v, why = ch:recv()
    if v == nil and why == "closed" then ended = ended + 1 end
  end
  check.equal(ended, 1000)
  check.truthy(others >= 1000 // 128, "a turn for the other task")
  other:await()
end)

case:ordered("CHN-08: closing refuses the waiting senders, and their values are not delivered", function()
  for _, capacity in ipairs(capacities) do
    local ch, note, taken = peri.channel(capacity), check.trace()
    fill(ch, 1, capacity)
    for v = 1, 3 do
      peri.spawn(function()
        check.same(table.pack(ch:send("late" .. v)), { n = 2, nil, "closed" })
        note(v)
      end)
    end
    peri.yield()
    ch:close()
    check.equal(ch:stats().waiting_senders, 0)
    peri.yield()
    check.equal(taken(), "1 2 3")
    check.same(take_all(ch), numbers(1, capacity))
  end
end)

case:ordered("CHN-10: closing ends every waiting receiver", function()
  for _, capacity in ipairs(capacities) do
    local ch, note, taken = peri.channel(capacity), check.trace()
    for name = 1, 3 do peri.spawn(function() note(name .. select(2, ch:recv())) end) end
    peri.spawn(function() note("many" .. #ch:recv_many(5)) end)
    peri.spawn(function() for _ in ch:iter() do note("never") end; note("iter") end)
    peri.yield()
    ch:close()
    peri.yield()
    check.equal(taken(), "1closed 2closed 3closed many0 iter")
    check.equal(ch:stats().waiting_receivers, 0)
  end
end)

case("CHN-12: unread values are released with their channel, and delivered ones by the channel too", function()
  local kept = setmetatable({}, { __mode = "v" })
  for _, capacity in ipairs { 1, 3, 500 } do
    local ch = peri.channel(capacity)
    kept[1] = {}
    ch:send(kept[1])
    ch:close()
    ch = nil
    collectgarbage()
    collectgarbage()
    check.equal(kept[1], nil)
    ch = peri.channel(capacity)
    kept[1] = {}
    ch:send(kept[1])
    check.equal(type(ch:recv()), "table")
    collectgarbage()
    check.equal(kept[1], nil)
    check.equal(#ch, 0)
  end
end)

case("CHN-13: closing twice is closing once, and a channel is closable", function()
  local ch = peri.channel(1)
  ch:send(1)
  ch:close()
  ch:close()
  check.equal(ch:recv(), 1)
  ch:close()
  local kept
  do
    local inner <close> = peri.channel(0)
    kept = inner
    check.equal(kept:stats().closed, false)
  end
  check.equal(kept:stats().closed, true)
end)

case("CHN-14: try_send and try_recv never wait and say why", function()
  for _, capacity in ipairs(capacities) do
    local ch = peri.channel(capacity)
    check.same(table.pack(ch:try_recv()), { n = 2, nil, "empty" })
    fill(ch, 1, capacity)
    check.same(table.pack(ch:try_send("more")), { n = 2, nil, "full" })
    for v = 1, capacity do check.equal(ch:try_recv(), v) end
    ch:close()
    check.same(table.pack(ch:try_send("more")), { n = 2, nil, "closed" })
    check.same(table.pack(ch:try_recv()), { n = 2, nil, "closed" })
  end
end)

case("CHN-14: try_send serves a waiting receiver, try_recv a waiting sender", function()
  local ch = peri.channel(0)
  local receiver = peri.spawn(ch.recv, ch)
  peri.yield()
  check.equal(ch:try_send("v"), true)
  check.same(table.pack(ch:try_send("w")), { n = 2, nil, "full" })
  check.equal(receiver:await(), "v")
  local sender = peri.spawn(ch.send, ch, "x")
  peri.yield()
  check.equal(ch:try_recv(), "x")
  check.same(table.pack(ch:try_recv()), { n = 2, nil, "empty" })
  check.equal(sender:await(), true)
end)

case("CHN-15: what a returned send has put there, try_recv finds", function()
  for _, capacity in ipairs { 1, 3, 500 } do
    local ch, seen = peri.channel(capacity), 0
    for v = 1, 50 do
      check.equal(ch:send(v), true)
      peri.spawn(function() check.equal(ch:try_recv(), v); seen = seen + 1 end):await()
    end
    check.equal(seen, 50)
  end
end)

case("CHN-29: each producer's order is kept", function()
  for _, capacity in ipairs(capacities) do
    local ch, last = peri.channel(capacity), { 0, 0, 0, 0 }
    local producers = {}
    for p = 1, 4 do
      producers[p] = peri.spawn(function() for n = 1, 600 do check.equal(ch:send { p = p, n = n }, true) end end)
    end
    peri.spawn(function() for _, p in ipairs(producers) do p:await() end; ch:close() end)
    for v in ch:iter() do
      check.equal(v.n, last[v.p] + 1)
      last[v.p] = v.n
    end
    check.same(last, { 600, 600, 600, 600 })
  end
end)

case("Channels: nobody barges in front of a waiting sender", function()
  local ch = peri.channel(1)
  ch:send("a")
  local waiting = peri.spawn(ch.send, ch, "b")
  peri.yield()
  check.equal(ch:recv(), "a")
  check.same(table.pack(ch:try_send("c")), { n = 2, nil, "full" })
  check.equal(ch:recv(), "b")
  waiting:await()
end)

case("Channels: nobody barges in front of a receiver that was handed a value", function()
  local ch = peri.channel(3)
  local waiting = peri.spawn(ch.recv, ch)
  peri.yield()
  ch:send("a")
  check.same(table.pack(ch:try_recv()), { n = 2, nil, "empty" })
  ch:send("b")
  check.equal(ch:recv(), "b")
  check.equal(waiting:await(), "a")
end)

case("Channels: values of every type arrive as they are", function()
  local function f() end
  local co = coroutine.create(f)
  local values = { false, true, 0, -1, math.maxinteger, math.mininteger, 0.5, -0.0, math.huge, "", "text\0more", ("x"):rep(5000),
    {}, f, print, co, io.stdout, peri.channel(1), peri.self(), setmetatable({}, { __eq = function() return false end }) }
  for _, capacity in ipairs(capacities) do
    local ch = peri.channel(capacity)
    local sender = peri.spawn(function() for _, v in ipairs(values) do ch:send(v) end; ch:send(0 / 0); ch:close() end)
    for i = 1, #values do
      local got = ch:recv()
      check.truthy(rawequal(got, values[i]), "the value sent")
      check.equal(math.type(got), math.type(values[i]))
    end
    local nan = ch:recv()
    check.truthy(nan ~= nan, "NaN")
    check.same(table.pack(ch:recv()), { n = 2, nil, "closed" })
    sender:await()
  end
end)

case("Channels: nil is not a message", function()
  local ch = peri.channel(1)
  check.misuse("bad argument #1 to 'send' (nil is not a message", function() ch:send(nil) end)
  check.misuse("bad argument #1 to 'send' (nil is not a message", function() ch:send() end)
  check.misuse("bad argument #1 to 'try_send' (nil is not a message", function() ch:try_send(nil) end)
  check.misuse("bad argument #1 to 'send_op' (nil is not a message", function() ch:send_op(nil) end)
  check.equal(#ch, 0)
  check.equal(ch:send(false), true)
  check.equal(ch:recv(), false)
end)

case("Channels: a method of a channel is called with one", function()
  local ch = peri.channel(1)
  for _, name in ipairs { "send", "recv", "try_send", "try_recv", "recv_many", "send_op", "recv_op", "iter", "close", "stats" } do
    check.raises("a channel expected", function() ch[name]({}, 1) end)
    check.raises("a channel expected", function() ch[name](nil, 1) end)
    check.raises("a channel expected", function() ch[name](io.stdout, 1) end)
  end
end)

case("Channels: an unbounded channel takes everything, and warns once", function()
  local ch = peri.unbounded { warn_at = 100, name = "log" }
  check.equal(ch.capacity, math.huge)
  check.equal(ch.name, "log")
  for v = 1, 5000 do check.equal(ch:send(v), true) end
  local reports = check.reports()
  check.equal(#reports, 1)
  check.contains(reports[1], "an unbounded channel holds 100 values")
  check.equal(#ch, 5000)
  ch:close()
  check.same(take_all(ch), numbers(1, 5000))
  check.equal(peri.unbounded().capacity, math.huge)
end)

case("CHN-32: a channel is both its ends: one that is lost has nobody left to tell, and goes with its values", function()
  local collected, lost = 0, setmetatable({}, { __mode = "k" })
  do
    local ch = peri.channel(2)
    lost[ch] = true
    ch:send(setmetatable({}, { __gc = function() collected = collected + 1 end }))
    local receiver = peri.spawn(ch.recv, peri.channel(1)) -- who waits keeps the channel
    peri.yield()
    collectgarbage()
    check.equal(receiver:status(), "waiting")
    receiver:cancel()
    receiver:join()
  end
  collectgarbage()
  collectgarbage()
  check.equal(next(lost), nil)
  check.equal(collected, 1)
end)

case("Channels: length, capacity, name and text", function()
  local ch = peri.channel(2, "orders")
  check.equal(ch.capacity, 2)
  check.equal(ch.name, "orders")
  check.equal(peri.channel(2).name, nil)
  check.equal(#ch, 0)
  ch:send(1)
  check.equal(#ch, 1)
  check.contains(tostring(ch), "1 of 2")
  ch:close()
  check.contains(tostring(ch), "closed")
  check.misuse("name must be a string", function() peri.channel(1, {}) end)
end)
