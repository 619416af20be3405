-- One connection to a server of NATS: made, with hands shaken and TLS where it is asked for, then read until it ends. It knows nothing
-- of what came before or comes after it; perilune.nats.client does.
local net = require "perilune.net"
local peri = require "perilune"
local problem = require "perilune.nats.problem"
local protocol = require "perilune.nats.protocol"

local error, pairs, pcall, require, tonumber = error, pairs, pcall, require, tonumber

local connection = {}

local default_port <const> = 4222

-- host, port, and who asks, as a URL says: nats://user:password@host:port, tls://token@host.
function connection.read_url(url)
  local scheme, rest = url:match("^(%a+)://([^/]+)/?$")
  if not scheme then scheme, rest = "nats", url end
  scheme = scheme:lower()
  if scheme ~= "nats" and scheme ~= "tls" then return nil, ("nats:// or tls:// expected, got %s://"):format(scheme) end
  local asker, address = rest:match("^(.*)@([^@]*)$")
  local host, port = (address or rest):match("^%[(.*)%]:?(%d*)$")
  if not host then host, port = (address or rest):match("^([^:/%s]*):?(%d*)$") end
  if not host or host == "" then return nil, "no host in the URL" end
  port = port == "" and default_port or tonumber(port)
  if port < 1 or port > 65535 then return nil, "a port from 1 to 65535 expected" end
  local server = { host = host, port = port, tls = scheme == "tls", name = ("%s://%s:%d"):format(scheme, host, port) }
  if asker then
    local function plain(text) return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)) end
    local user, password = asker:match("^([^:]*):(.*)$")
    if user then server.user, server.password = plain(user), plain(password) else server.token = plain(asker) end
  end
  return server
end

-- What a refusal of the server means for who reads the code of the error.
local function refusal(server, text)
  local closed = text:lower():find("auth", 1, true) and "EACCES" or "EIO"
  return problem(closed, ("nats: %s refuses: %s"):format(server.name, text))
end

local function ended(server) return problem("ECONNRESET", ("nats: %s closed the connection"):format(server.name)) end

local function expect(stream, server, wanted)
  while true do
    local name, what = protocol.read(stream)
    if not name then error(ended(server), 0) end
    if name == "-ERR" then error(refusal(server, what), 0) end
    if name == "PING" then stream:write("PONG\r\n") end
    if name == wanted then return what end
    if wanted == "INFO" then error(problem("EPROTO", ("nats: %s is no server of NATS: it says %s first"):format(server.name, name)), 0) end
  end
end

local function secure(stream, server, options)
  local ok, tls = pcall(require, "perilune.tls")
  if not ok then error(problem("EPROTO", "nats: TLS is wanted, which this build lacks (OpenSSL was not there)"), 0) end
  local wrap = { host = server.host }
  for name, value in pairs(options.tls or {}) do wrap[name] = value end
  tls.wrap(stream, wrap)
end

local function shake_hands(stream, server, options)
  local info = expect(stream, server, "INFO")
  if server.tls or info.tls_required then secure(stream, server, options) end
  stream:write(protocol.connect {
    verbose = false, pedantic = false, lang = "lua", version = "1", protocol = 1, headers = true, no_responders = true, echo = true,
    tls_required = server.tls or info.tls_required or false, name = options.name,
    user = options.user or server.user, pass = options.password or server.password, auth_token = options.token or server.token,
  }, "PING\r\n")
  expect(stream, server, "PONG")
  return info
end

local function open(server, options)
  local stream = net.tcp_connect(server.host, server.port)
  local made = false
  local _ <close> = peri.defer(function()
    if not made then stream:close() end
  end)
  local info = shake_hands(stream, server, options)
  made = true
  return stream, info
end

-- A stream on which the server listens, and what it says of itself. Raises kind "io".
function connection.open(server, options)
  local in_time, stream, info = peri.try_timeout(options.timeout, open, server, options)
  if not in_time then error(problem("ETIMEDOUT", ("nats: %s does not answer"):format(server.name)), 0) end
  return stream, info
end

-- Asks for a sign of life once in a while; a connection that gives none is closed, which ends its reading.
local function keep_alive(stream, life, interval, events)
  while true do
    peri.sleep(interval)
    events.pinged()
    if life.unanswered >= 2 or not pcall(stream.write, stream, "PING\r\n") then
      stream:close()
      return
    end
    life.unanswered = life.unanswered + 1
  end
end

local function read_all(stream, server, life, events)
  local refused
  while true do
    local name, what = protocol.read(stream)
    if not name then return refused and refusal(server, refused) or ended(server) end
    life.unanswered = 0
    if name == "PING" then
      stream:write("PONG\r\n")
    elseif name == "-ERR" then
      refused = what
      events.refusal(refusal(server, what))
    elseif events[name] then
      events[name](what)
    end
  end
end

-- Reads until the connection ends, and returns why. `events`: MSG(message), HMSG(message), PONG(), pinged(), INFO(info),
-- refusal(problem). The stream stays open for who has something left to say.
function connection.serve(stream, server, interval, events)
  local life = { unanswered = 0 }
  local watch = peri.spawn({ name = "nats pings", daemon = true }, keep_alive, stream, life, interval, events)
  local _ <close> = peri.defer(function()
    watch:cancel("the connection ended")
    watch:join()
  end)
  local ok, why = pcall(read_all, stream, server, life, events)
  if not ok and not peri.is_error(why, "io") then error(why, 0) end
  return why
end

return connection
