-- Select: sleeps, joins, ticks, tokens and sends as arms; wrap, choose and perform.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function select_packed(...) return table.pack(peri.select(...)) end
local function never() return peri.channel(0):recv_op() end

case("Select: a sleep arm fires at its time and counts from each use", function()
  local op, start = peri.sleep_op(2), peri.now()
  for n = 1, 3 do
    check.same(select_packed { tick = op, other = never() }, { n = 1, "tick" })
    check.equal(peri.now(), start + 2 * n)
  end
  peri.sleep(10)
  check.same(select_packed { op, never() }, { n = 1, 1 })
  check.equal(peri.now(), start + 18)
end)

case("Select: until_op is an instant, and stays passed", function()
  local start = peri.now()
  local op = peri.until_op(start + 3)
  check.same(select_packed { op, never() }, { n = 1, 1 })
  check.equal(peri.now(), start + 3)
  check.same(select_packed { op, never() }, { n = 1, 1 })
  check.equal(peri.try_select { peri.until_op(start - 5) }, 1)
  check.equal(peri.now(), start + 3)
end)

case("Select: the earliest of several limits fires", function()
  local start = peri.now()
  check.equal(peri.select { peri.sleep_op(5), peri.sleep_op(1.5), peri.sleep_op(math.huge), peri.until_op(start + 4) }, 2)
  check.equal(peri.now(), start + 1.5)
end)

case("Select: a value that comes before the limit wins, at its own time", function()
  local ch, start = peri.channel(0), peri.now()
  peri.spawn(function() peri.sleep(1); ch:send("in time") end)
  check.same(select_packed { got = ch:recv_op(), limit = peri.sleep_op(2) }, { n = 2, "got", "in time" })
  check.equal(peri.now(), start + 1)
  peri.sleep(5)
end)

case("Select: durations of sleep arms are numbers, not NaN", function()
  check.misuse("bad argument #1 to 'sleep_op' (seconds must not be NaN", function() peri.sleep_op(0 / 0) end)
  check.misuse("bad argument #1 to 'sleep_op' (seconds must be a number", function() peri.sleep_op("1") end)
  check.misuse("bad argument #1 to 'until_op' (seconds must not be NaN", function() peri.until_op(0 / 0) end)
  check.equal(peri.select { peri.sleep_op(-5), never() }, 1)
end)

case("Select: a send arm commits when there is room or a receiver", function()
  local ch = peri.channel(1)
  check.same(select_packed { give = ch:send_op("a"), other = never() }, { n = 2, "give", true })
  local task = peri.spawn(select_packed, { give = ch:send_op("b"), other = never() })
  peri.yield()
  check.equal(ch:stats().waiting_senders, 1)
  check.equal(ch:recv(), "a")
  check.same(task:await(), { n = 2, "give", true })
  check.equal(ch:recv(), "b")
end)

case:ordered("Select: a send arm takes its place in the line of senders", function()
  local ch = peri.channel(0)
  peri.spawn(ch.send, ch, 1)
  peri.spawn(peri.select, { ch:send_op(2), never() })
  peri.spawn(ch.send, ch, 3)
  peri.yield()
  for v = 1, 3 do check.equal(ch:recv(), v) end
end)

case("Select: a join arm gives the outcome, as join does", function()
  local ended = peri.spawn(function() return 1, nil, 3, nil end)
  peri.yield()
  check.same(select_packed { done = ended:join_op() }, { n = 6, "done", true, 1, nil, 3, nil })
  local later = peri.spawn(function() peri.sleep(1); return "x" end)
  check.same(select_packed { done = later:join_op(), limit = peri.sleep_op(5) }, { n = 3, "done", true, "x" })
  local failing = peri.spawn(function() peri.sleep(1); error("bad", 0) end)
  local key, ok, e = peri.select { done = failing:join_op(), other = never() }
  check.equal(key, "done")
  check.equal(ok, false)
  check.equal(e.value, "bad")
  local cancelled = peri.spawn(peri.sleep, 100)
  peri.yield()
  cancelled:cancel("enough")
  check.kind(select(3, peri.select { cancelled:join_op(), never() }), "cancelled")
end)

