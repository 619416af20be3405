-- real clock
-- perilune.queue against a real server: what is delivered again, what is not, what dies; workers that are killed, servers that are.
local peri = require "perilune"
local root = arg[0]:match("^(.*)/tests/") or "."
local check = dofile(root .. "/tests/support/check.lua")
local nats_server = dofile(root .. "/tests/support/nats_server.lua")
local cases <close> = check.cases()
local equal, same, misuse = check.equal, check.same, check.misuse

local fs = require "perilune.fs"
local json = require "perilune.json"
local nats = require "perilune.nats"
local process = require "perilune.process"
local queue = require "perilune.queue"

-- What does not come to its end fails, and does not hang.
local function case(name, body) cases(name, peri.timeout, 60, body) end

local server <close> = nats_server.start()
local opened = 0

-- A queue of its own for each use; what goes wrong on the way to a dead server is not told here.
local function open(options)
  opened = opened + 1
  local all = { name = "q" .. opened, url = server.url, connect = { on_error = function() end, backoff = { first = 0.02, max = 0.2 } } }
  for name, value in pairs(options or {}) do all[name] = value end
  return queue.open(all), all
end

local function wait_until(what)
  for _ = 1, 2000 do
    if what() then return end
    peri.sleep(0.01)
  end
  error("it did not come to that", 2)
end

local function is_empty(q)
  local stats = q:stats()
  return stats.messages == 0 and stats.in_hand == 0
end

case("a value is received once, in order, and gone when it is acknowledged", function()
  local q <close> = open()
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
  local q <close> = open()
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
  local q <close> = open()
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
  wait_until(function() return is_empty(q) end)
end)

case("a message that nobody settles comes again; a heartbeat holds it", function()
  local q <close> = open { ack_wait = 2 }
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
  local q <close> = open { ack_wait = 2 }
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
  local q <close> = open { ack_wait = 1 }
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
  local q, options = open()
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
  peri.spawn(function() q = open() end):join()
  same({ q:recv() }, { nil, "closed" })
  same({ q:send("x") }, { nil, "closed" })
end)

case("a full queue holds back who sends", function()
  local q <close> = open { capacity = 2 }
  q:send(1)
  q:send(2)
  local third = peri.spawn(function() return (q:send(3)) end)
  equal(third:join(0.1), nil)
  q:recv():ack()
  equal(third:await(), true)
  q:recv():ack()
  equal(q:recv().value, 3)
end)

