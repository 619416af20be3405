-- real clock
-- perilune.queue where everybody may die at any moment: workers are processes that are killed, and started again; the server is killed
-- too. What each message has been counted as stands in a database, once.
local peri = require "perilune"
local root = arg[0]:match("^(.*)/tests/") or "."
local check = dofile(root .. "/tests/support/check.lua")
local nats_server = dofile(root .. "/tests/support/nats_server.lua")
local case <close> = check.cases(240)
local equal, same = check.equal, check.same
local is_empty = nats_server.is_empty

local db = require "perilune.db"
local fs = require "perilune.fs"
local json = require "perilune.json"
local nats = require "perilune.nats"
local process = require "perilune.process"
local queue = require "perilune.queue"

local server <close> = nats_server.start()

-- Starts a script of Lua text.
local function start(text, ...)
  local script = server.folder .. "/worker.lua"
  fs.write(script, text)
  return process.spawn { argv = { os.getenv "PERILUNE" or root .. "/build/release/perilune", "run", script, ... } }
end

local idle_worker <const> = [[
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
  local q <close>, options = server:queue { ack_wait = 0.5 }
  local worker <close> = start(idle_worker, options.name, server.url)
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
end)

case("a server that is killed in the middle: nothing is lost, and what counts counts once", function()
  local own <close> = nats_server.start()
  local q <close> = own:queue { ack_wait = 1, max_deliver = 100 }
  local database <close> = db.open(":memory:")
  local ledger = queue.ledger(database)
  local counted, count, refusals, total = {}, 0, {}, 300
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
      refusals[why] = true
    end
  end, { limit = 8, on_error = function() end })
  for _ = 1, 2 do
    peri.sleep(0.05)
    own:kill()
    peri.sleep(0.05)
    own:start()
  end
  sender:await()
  check.wait_until(function() return count == total and is_empty(q) end)
  equal(database:query("SELECT COUNT(*) AS n FROM perilune_ledger WHERE counted IS NOT NULL")[1].n, total)
  worker:cancel()
  worker:join()
  equal(q:stats().dead, 0)
  refusals.stale = nil
  equal(next(refusals), nil)
end)

case("what a server has forgotten to deliver is sent anew, under its id", function()
  local q <close>, options = server:queue()
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

local total <const> = 150

-- A handler that writes before it counts: what was written more than once was run more than once.
local counting_worker <const> = [[
local peri = require "perilune"
local queue = require "perilune.queue"
local function quiet() end
local database <close> = peri.db.open(arg[2])
local ledger = queue.ledger(database)
local q <close> = queue.open { name = "deaths", url = arg[1], ack_wait = 1, max_deliver = 1000,
                               connect = { on_error = quiet, backoff = { first = 0.02, max = 0.2 } } }
print("ready")
io.flush()
q:work(function(_, message)
  ledger:once(message, function(value)
    database:exec("INSERT INTO runs VALUES (?)", message.id)
    peri.sleep(0.01 * (value % 3))
    return value * 2
  end)
end, { limit = 3, backoff = 0.01 })
]]

local function start_worker(url, path)
  local worker = start(counting_worker, url, path)
  equal(worker.stdout:read(), "ready")
  return worker
end

-- Kills one worker after the other, now and then the server, until all is counted.
local function torment(own, start_one, over)
  local workers = { start_one(), start_one(), start_one() }
  local _ <close> = peri.defer(function()
    for _, worker in ipairs(workers) do worker:kill(0) end
  end)
  for round = 1, 1200 do
    if over() then return end
    peri.sleep(0.05 + math.random() * 0.1)
    if round > 12 then goto continue end
    if round % 5 == 0 then
      own:kill()
      own:start()
    end
    local victim = math.random(#workers)
    workers[victim]:kill(0)
    workers[victim] = start_one()
    ::continue::
  end
  error("it does not come to an end", 0)
end

case("workers and the server are killed again and again: every message counts, and counts once", function()
  math.randomseed(os.time())
  local own <close> = nats_server.start()
  local path = own.folder .. "/ledger.db"
  local database <close> = db.open(path)
  queue.ledger(database)
  database:exec("CREATE TABLE runs (id TEXT)")
  local q <close> = own:queue { name = "deaths", ack_wait = 1, max_deliver = 1000 }
  local sender = peri.spawn(function()
    for n = 1, total do q:send(n, { id = "n" .. n }) end
  end)
  local function counted() return database:query("SELECT COUNT(*) AS n, SUM(result) AS sum FROM perilune_ledger WHERE counted IS NOT NULL")[1] end
  torment(own, function() return start_worker(own.url, path) end, function()
    return sender:status() == "returned" and counted().n == total and q:stats().messages == 0
  end)
  sender:await()
  equal(counted().n, total)
  equal(counted().sum, total * (total + 1))
  equal(database:query("SELECT COUNT(DISTINCT id) AS n FROM runs")[1].n, total)
  equal(q:stats().dead, 0)
end)