case("Select: join arms of many tasks commit in the order of the ends", function()
  local tasks, arms, order = {}, {}, {}
  for i, seconds in ipairs { 3, 1, 2 } do
    tasks[i] = peri.spawn(function() peri.sleep(seconds); return i end)
    arms[i] = tasks[i]:join_op()
  end
  while next(arms) do
    local key, ok, i = peri.select(arms)
    check.equal(ok, true)
    check.equal(key, i)
    order[#order + 1] = key
    arms[key] = nil
  end
  check.same(order, { 2, 3, 1 })
end)

case("Select: the ticks of an interval as an arm keep to its grid", function()
  local start, at = peri.now(), {}
  local iv <close> = peri.interval(2)
  for _ = 1, 4 do
    check.equal(peri.select { tick = iv:tick_op(), other = never() }, "tick")
    at[#at + 1] = peri.now() - start
  end
  check.same(at, { 0, 2, 4, 6 })
end)

case("Select: a tick that lost is not taken", function()
  local start = peri.now()
  local iv <close> = peri.interval(5)
  iv:tick()
  check.equal(peri.select { tick = iv:tick_op(), limit = peri.sleep_op(3) }, "limit")
  check.equal(peri.select { tick = iv:tick_op(), limit = peri.sleep_op(3) }, "tick")
  check.equal(peri.now(), start + 5)
  check.equal(peri.select { tick = iv:tick_op(), limit = peri.sleep_op(30) }, "tick")
  check.equal(peri.now(), start + 10)
end)

case("Select: a token as an arm", function()
  local tok = peri.token()
  check.equal(peri.select { stop = tok:wait_op(), limit = peri.sleep_op(1) }, "limit")
  local task = peri.spawn(peri.select, { stop = tok:wait_op(), other = never() })
  peri.yield()
  tok:cancel()
  check.equal(task:await(), "stop")
  check.equal(peri.select { stop = tok:wait_op(), other = never() }, "stop")
end)

case("Select: wrap maps the results, in the selecting task, the inner first", function()
  local ch, me, where = peri.channel(2), peri.self().id, nil
  local inner = ch:recv_op():wrap(function(v) where = peri.self().id; return v + 1, nil end)
  local op = inner:wrap(function(...) return select("#", ...), ... end)
  ch:send(4)
  check.same(select_packed { got = op }, { n = 4, "got", 2, 5, nil })
  check.equal(where, me)
  peri.spawn(function() peri.sleep(1); ch:send(6) end)
  check.same(table.pack(peri.perform(op)), { n = 3, 2, 7, nil })
end)

case("Select: a wrapped function may wait, and runs only for the arm that committed", function()
  local a, b, note, taken = peri.channel(1), peri.channel(1), check.trace()
  a:send("v")
  local key, v = peri.select {
    a = a:recv_op():wrap(function(got) peri.sleep(2); note("a"); return got end),
    b = b:recv_op():wrap(function() note("b") end),
  }
  check.same({ key, v, taken() }, { "a", "v", "a" })
end)

case("Select: choose is an operation whose results are the key, then the arm's", function()
  local a, b = peri.channel(1), peri.channel(1)
  local either = peri.choose { left = a:recv_op(), right = b:recv_op() }
  a:send(1)
  check.same(select_packed { pair = either, other = never() }, { n = 3, "pair", "left", 1 })
  b:send(2)
  check.same(table.pack(peri.perform(either)), { n = 2, "right", 2 })
  local task = peri.spawn(select_packed, { deep = peri.choose { peri.choose { x = either }, never() } })
  peri.yield()
  b:send(3)
  check.same(task:await(), { n = 5, "deep", 1, "x", "right", 3 })
  check.equal(a:stats().waiting_receivers, 0)
end)

case("Select: wrap over choose gets the key", function()
  local ch = peri.channel(1)
  ch:send("v")
  local op = peri.choose { got = ch:recv_op() }:wrap(function(key, v) return key .. "=" .. v end)
  check.equal(peri.perform(op), "got=v")
end)

case("Select: perform waits for one operation and gives its results alone", function()
  local ch, start = peri.channel(0), peri.now()
  check.same(table.pack(peri.perform(peri.sleep_op(2))), { n = 0 })
  check.equal(peri.now(), start + 2)
  local sender = peri.spawn(peri.perform, ch:send_op("v"))
  check.equal(peri.perform(ch:recv_op()), "v")
  check.equal(sender:await(), true)
  ch:close()
  check.same(table.pack(peri.perform(ch:recv_op())), { n = 2, nil, "closed" })
end)

case("Select: the table may be used and changed again while its select waits", function()
  local a, b = peri.channel(1), peri.channel(1)
  local arms = { a = a:recv_op() }
  local task = peri.spawn(select_packed, arms)
  peri.yield()
  arms.a, arms.b = nil, b:recv_op()
  collectgarbage()
  b:send("b")
  a:send("a")
  check.same(task:await(), { n = 2, "a", "a" })
  check.same(select_packed(arms), { n = 2, "b", "b" })
end)
