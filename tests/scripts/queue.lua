-- real clock
-- perilune.queue against a real server: what is received once, what is delivered again and what is not, and what ends a queue.
local peri = require "perilune"
local root = arg[0]:match("^(.*)/tests/") or "."
local check = dofile(root .. "/tests/support/check.lua")
local nats_server = dofile(root .. "/tests/support/nats_server.lua")
local case <close> = check.cases(60)
local equal, same, misuse = check.equal, check.same, check.misuse
local is_empty = nats_server.is_empty

local nats = require "perilune.nats"
local queue = require "perilune.queue"

local server <close> = nats_server.start()

case("a value is received once, in order, and gone when it is acknowledged", function()
  local q <close> = server:queue()
  for _, value in ipairs { 1, "two", { three = { 3 } }, false, 2.5 } do
    local ok, stored = q:send(value)
    same({ ok, stored.duplicate }, { true, false })
  end
  local got, last = {}, 0
  for i = 1, 5 do
    local message = q:recv()
    got[i] = message.value
    equal(message.deliveries, 1)
    equal(message.token > last, true)
    last = message.token
    equal(message:ack(), true)
    equal(message.settled, "acknowledged")
  end
  same(got, { 1, "two", { three = { 3 } }, false, 2.5 })
  same(q:stats(), { messages = 0, in_hand = 0, waiting = 0, dead = 0 })
end)

case("a message that was sent twice under one id is stored once", function()
  local q <close> = server:queue()
  equal(select(2, q:send("x", { id = "one" })).duplicate, false)
  equal(select(2, q:send("x", { id = "one", headers = { Word = "w" } })).duplicate, true)
  q:send("y", { headers = { Word = "w" } })
  local first, second = q:recv(), q:recv()
  same({ first.id, first.value, second.value, second.headers.Word }, { "one", "x", "y", "w" })
  first:ack()
  second:ack()
  equal(is_empty(q), true)
end)

case("what is given back comes again, after a delay if one is named, with a greater token", function()
  local q <close> = server:queue()
  q:send("x")
  local first = q:recv()
  equal(first:nak(), true)
  local second, at = q:recv(), peri.now()
  same({ second.deliveries, second.id, second.token > first.token }, { 2, first.id, true })
  second:nak(0.2)
  local third = q:recv()
  equal(third.deliveries, 3)
  equal(peri.now() - at > 0.15, true)
  third:term()
  check.wait_until(function() return is_empty(q) end)
end)

case("a message that nobody settles comes again; a heartbeat holds it", function()
  local q <close> = server:queue { ack_wait = 2 }
  q:send("x")
  local held = q:recv()
  for _ = 1, 5 do
    peri.sleep(0.5)
    equal(held:heartbeat(), true)
  end
  equal(peri.try_select { q:recv_op() }, nil)
  equal(peri.select { message = q:recv_op(), late = peri.sleep_op(0.05) }, "late")
  local again = q:recv()
  same({ again.deliveries, again.value }, { 2, "x" })
  again:ack()
  same({ held:heartbeat() }, { true })
  held:ack()
  same({ again:heartbeat() }, { nil, "settled" })
end)

case("operations: what loses a select is neither sent nor taken", function()
  local q <close> = server:queue { ack_wait = 2 }
  equal(peri.select { message = q:recv_op(), late = peri.sleep_op(0.05) }, "late")
  equal(peri.select({ peri.sleep_op(0), q:send_op("never") }, { biased = true }), 1)
  local key, sent = peri.select { sent = q:send_op("x"), late = peri.sleep_op(5) }
  same({ key, sent }, { "sent", true })
  local op = q:recv_op()
  local which, message = peri.select { message = op, late = peri.sleep_op(5) }
  same({ which, message.value, message:ack() }, { "message", "x", true })
  local later = peri.spawn(function() return peri.perform(op) end)
  peri.sleep(0.1)
  q:send("y")
  message = later:await()
  same({ message.value, message.deliveries, message:ack() }, { "y", 1, true })
end)

