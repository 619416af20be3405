-- Two processes share the work of a queue, and one of them is killed in the middle: perilune run shared_work.lua [nats://HOST]
--
-- Needs nats-server; without a URL it starts one of its own. Each order is delivered at least once, and is counted in a database that
-- both processes have open; so in the end each has been counted once, whoever has done it.
local peri = require "perilune"
local fs, process, queue = peri.fs, peri.process, peri.queue

local orders <const> = 40

local function open(url) return queue.open { name = "orders", url = url, ack_wait = 1, connect = { on_error = print } } end

-- A worker: this file, started with its part, the server and the database.
local function work(url, path)
  local db <close> = peri.db.open(path)
  local q <close> = open(url)
  local ledger = queue.ledger(db)
  print("ready")
  io.flush()
  q:work(function(_, message)
    ledger:once(message, function(order)
      peri.sleep(0.02)
      return { order = order, total = order * 10 }
    end)
  end, { limit = 4 })
end

local function counted(db)
  return db:query("SELECT COUNT(*) AS n, SUM(json_extract(result, '$.total')) AS total FROM perilune_ledger WHERE counted IS NOT NULL")[1]
end

-- The server of this example's own, on a port that nobody has.
local function start_server(folder)
  local listener = peri.net.tcp_listen(0)
  local port = listener.port
  listener:close()
  local server = process.spawn { argv = { "nats-server", "-js", "-sd", folder, "-a", "127.0.0.1", "-p", tostring(port) }, stdout = "null",
                                 stderr = "null" }
  peri.retry({ attempts = 100, backoff = { 0.05, 0.1 } }, function() peri.nats.connect("nats://127.0.0.1:" .. port):close() end)
  return server, "nats://127.0.0.1:" .. port
end

local function start_worker(url, path)
  local worker = process.spawn { argv = { "/proc/self/exe", "run", arg[0], "work", url, path } }
  assert(worker.stdout:read() == "ready")
  return worker
end

local function share(url, folder)
  local path = folder .. "/orders.db"
  local db <close> = peri.db.open(path)
  queue.ledger(db) -- makes its table
  local q <close> = open(url)
  local first <close> = start_worker(url, path)
  local second <close> = start_worker(url, path)
  for order = 1, orders do q:send(order, { id = "order-" .. order }) end
  while counted(db).n < 5 do peri.sleep(0.01) end
  first:kill(0)
  print("one worker was killed")
  while counted(db).n < orders do peri.sleep(0.01) end
  print(("%d orders, counted %d times, %d in all"):format(orders, counted(db).n, counted(db).total))
  while q:stats().messages > 0 do peri.sleep(0.01) end
  print("the queue is empty, dead letters: " .. q:stats().dead)
  second:kill()
  q:destroy()
end

if arg[1] == "work" then return work(arg[2], arg[3]) end

local folder = fs.temp_dir()
local _ <close> = peri.defer(function() fs.remove(folder, { recursive = true }) end)
if arg[1] then return share(arg[1], folder) end
local server <close>, url = start_server(folder)
share(url, folder)
