-- perilune.net: streams over TCP and over the sockets of the file system, listeners, datagrams, names. Failures raise kind "io"
-- with `code` ("ECONNREFUSED"). A stream reads and writes as the pipes of a process do.
--
-- An address is given as host and port, as "host:port" ("[::1]:80"), as {host =, port =}, or, to listen, as a port alone, which
-- is one of this machine's own.
local peri = require "perilune"
local native = require "perilune.native.net"
local check_options = require("perilune.options").check

local error, pcall, tostring, type = error, pcall, tostring, type
local math_type, huge = math.type, math.huge

local net = {}

local function bad_address(call, position, expected, value, level)
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(position, call, expected, tostring(value)), level or 4)
end

local function check_port(call, position, port)
  local number = type(port) == "string" and port:match("^%d+$") and tonumber(port) or port
  if math_type(number) ~= "integer" or number < 0 or number > 65535 then
    bad_address(call, position, "a port from 0 to 65535", port, 5)
  end
  return number
end

-- Reads an address: host, port, and what stands behind it.
local function read_address(call, own, host, port, ...)
  if type(host) == "table" then
    if type(host.host) ~= "string" then bad_address(call, 1, "{host =, port =}", host.host) end
    return host.host, check_port(call, 1, host.port), port
  end
  if own and math_type(host) == "integer" then return "127.0.0.1", check_port(call, 1, host), port end
  if type(host) ~= "string" then bad_address(call, 1, "a host", host == nil and "nil" or type(host)) end
  if port == nil or type(port) == "table" then
    local name, digits = host:match("^%[(.*)%]:(%d+)$")
    if not name then name, digits = host:match("^([^:]*):(%d+)$") end
    if not name then bad_address(call, 2, "a port", port == nil and "nil" or "table") end
    if name == "" then name = own and "0.0.0.0" or "127.0.0.1" end
    return name, check_port(call, 1, digits), port
  end
  return host, check_port(call, 2, port), (...)
end

local connect_kinds <const> = { timeout = "seconds" }
local listen_kinds <const> = { backlog = "count" }

local function check_path(call, path)
  if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
    error(("bad argument #1 to '%s' (a path expected, got %s)"):format(call, type(path)), 3)
  end
end

local function connect(timeout, ...)
  if timeout and timeout < huge then return peri.timeout(timeout, native.connect, ...) end
  return native.connect(...)
end

-- An address that listens or sends is numeric.
local function numeric(host)
  if native.is_numeric(host) then return host end
  return native.resolve(host)[1]
end

function net.tcp_connect(...)
  local host, port, options = read_address("tcp_connect", false, ...)
  options = check_options(options, "tcp_connect", 3, connect_kinds, 2)
  return connect(options.timeout, host, port, false)
end

-- The operation connects anew at each use.
function net.connect_op(...)
  local host, port = read_address("connect_op", false, ...)
  return native.connect_op(host, port, false)
end
net.tcp_connect_op = net.connect_op

function net.tcp_listen(...)
  local host, port, options = read_address("tcp_listen", true, ...)
  options = check_options(options, "tcp_listen", 3, listen_kinds, 2)
  return native.listen(numeric(host), port, false, options.backlog or 1024)
end

function net.unix_connect(path, options)
  check_path("unix_connect", path)
  options = check_options(options, "unix_connect", 2, connect_kinds, 2)
  return connect(options.timeout, path, 0, true)
end

function net.unix_connect_op(path)
  check_path("unix_connect_op", path)
  return native.connect_op(path, 0, true)
end

-- A socket file that nobody listens at any more is replaced; one in use raises EADDRINUSE.
function net.unix_listen(path, options)
  check_path("unix_listen", path)
  options = check_options(options, "unix_listen", 2, listen_kinds, 2)
  local backlog = options.backlog or 1024
  local ok, made = pcall(native.listen, path, 0, true, backlog)
  if ok then return made end
  if made.code ~= "EADDRINUSE" or require("perilune.fs").stat(path).type ~= "socket" then error(made, 0) end
  local alive, other = pcall(native.connect, path, 0, true)
  if alive then
    other:close()
    error(made, 0)
  end
  require("perilune.fs").remove(path)
  return native.listen(path, 0, true, backlog)
end

-- Without an address: one of the system's choice, for whoever only asks.
function net.udp(...)
  if ... == nil then return native.udp("0.0.0.0", 0, false) end
  local host, port = read_address("udp", true, ...)
  return native.udp(numeric(host), port, false)
end

-- The addresses of a name, as text, best first.
function net.resolve(name)
  if type(name) ~= "string" or name == "" or name:find("\0", 1, true) then
    error(("bad argument #1 to 'resolve' (a name expected, got %s)"):format(type(name)), 2)
  end
  return native.resolve(name)
end

return net
