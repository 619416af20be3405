-- Channels taken from in bulk: recv_many, iter, large counts; and their statistics.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local capacities = { 0, 1, 3, 500 }

local function spawn_producer(ch, count)
  return peri.spawn(function()
    for v = 1, count do check.equal(ch:send(v), true) end
    ch:close()
  end)
end

case("CHN-25: recv_many takes up to its limit, and nothing only at the end", function()
  for _, capacity in ipairs { 5, 500 } do
    local ch = peri.channel(capacity)
    for v = 1, 5 do ch:send(v) end
    check.same(ch:recv_many(3), { 1, 2, 3 })
    check.same(ch:recv_many(0), {})
    check.equal(#ch, 2)
    ch:close()
    check.same(ch:recv_many(9), { 4, 5 })
    check.same(ch:recv_many(9), {})
    check.same(ch:recv_many(0), {})
  end
end)

case("CHN-25: recv_many waits for one value and takes what is there by then", function()
  local ch = peri.channel(10)
  local receiver = peri.spawn(function() return ch:recv_many(10) end)
  peri.sleep(1)
  check.equal(receiver:status(), "waiting")
  for v = 1, 4 do ch:send(v) end
  check.same(receiver:await(), { 1, 2, 3, 4 })
end)

case:ordered("CHN-25: recv_many takes from waiting senders too, in their order", function()
  for _, capacity in ipairs { 0, 1, 3 } do
    local ch, note, taken = peri.channel(capacity), check.trace()
    for v = 1, 6 do peri.spawn(function() ch:send(v); note(v) end) end
    peri.yield()
    taken()
    check.same(ch:recv_many(5), { 1, 2, 3, 4, 5 })
    peri.yield()
    check.same(ch:recv_many(5), { 6 })
    peri.yield()
    check.equal(#ch, 0)
  end
end)

case("CHN-25: recv_many in a select takes all or nothing", function()
  local ch, stop = peri.channel(4), peri.channel(0)
  local selecting = peri.spawn(peri.select, { batch = ch:recv_many_op(3), stop = stop:recv_op() })
  peri.yield()
  for v = 1, 4 do ch:send(v) end
  selecting:cancel()
  check.equal((selecting:join()), false)
  check.same({ peri.select { ch:recv_many_op(3) } }, { 1, { 1, 2, 3 } })
  ch:close()
  check.same(peri.perform(ch:recv_many_op(0)), {})
  check.same(peri.perform(ch:recv_many_op(3)), { 4 })
  check.same(peri.perform(ch:recv_many_op(3)), {})
end)

case("CHN-25: recv_many of limit 0 returns at once, whatever waits", function()
  local ch = peri.channel(0)
  check.same(ch:recv_many(0), {})
  check.equal(ch:stats().recvs, 0)
end)

case("CHN-25: the limit is a non-negative integer", function()
  local ch = peri.channel(1)
  check.misuse("bad argument #1 to 'recv_many' (max must be a non-negative integer, got -1)", function() ch:recv_many(-1) end)
  check.misuse("max must be a non-negative integer", function() ch:recv_many(1.5) end)
  check.misuse("max must be a non-negative integer", function() ch:recv_many() end)
  check.misuse("max must be a non-negative integer", function() ch:recv_many("2") end)
end)

case("CHN-25: recv_many with the largest limit takes what there is", function()
  local ch = peri.unbounded()
  for v = 1, 3000 do ch:send(v) end
  local list = ch:recv_many(math.maxinteger)
  check.equal(#list, 3000)
  check.equal(list[1], 1)
  check.equal(list[3000], 3000)
end)

case("Channels: iter runs until the end, false included", function()
  for _, capacity in ipairs(capacities) do
    local ch, got = peri.channel(capacity), {}
    peri.spawn(function()
      for _, v in ipairs { 1, false, "x" } do ch:send(v) end
      ch:close()
    end)
    for v in ch:iter() do got[#got + 1] = v end
    check.same(got, { 1, false, "x" })
  end
end)

case("Channels: leaving iter by break leaves the channel as it is", function()
  local ch = peri.channel(5)
  for v = 1, 5 do ch:send(v) end
  for v in ch:iter() do
    if v == 2 then break end
  end
  check.equal(#ch, 3)
  check.equal(ch:stats().closed, false)
  check.equal(ch:send(6), true)
  check.equal(ch:recv(), 3)
end)

case("Channels: two loops over one channel share its values", function()
  local ch, sum, count = peri.channel(3), 0, 0
  local function consume()
    for v in ch:iter() do sum, count = sum + v, count + 1 end
  end
  local a, b = peri.spawn(consume), peri.spawn(consume)
  spawn_producer(ch, 100)
  a:await()
  b:await()
  check.equal(sum, 5050)
  check.equal(count, 100)
end)

case("Channels: large counts pass in order through every capacity", function()
  for _, capacity in ipairs { 0, 1, 3, 191, 192, 193, 500 } do
    local ch, expected = peri.channel(capacity), 0
    spawn_producer(ch, 20000)
    for v in ch:iter() do
      expected = expected + 1
      if v ~= expected then check.equal(v, expected) end
    end
    check.equal(expected, 20000)
    check.equal(ch:stats().sends, 20000)
    check.equal(ch:stats().recvs, 20000)
    check.truthy(ch:stats().peak <= capacity, "a peak within the capacity")
  end
end)

case("Channels: a ring that wraps while it grows keeps the order", function()
  local ch, sent, got = peri.unbounded(), 0, 0
  for round = 1, 60 do
    for _ = 1, round * 3 do sent = sent + 1; ch:send(sent) end
    for _ = 1, round do got = got + 1; check.equal(ch:recv(), got) end
  end
  check.equal(#ch, sent - got)
  while got < sent do got = got + 1; check.equal(ch:recv(), got) end
  check.same(table.pack(ch:try_recv()), { n = 2, nil, "empty" })
end)

case("Channels: a thousand receivers and a thousand senders meet in the order in which they came", function()
  local ch, came, sent = peri.channel(0), 0, 0
  for _ = 1, 1000 do
    peri.spawn(function()
      came = came + 1
      local place = came
      check.equal(ch:recv(), place)
    end)
  end
  peri.sleep(1)
  check.equal(ch:stats().waiting_receivers, 1000)
  for _ = 1, 1000 do
    peri.spawn(function()
      sent = sent + 1
      check.equal(ch:send(sent), true)
    end)
  end
  peri.sleep(1)
  check.equal(sent, 1000)
  check.equal(ch:stats().waiting_receivers, 0)
  check.equal(ch:stats().recvs, 1000)
end)

-- The statistics of an open channel of capacity 2 in which nothing happened, but for `changes`.
local function stats_with(changes)
  local stats = { len = 0, capacity = 2, peak = 0, sends = 0, recvs = 0, waiting_senders = 0, waiting_receivers = 0, closed = false }
  for name, value in pairs(changes) do stats[name] = value end
  return stats
end

case("CHN-24: stats tell length, capacity, peak, counts and who waits", function()
  local ch = peri.channel(2)
  check.same(ch:stats(), stats_with {})
  local receiver = peri.spawn(ch.recv, ch)
  peri.yield()
  check.same(ch:stats(), stats_with { waiting_receivers = 1 })
  ch:send("a")
  receiver:await()
  check.same(ch:stats(), stats_with { sends = 1, recvs = 1 })
  ch:send("b")
  ch:send("c")
  local sender = peri.spawn(ch.send, ch, "d")
  peri.yield()
  check.same(ch:stats(), stats_with { len = 2, peak = 2, sends = 3, recvs = 1, waiting_senders = 1 })
  ch:recv()
  sender:await()
  ch:close()
  check.same(ch:stats(), stats_with { len = 2, peak = 2, sends = 4, recvs = 2, closed = true })
end)

case("CHN-24: the peak stays when the channel empties", function()
  local ch = peri.channel(500)
  for v = 1, 300 do ch:send(v) end
  check.equal(#ch:recv_many(1000), 300)
  ch:send(1)
  check.equal(ch:stats().peak, 300)
  check.equal(ch:stats().len, 1)
end)