case("work: acknowledged on return, tried again on an error, dead after the last", function()
  local q <close> = open { max_deliver = 3 }
  local told, runs = {}, {}
  local worker = peri.spawn(q.work, q, function(value, message)
    runs[value] = (runs[value] or 0) + 1
    if value == "good" then return "whatever" end
    if value == "later" and message.deliveries == 2 then return end
    if value == "bad" then error(queue.permanent("never any good")) end
    if value == "self" then return message:dead_letter("by hand") end
    error("not this time", 0)
  end, { limit = 3, backoff = 0.01, on_error = function(e, message) told[#told + 1] = message.value .. ": " .. tostring(e) end })
  for _, value in ipairs { "good", "later", "bad", "hopeless", "self" } do q:send(value) end
  local letters = {}
  for _ = 1, 3 do
    local letter = q:dead():recv()
    misuse("is a dead letter", function() letter:dead_letter("again") end)
    letters[letter.value] = { letter.headers["Perilune-Reason"], letter.headers["Perilune-Deliveries"] }
    letter:ack()
  end
  wait_until(function() return is_empty(q) end)
  worker:cancel()
  worker:join()
  same(letters, { bad = { "never any good", "1" }, hopeless = { "not this time", "3" }, self = { "by hand", "1" } })
  same(runs, { good = 1, later = 2, bad = 1, hopeless = 3, self = 1 })
  equal(#told, 5)
end)

case("work: a handler that takes longer than ack_wait keeps its message", function()
  local q <close> = open { ack_wait = 1.5 }
  local runs = 0
  local worker = peri.spawn(q.work, q, function()
    runs = runs + 1
    peri.sleep(2.5)
  end, { limit = 2 })
  q:send("x")
  wait_until(function() return runs > 0 and is_empty(q) end)
  equal(runs, 1)
  worker:cancel()
  worker:join()
end)

case("work: a handler that is cancelled gives its message back at once", function()
  local q <close> = open()
  local started = peri.channel(1)
  local worker = peri.spawn(q.work, q, function()
    started:send(true)
    peri.sleep(100)
  end)
  q:send("x")
  started:recv()
  worker:cancel()
  worker:join()
  local in_time, message = peri.try_timeout(5, q.recv, q)
  same({ in_time, message.value, message.deliveries, message:ack() }, { true, "x", 2, true })
end)

case("work ends with the queue, when its handlers have", function()
  local q = open()
  local started, ended = peri.channel(1), false
  local worker = peri.spawn(q.work, q, function()
    started:send(true)
    peri.sleep(0.2)
    ended = true
  end)
  q:send("x")
  started:recv()
  q:close()
  equal(worker:join(), true)
  equal(ended, true)
end)

case("what is no JSON, and what was never settled, is a dead letter with the reason", function()
  local q <close>, options = open { ack_wait = 0.2, max_deliver = 2 }
  local client <close> = nats.connect(server.url)
  client:request("perilune." .. options.name, "{")
  q:send("lost")
  local reasons = {}
  local reader = peri.spawn(function()
    for letter in q:dead():iter() do
      reasons[letter.value] = letter.headers["Perilune-Reason"]
      letter:ack()
    end
  end)
  local receiver = peri.spawn(function()
    for _ in q:iter() do end
  end)
  wait_until(function() return reasons["{"] and reasons.lost end)
  equal(reasons["{"]:match("^no JSON: .*"), reasons["{"])
  equal(reasons.lost, "delivered 2 times, and never settled")
  wait_until(function() return is_empty(q) end)
  receiver:cancel()
  reader:cancel()
  receiver:join()
  reader:join()
end)

local worker_script = [[
local peri = require "perilune"
local queue = require "perilune.queue"
local q <close> = queue.open { name = arg[1], url = arg[2], ack_wait = 0.5 }
q:work(function(value)
  io.write(value, "\n")
  io.flush()
  peri.sleep(1000)
end, { limit = 2 })
]]

case("a worker that is killed: its messages go to another", function()
  local q <close>, options = open { ack_wait = 0.5 }
  local script = fs.temp_file()
  fs.write(script, worker_script)
  local program = os.getenv "PERILUNE" or root .. "/build/release/perilune"
  local worker <close> = process.spawn { argv = { program, "run", script, options.name, server.url } }
  q:send("one")
  q:send("two")
  local held = { worker.stdout:read(), worker.stdout:read() }
  table.sort(held)
  same(held, { "one", "two" })
  worker:signal("KILL")
  worker:wait()
  local got = {}
  for i = 1, 2 do
    local message = q:recv()
    got[i] = message.value
    equal(message.deliveries, 2)
    message:ack()
  end
  table.sort(got)
  same(got, held)
  equal(is_empty(q), true)
  fs.remove(script)
end)

case("a server that is killed in the middle: nothing is lost, and what counts counts once", function()
  local own <close> = nats_server.start()
  local q <close> = queue.open { name = "work", url = own.url, ack_wait = 1, max_deliver = 100,
                                 connect = { on_error = function() end, backoff = { first = 0.02, max = 0.2 } } }
  local database <close> = require("perilune.db").open(":memory:")
  local ledger = queue.ledger(database)
  local counted, count, total = {}, 0, 300
  local sender = peri.spawn(function()
    for n = 1, total do q:send(n, { id = "n" .. n }) end
  end)
  local worker = peri.spawn(q.work, q, function(_, message)
    local ok, why = ledger:once(message, function(value)
      peri.sleep(0.001)
      return value
    end)
    if ok and not counted[message.value] then
      counted[message.value] = true
      count = count + 1
    elseif not ok then
      equal(why, "stale")
    end
  end, { limit = 8, on_error = print })
  for _ = 1, 2 do
    peri.sleep(0.05)
    own:kill()
    peri.sleep(0.05)
    own:start()
  end
  sender:await()
  wait_until(function() return count == total and is_empty(q) end)
  equal(database:query("SELECT COUNT(*) AS n FROM perilune_ledger WHERE counted IS NOT NULL")[1].n, total)
  worker:cancel()
  worker:join()
  equal(q:stats().dead, 0)
end)

case("what a server has forgotten to deliver is sent anew, under its id", function()
  local q <close>, options = open()
  q:send("a", { id = "one" })
  q:send("b", { headers = { Word = "w" } })
  local client <close> = nats.connect(server.url)
  local consumer = ("perilune-%s.workers"):format(options.name)
  client:request("$JS.API.CONSUMER.DELETE." .. consumer)
  client:request("$JS.API.CONSUMER.DURABLE.CREATE." .. consumer, json.encode { stream_name = "perilune-" .. options.name, config = {
    durable_name = "workers", deliver_policy = "all", ack_policy = "explicit", ack_wait = 100000000, max_deliver = 1 } })
  same({ q:recv().value, q:recv().value }, { "a", "b" })
  local first, second = q:recv(), q:recv()
  same({ first.value, first.id, first.sequence, second.value, second.headers.Word }, { "a", "one", 3, "b", "w" })
  first:ack()
  second:ack()
  local state = json.decode(client:request("$JS.API.STREAM.INFO.perilune-" .. options.name).data).state
  equal(state.messages, 0)
end)

case("random workers, errors, cancellations: every message is done or dead, and none is left", function()
  math.randomseed(os.time())
  local q <close> = open { ack_wait = 1, max_deliver = 4 }
  local total <const> = 120
  local done, dead = {}, {}
  local function handler(value, message)
    local luck = math.random(10)
    if luck == 1 then error("bad luck") end
    if luck == 2 then peri.sleep(0.02) end
    if luck == 3 then return message:nak() end
    done[value] = true
  end
  local letters = peri.spawn(function()
    for letter in q:dead():iter() do
      dead[letter.value] = true
      letter:ack()
    end
  end)
  local options = { limit = 4, backoff = 0.005, on_error = function() end }
  local workers = {}
  for i = 1, 3 do workers[i] = peri.spawn(q.work, q, handler, options) end
  for n = 1, total do
    q:send(n)
    if n % 10 == 0 then
      local i = math.random(#workers)
      workers[i]:cancel()
      workers[i]:join()
      workers[i] = peri.spawn(q.work, q, handler, options)
    end
  end
  wait_until(function() return is_empty(q) and q:stats().dead == 0 end)
  for n = 1, total do equal(done[n] or dead[n], true) end
  for _, task in ipairs { letters, table.unpack(workers) } do
    task:cancel()
    task:join()
  end
end)

case("the largest message, also as a dead letter, and what others send that is larger", function()
  local q <close>, options = open { max_deliver = 1 }
  local largest = ("x"):rep((1 << 20) - 2048 - 294)
  q:send(largest, { id = ("i"):rep(256), headers = { Word = "w" } })
  local client <close> = nats.connect(server.url)
  client:request("perilune." .. options.name, ('"%s'):format(("y"):rep((1 << 20) - 1)))
  local letters = {}
  local worker = peri.spawn(q.work, q, function() error(("long reason "):rep(1000)) end, { on_error = function() end })
  for _ = 1, 2 do
    local letter = q:dead():recv()
    letters[letter.value:sub(1, 1) == "x" and "own" or "other"] = letter
    letter:ack()
  end
  same({ letters.own.value == largest, letters.own.headers.Word }, { true, "w" })
  equal(letters.other.headers["Perilune-Reason"]:match("^no JSON"), "no JSON")
  worker:cancel()
  worker:join()
end)

case("queues of one client share its connection, and end before it", function()
  local client <close> = nats.connect(server.url)
  local one = open { client = client }
  local two = open { client = client }
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
  local _ <close>, options = open()
  options.storage = "memory"
  local ok, e = pcall(queue.open, options)
  same({ ok, e.kind, e.code }, { false, "io", "EIO" })
  equal(tostring(e):find("other options", 1, true) ~= nil, true)
end)

case("misuse is told at the caller's line", function()
  local q <close> = open()
  misuse("bad argument #1 to 'send' (a value expected, got nil)", function() q:send() end)
  misuse("bad argument #1 to 'send'", function() q:send(print) end)
  misuse("bad option 'id' to 'send'", function() q:send(1, { id = 3 }) end)
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
