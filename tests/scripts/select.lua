-- Select: choice, keys, arms of every sort, wrap, choose, perform, misuse. What lost arms leave: select_lost_arms.lua.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function filled(...)
  local ch = peri.channel(10)
  for _, v in ipairs { ... } do ch:send(v) end
  return ch
end

local function select_packed(...) return table.pack(peri.select(...)) end

case("SEL-01: of two ready arms one commits", function()
  for _ = 1, 50 do
    local a, b = filled("a"), filled("b")
    local key, v = peri.select { a = a:recv_op(), b = b:recv_op() }
    check.equal(v, key)
    check.equal(#a + #b, 1)
    check.equal(#(key == "a" and a or b), 0)
  end
end)

case("SEL-02: the choice among ready arms is uniform", function()
  local arms, counts = {}, { 0, 0, 0, 0 }
  for i = 1, 4 do arms[i] = peri.sleep_op(0) end
  for _ = 1, 10000 do
    local i = peri.select(arms)
    counts[i] = counts[i] + 1
  end
  for i = 1, 4 do check.truthy(counts[i] > 2200 and counts[i] < 2800, "about a quarter each") end
end)

case("SEL-02: two channels that are always ready are both served", function()
  local a, b, counts = peri.channel(1), peri.channel(1), { 0, 0 }
  for _ = 1, 10000 do
    a:try_send(1)
    b:try_send(1)
    local i = peri.select { a:recv_op(), b:recv_op() }
    counts[i] = counts[i] + 1
  end
  check.truthy(counts[1] >= 2500 and counts[2] >= 2500, "a quarter each")
end)

case("SEL-02: ready arms are chosen evenly when others between them are not ready", function()
  local never, ready, counts = peri.channel(0):recv_op(), peri.sleep_op(0), { 0, 0, 0, 0, 0, 0 }
  local arms = { ready, never, never, never, never, ready }
  for _ = 1, 10000 do
    local i = peri.select(arms)
    counts[i] = counts[i] + 1
  end
  check.truthy(counts[1] > 4500 and counts[6] > 4500, "about half each")
end)

case("SEL-04: biased takes the first that is ready, in list order", function()
  for _ = 1, 100 do
    local a, b, c = peri.channel(1), filled("b"), filled("c")
    check.same(select_packed({ a:recv_op(), b:recv_op(), c:recv_op() }, { biased = true }), { n = 2, 2, "b" })
    check.equal(#c, 1)
  end
  local arms = { filled("a"):recv_op(), filled("b"):recv_op() }
  check.same(table.pack(peri.try_select(arms, { biased = true })), { n = 2, 1, "a" })
  check.same(table.pack(peri.try_select(arms, { biased = true })), { n = 2, 2, "b" })
  check.same(table.pack(peri.try_select(arms, { biased = true })), { n = 1, nil })
end)

case("SEL-04: biased over wrapped and chosen arms keeps the order", function()
  for _ = 1, 50 do
    local first = filled("x"):recv_op():wrap(function(v) return v .. "!" end)
    local inner = peri.choose { peri.sleep_op(0), peri.sleep_op(0) }
    check.same(select_packed({ first, inner }, { biased = true }), { n = 2, 1, "x!" })
    check.same(select_packed({ inner, first }, { biased = true }), { n = 2, 1, 1 })
  end
end)

case("SEL-04: a biased select takes a list", function()
  local op = peri.sleep_op(0)
  check.misuse("other keys have no order", function() peri.select({ a = op }, { biased = true }) end)
  check.misuse("other keys have no order", function() peri.try_select({ op, a = op }, { biased = true }) end)
end)

case("SEL-08: what becomes ready after an arm committed stays where it is", function()
  local a, b = peri.channel(1), peri.channel(1)
  local task = peri.spawn(select_packed, { a = a:recv_op(), b = b:recv_op() })
  peri.yield()
  b:send("second")
  a:send("third")
  check.same(task:await(), { n = 2, "b", "second" })
  check.equal(#a, 1)
  check.equal(#b, 0)
end)

case("SEL-11: no operations is an error", function()
  check.misuse("bad argument #1 to 'select' (no operations)", function() peri.select {} end)
  check.misuse("no operations", function() peri.try_select {} end)
  check.misuse("no operations", function() peri.select { peri.choose {} } end)
  check.misuse("bad argument #1 to 'choose' (operations expected, got number", function() peri.choose { a = peri.sleep_op(0), 42 } end)
  check.misuse("bad argument #1 to 'select' (a table of operations expected", function() peri.select() end)
  check.misuse("operations expected, got string", function() peri.select { "x" } end)
  check.misuse("operations expected, got function", function() peri.select { a = print } end)
  check.misuse("a table of options expected", function() peri.select({ peri.sleep_op(0) }, true) end)
  check.misuse("bad argument #1 to 'perform' (an operation expected", function() peri.perform(5) end)
  check.misuse("bad argument #1 to 'wrap' (a function expected", function() peri.sleep_op(0):wrap(5) end)
  check.misuse("bad argument #1 to 'choose' (a table of operations expected", function() peri.choose() end)
end)

case("SEL-14: a send arm on a closed channel commits with closed", function()
  local ch = peri.channel(0)
  ch:close()
  check.same(select_packed { give = ch:send_op("v") }, { n = 3, "give", nil, "closed" })
  check.same(select_packed { take = ch:recv_op() }, { n = 3, "take", nil, "closed" })
  local later = peri.channel(0)
  local tasks = {
    peri.spawn(select_packed, { give = later:send_op("v") }),
    peri.spawn(select_packed, { x = peri.channel(0):recv_op(), give = later:send_op("w") }),
  }
  peri.yield()
  later:close()
  for _, task in ipairs(tasks) do check.same(task:await(), { n = 3, "give", nil, "closed" }) end
end)

case("SEL-14: a receiving arm commits with the end when its channel closes", function()
  local ch = peri.channel(0)
  local task = peri.spawn(select_packed, { ch:recv_op(), peri.sleep_op(9) })
  peri.yield()
  ch:close()
  check.same(task:await(), { n = 3, 1, nil, "closed" })
end)

case("SEL-18: an error in what was wrapped is the selecting task's, after the commit", function()
  local a, b = filled("v"), peri.channel(0)
  local task = peri.spawn(peri.select, { a:recv_op():wrap(function(v) error("bad " .. v, 0) end), b:recv_op() })
  local ok, e = task:join()
  check.equal(ok, false)
  check.equal(e.value, "bad v")
  check.equal(#a, 0)
  check.equal(b:stats().waiting_receivers, 0)
  check.raises("bad w", function() peri.perform(filled("w"):recv_op():wrap(function(v) error("bad " .. v, 0) end)) end)
end)

case:ordered("SEL-19: a select that is always ready lets others run", function()
  local turns, done = 0, false
  local other = peri.spawn(function() while not done do turns = turns + 1; peri.yield() end end)
  for _ = 1, 2000 do peri.select { peri.sleep_op(0), peri.sleep_op(0) } end
  done = true
  other:await()
  check.truthy(turns >= 2000 // 128, "a turn in each 128 operations")
end)

case("SEL-21: two hundred arms work, ready and waiting", function()
  local channels, arms = {}, {}
  for i = 1, 200 do
    channels[i] = peri.channel(1)
    arms[i] = channels[i]:recv_op()
  end
  for _, i in ipairs { 1, 17, 100, 200 } do
    channels[i]:send(i * 10)
    check.same(select_packed(arms), { n = 2, i, i * 10 })
  end
  local task = peri.spawn(select_packed, arms)
  peri.yield()
  for i = 1, 200 do check.equal(channels[i]:stats().waiting_receivers, 1) end
  channels[173]:send("late")
  check.same(task:await(), { n = 2, 173, "late" })
  for i = 1, 200 do check.equal(channels[i]:stats().waiting_receivers, 0) end
end)

case("SEL-21: two hundred arms with other keys", function()
  local arms, last = {}, nil
  for i = 1, 200 do
    last = peri.channel(1)
    arms["k" .. i] = last:recv_op()
  end
  last:send("v")
  check.same(select_packed(arms), { n = 2, "k200", "v" })
end)

case("SEL-23: a limit that passed while an arm was handled is not forgotten", function()
  local ch, limit, keys = filled("v"), peri.until_op(peri.now() + 2), {}
  for _ = 1, 2 do
    local key = peri.select({ ch:recv_op(), limit }, { biased = true })
    keys[#keys + 1] = key
    peri.sleep(5)
  end
  check.same(keys, { 1, 2 })
end)

case("Select: a list with holes is a select over the arms that are there", function()
  local ops = { peri.sleep_op(1), peri.sleep_op(2), peri.sleep_op(3) }
  ops[2] = nil
  check.same(select_packed(ops), { n = 1, 1 })
  ops[1] = nil
  check.same(select_packed(ops), { n = 1, 3 })
  check.equal(peri.try_select(ops), nil)
  local function wrap(word) return peri.sleep_op(0):wrap(function() return word end) end
  local wrapped = { wrap "a", wrap "b", wrap "c" }
  wrapped[1], wrapped[2] = nil, nil
  check.same(select_packed(wrapped), { n = 2, 3, "c" })
end)

case("Select: keys of any type come back as they are", function()
  local key, op = {}, peri.sleep_op(0)
  for _, k in ipairs { "name", 7, 2.5, true, false, key, print } do
    check.equal(peri.select { [k] = op }, k)
    check.equal(peri.try_select { [k] = op }, k)
    check.equal(peri.select { [k] = op:wrap(function() end) }, k)
    check.equal(peri.select { [k] = peri.sleep_op(1) }, k)
  end
end)

case("Select: try_select takes what is ready and never waits", function()
  local ch = peri.channel(1)
  check.same(table.pack(peri.try_select { a = ch:recv_op() }), { n = 1, nil })
  check.same(table.pack(peri.try_select { a = ch:recv_op():wrap(print) }), { n = 1, nil })
  check.same(table.pack(peri.try_select { give = ch:send_op("v") }), { n = 2, "give", true })
  check.same(table.pack(peri.try_select { give = ch:send_op("v") }), { n = 1, nil })
  check.same(table.pack(peri.try_select { a = ch:recv_op() }), { n = 2, "a", "v" })
  check.same(table.pack(peri.try_select { peri.sleep_op(1) }), { n = 1, nil })
end)

case:ordered("Select: an operation is inert until it is used, and may be used again", function()
  local ch = peri.channel(3)
  local give, take = ch:send_op("v"), ch:recv_op()
  check.equal(#ch, 0)
  for n = 1, 3 do
    check.equal(peri.perform(give), true)
    check.equal(#ch, n)
  end
  for _ = 1, 3 do check.equal(peri.perform(take), "v") end
  check.equal(ch:stats().waiting_receivers, 0)
  local tasks = { peri.spawn(peri.perform, take), peri.spawn(peri.perform, take) }
  peri.yield()
  ch:send(1)
  ch:send(2)
  check.equal(tasks[1]:await(), 1)
  check.equal(tasks[2]:await(), 2)
end)

case("Select: the same channel may appear twice", function()
  local ch = peri.channel(0)
  local task = peri.spawn(select_packed, { a = ch:recv_op(), b = ch:recv_op() })
  peri.yield()
  check.equal(ch:stats().waiting_receivers, 2)
  ch:send("one")
  local got = task:await()
  check.truthy(got[1] == "a" or got[1] == "b", "one of the two")
  check.equal(got[2], "one")
  check.equal(ch:stats().waiting_receivers, 0)
  check.same(table.pack(ch:try_send("two")), { n = 2, nil, "full" })
end)

case("Select: a task does not meet itself", function()
  local ch = peri.channel(0)
  local task = peri.spawn(select_packed, { give = ch:send_op("v"), take = ch:recv_op(), limit = peri.sleep_op(3) })
  check.equal(task:await()[1], "limit")
  check.equal(ch:stats().sends, 0)
end)

case("Select: two selects meet on a rendezvous", function()
  local ch, other = peri.channel(0), peri.channel(0)
  local giver = peri.spawn(select_packed, { give = ch:send_op("v"), other = other:recv_op() })
  local taker = peri.spawn(select_packed, { take = ch:recv_op(), other = other:recv_op() })
  check.same(giver:await(), { n = 2, "give", true })
  check.same(taker:await(), { n = 2, "take", "v" })
  check.equal(other:stats().waiting_receivers, 0)
end)
