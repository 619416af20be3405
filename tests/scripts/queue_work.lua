-- real clock
-- perilune.queue at work: what becomes of messages by what becomes of their handlers, and which become dead letters.
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

case("work: acknowledged on return, tried again on an error, dead after the last", function()
  local q <close> = server:queue { max_deliver = 3 }
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
  check.wait_until(function() return is_empty(q) end)
  worker:cancel()
  worker:join()
  same(letters, { bad = { "never any good", "1" }, hopeless = { "not this time", "3" }, self = { "by hand", "1" } })
  same(runs, { good = 1, later = 2, bad = 1, hopeless = 3, self = 1 })
  equal(#told, 5)
end)

case("work: a handler that takes longer than ack_wait keeps its message", function()
  local q <close> = server:queue { ack_wait = 1.5 }
  local runs = 0
  local worker = peri.spawn(q.work, q, function()
    runs = runs + 1
    peri.sleep(2.5)
  end, { limit = 2 })
  q:send("x")
  check.wait_until(function() return runs > 0 and is_empty(q) end)
  equal(runs, 1)
  worker:cancel()
  worker:join()
end)

case("work: a handler that is cancelled gives its message back at once", function()
  local q <close> = server:queue()
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
  local q = server:queue()
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

case("random workers, errors, cancellations: every message is done or dead, and none is left", function()
  math.randomseed(os.time())
  local q <close> = server:queue { ack_wait = 1, max_deliver = 4 }
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
  check.wait_until(function() return is_empty(q) and q:stats().dead == 0 end)
  for n = 1, total do equal(done[n] or dead[n], true) end
  for _, task in ipairs { letters, table.unpack(workers) } do
    task:cancel()
    task:join()
  end
end)

case("what is no JSON, and what was never settled, is a dead letter with the reason", function()
  local q <close>, options = server:queue { ack_wait = 0.2, max_deliver = 2 }
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
  check.wait_until(function() return reasons["{"] and reasons.lost end)
  equal(reasons["{"]:match("^no JSON: .*"), reasons["{"])
  equal(reasons.lost, "delivered 2 times, and never settled")
  check.wait_until(function() return is_empty(q) end)
  receiver:cancel()
  reader:cancel()
  receiver:join()
  reader:join()
end)

case("the largest message, also as a dead letter, and what others send that is larger", function()
  local q <close>, options = server:queue { max_deliver = 1 }
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