case("a receive that is cancelled loses nothing", function()
  local q <close> = server:queue { ack_wait = 1 }
  local other <close> = queue.open({ name = q.name, url = server.url, ack_wait = 1 })
  for _ = 1, 20 do
    local task = peri.spawn(function() q:recv() end)
    peri.sleep(math.random() / 100)
    task:cancel()
    task:join()
  end
  q:send("x")
  q:close()
  local message = other:recv()
  equal(message.value, "x")
  message:ack()
  equal(is_empty(other), true)
end)

case("a closed queue ends its receivers, and gives back what it has", function()
  local q, options = server:queue()
  local receivers = {}
  for i = 1, 3 do receivers[i] = peri.spawn(function() return q:recv() end) end
  peri.sleep(0.05)
  q:close()
  q:close()
  for i = 1, 3 do same({ receivers[i]:await() }, { nil, "closed" }) end
  same({ q:recv() }, { nil, "closed" })
  same({ q:send(1) }, { nil, "closed" })
  for _ in q:iter() do error("a message of a closed queue") end
  local again <close> = queue.open(options)
  equal(is_empty(again), true)
end)

case("a queue belongs to the task that opened it", function()
  local q
  peri.spawn(function() q = server:queue() end):join()
  same({ q:recv() }, { nil, "closed" })
  same({ q:send("x") }, { nil, "closed" })
end)

case("a full queue holds back who sends", function()
  local q <close> = server:queue { capacity = 2 }
  q:send(1)
  q:send(2)
  local third = peri.spawn(function() return (q:send(3)) end)
  equal(third:join(0.1), nil)
  q:recv():ack()
  equal(third:await(), true)
  q:recv():ack()
  equal(q:recv().value, 3)
end)

case("queues of one client share its connection, and end before it", function()
  local client <close> = nats.connect(server.url)
  local one = server:queue { client = client }
  local two = server:queue { client = client }
  one:send(1)
  two:send(2)
  same({ two:recv().value, one:recv().value }, { 2, 1 })
  one:close()
  two:send(3)
  equal(two:recv().value, 3)
  client:close()
  same({ two:recv() }, { nil, "closed" })
  same({ two:send(4) }, { nil, "closed" })
  two:close()
end)

case("queues that are in the way, servers without JetStream", function()
  local _ <close>, options = server:queue()
  options.storage = "memory"
  local ok, e = pcall(queue.open, options)
  same({ ok, e.kind, e.code }, { false, "io", "EIO" })
  equal(tostring(e):find("other options", 1, true) ~= nil, true)
end)

case("misuse is told at the caller's line", function()
  local q <close> = server:queue()
  misuse("bad argument #1 to 'send' (a value expected, got nil)", function() q:send() end)
  misuse("bad argument #1 to 'send'", function() q:send(print) end)
  misuse("bad option 'id' to 'send'", function() q:send(1, { id = 3 }) end)
  misuse("bad option 'headers' to 'send' (a table expected, got string)", function() q:send(1, { headers = "x" }) end)
  misuse("unknown option 'ids' to 'send_op'", function() q:send_op(1, { ids = 3 }) end)
  misuse("at most 1046528 bytes", function() q:send(("x"):rep(1 << 20)) end)
  misuse("bad argument #1 to 'work'", function() q:work(3) end)
  misuse("bad option 'limit' to 'work'", function() q:work(print, { limit = 0 }) end)
  misuse("call it with ':'", function() q.recv() end)
  q:send("x")
  local message = q:recv()
  misuse("bad argument #1 to 'nak'", function() message:nak("x") end)
  misuse("bad argument #1 to 'dead_letter'", function() message:dead_letter() end)
  message:ack()
  misuse("the message is settled: acknowledged", function() message:ack() end)
  q:destroy()
end)
