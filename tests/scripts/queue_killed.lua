-- real clock
-- perilune.queue where everybody may die at any moment: workers are processes that are killed and started again, the server is killed
-- too; what each message has been counted as stands in a database, once.
local peri = require "perilune"
local root = arg[0]:match("^(.*)/tests/") or "."
local check = dofile(root .. "/tests/support/check.lua")
local nats_server = dofile(root .. "/tests/support/nats_server.lua")
local case <close> = check.cases()
local equal = check.equal

local db = require "perilune.db"
local fs = require "perilune.fs"
local process = require "perilune.process"
local queue = require "perilune.queue"

local program <const> = os.getenv "PERILUNE" or root .. "/build/release/perilune"
local total <const> = 150

-- A handler that writes before it counts: what was written more than once was run more than once.
local worker_script <const> = [[
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

local function start_worker(script, url, path)
  local worker = process.spawn { argv = { program, "run", script, url, path } }
  equal(worker.stdout:read(), "ready")
  return worker
end

-- Kills one worker after the other, now and then the server, until all is counted.
local function torment(server, start, over)
  local workers = { start(), start(), start() }
  local _ <close> = peri.defer(function()
    for _, worker in ipairs(workers) do worker:kill(0) end
  end)
  for round = 1, 1200 do
    if over() then return end
    peri.sleep(0.05 + math.random() * 0.1)
    if round > 12 then goto continue end
    if round % 5 == 0 then
      server:kill()
      server:start()
    end
    local victim = math.random(#workers)
    workers[victim]:kill(0)
    workers[victim] = start()
    ::continue::
  end
  error("it does not come to an end", 0)
end

case("workers and the server are killed again and again: every message counts, and counts once", function()
  local seed = os.time()
  math.randomseed(seed)
  local server <close> = nats_server.start()
  local folder = fs.temp_dir()
  local _ <close> = peri.defer(function() fs.remove(folder, { recursive = true }) end)
  local script, path = folder .. "/worker.lua", folder .. "/ledger.db"
  fs.write(script, worker_script)
  local database <close> = db.open(path)
  queue.ledger(database)
  database:exec("CREATE TABLE runs (id TEXT)")
  local q <close> = queue.open { name = "deaths", url = server.url, ack_wait = 1, max_deliver = 1000,
                                 connect = { on_error = function() end, backoff = { first = 0.02, max = 0.2 } } }
  local sender = peri.spawn(function()
    for n = 1, total do q:send(n, { id = "n" .. n }) end
  end)
  local function counted() return database:query("SELECT COUNT(*) AS n, SUM(result) AS sum FROM perilune_ledger WHERE counted IS NOT NULL")[1] end
  torment(server, function() return start_worker(script, server.url, path) end, function()
    return sender:status() == "returned" and counted().n == total and q:stats().messages == 0
  end)
  sender:await()
  equal(counted().n, total)
  equal(counted().sum, total * (total + 1))
  equal(database:query("SELECT COUNT(DISTINCT id) AS n FROM runs")[1].n, total)
  equal(q:stats().dead, 0)
end)
