-- A real nats-server for tests, on a port and in a folder of its own: `local server <close> = nats_server.start()`, `server.url`,
-- `server:kill()` (SIGKILL), `server:start()` again, on the same port with what it had stored; `server:queue()` for a queue on it. Where
-- the program is not installed the test is skipped; scripts/setup.sh installs it for tests.
local peri = require "perilune"
local fs = require "perilune.fs"
local net = require "perilune.net"
local process = require "perilune.process"

local nats_server = {}
local server = {}
server.__index = server

local function find()
  for folder in (os.getenv "PATH" .. ":/usr/sbin:/usr/local/sbin"):gmatch "[^:]+" do
    if fs.exists(folder .. "/nats-server") then return folder .. "/nats-server" end
  end
end

local function free_port()
  local listener <close> = net.tcp_listen(0)
  return listener.port
end

local function answers(port)
  local ok, stream = pcall(net.tcp_connect, "127.0.0.1", port)
  if not ok then return false end
  local _ <close> = stream
  local in_time, line = peri.try_timeout(1, pcall, stream.read, stream, "line")
  return in_time and line
end

function server:start()
  local argv = { find(), "-a", "127.0.0.1", "-p", tostring(self.port), "-sd", self.folder, "-js" }
  for _, word in ipairs(self.words) do argv[#argv + 1] = word end
  self.process = process.spawn { argv = argv, stdout = "null", stderr = "null", grace = 1 }
  for _ = 1, 500 do
    if answers(self.port) then return self end
    if peri.perform(peri.choose { self.process:wait_op(), peri.sleep_op(0.02) }) == 1 then return nil end
  end
  error("nats-server does not answer", 2)
end

function server:kill()
  self.process:signal("KILL")
  self.process:wait()
end

function server:__close()
  self.process:close()
  fs.remove(self.folder, { recursive = true })
end

-- Opens a queue with a name of its own; returns its options too. What goes wrong on the way to a dead server is not told here.
function server:queue(options)
  self.queues = self.queues + 1
  local all = { name = "q" .. self.queues, url = self.url, connect = { on_error = function() end, backoff = { first = 0.02, max = 0.2 } } }
  for name, value in pairs(options or {}) do all[name] = value end
  return require("perilune.queue").open(all), all
end

function nats_server.is_empty(queue)
  local stats = queue:stats()
  return stats.messages == 0 and stats.in_hand == 0
end

-- `words`: more arguments.
function nats_server.start(words)
  if not find() then
    io.stderr:write("nats-server is not installed\n")
    os.exit(77)
  end
  local self = setmetatable({ words = words or {}, folder = fs.temp_dir(), queues = 0 }, server)
  for _ = 1, 10 do -- somebody else may take the port meanwhile
    self.port = free_port()
    self.url = "nats://127.0.0.1:" .. self.port
    if self:start() then return self end
  end
  error("nats-server does not start", 2)
end

return nats_server
