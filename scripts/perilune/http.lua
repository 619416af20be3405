-- perilune.http: HTTP/1.1 in Lua on perilune.net and perilune.tls: a client, and a server for small services.
local peri = require "perilune"
local net = require "perilune.net"
local checks = require "perilune.options"
local raise_on_behalf = require "perilune.on_behalf"
local message = require "perilune.http.message"

local error, pairs, pcall, tostring, type = error, pairs, pcall, tostring, type

local http = {}

local request_kinds <const> = { url = "any", method = "string", headers = "table", body = "any", timeout = "seconds", stream = "any",
                                redirects = "number", body_limit = "any", tls = "any" }
local serve_kinds <const> = { body_limit = "any", idle_timeout = "any", tls = "any" }

-- The option tls of a call as what tls.wrap takes; `level` is that of the script's call.
local function read_tls(call, given, server, level)
  if given == nil then return nil end
  if type(given) == "userdata" then return { context = given } end
  if type(given) ~= "table" then
    error(("bad option 'tls' to '%s' (a table of options or a context expected, got %s)"):format(call, type(given)), level + 1)
  end
  local options = { server = server }
  for name, value in pairs(given) do options[name] = value end
  local ok, context = pcall(require("perilune.tls").context, options)
  if not ok then raise_on_behalf(context, "context", call, level + 1) end
  return { context = context }
end

-- What would not stand in the head of a request as it is meant.
local function check_head(call, request, level)
  if request.method and not message.is_token(request.method) then
    error(("bad option 'method' to '%s' (%s is no method)"):format(call, message.quoted(request.method)), level + 1)
  end
  for name in pairs(request.headers or {}) do
    if type(name) ~= "string" or not message.is_token(name) then
      error(("bad option 'headers' to '%s' (%s is no name of a header field)"):format(call, message.quoted(tostring(name))), level + 1)
    end
  end
end

-- A request from a URL or a table; `level` is that of the script's call.
local function read_request(call, url, options)
  if type(url) == "table" then options = url end
  local request = {}
  for name, value in pairs(checks.check(options, call, call == "post" and 3 or 2, request_kinds, 3)) do request[name] = value end
  if type(url) == "string" then request.url = url end
  if type(request.url) ~= "string" then
    error(("bad argument #1 to '%s' (a URL expected, got %s)"):format(call, type(request.url)), 3)
  end
  if type(request.body) == "number" then request.body = tostring(request.body) end
  if request.body ~= nil and type(request.body) ~= "string" and type(request.body) ~= "function" then
    error(("bad option 'body' to '%s' (a string or a function that gives pieces expected, got %s)"):format(call, type(request.body)), 3)
  end
  check_head(call, request, 3)
  request.tls = read_tls(call, request.tls, false, 3)
  return request
end

local function perform(request)
  local carry_out = require "perilune.http.client"
  local response, problem
  if request.timeout then
    response, problem = peri.timeout(request.timeout, carry_out, request)
  else
    response, problem = carry_out(request)
  end
  if not response then error(problem, 3) end
  return response
end

-- request{url =, method = "GET", headers =, body =, timeout =, stream = false, redirects = 5} -> {status, headers, body or stream}
function http.request(url, options)
  local request = read_request("request", url, options)
  request.method = (request.method or (request.body and "POST" or "GET")):upper()
  local response = perform(request)
  return response
end

function http.get(url, options)
  local request = read_request("get", url, options)
  request.method = "GET"
  local response = perform(request)
  return response
end

-- post(url, body [, options]) or post{url =, body =, ...}
function http.post(url, body, options)
  if type(body) == "table" then options, body = body, nil end
  local request = read_request("post", url, options)
  request.method, request.body = "POST", body or request.body
  local response = perform(request)
  return response
end

-- serve(address, handler [, options]): handler(request) returns a body, a status with body and headers, or a table of these.
function http.serve(address, handler, options)
  if type(handler) ~= "function" then
    error(("bad argument #2 to 'serve' (a function expected, got %s)"):format(type(handler)), 2)
  end
  options = checks.check(options, "serve", 3, serve_kinds, 2)
  local secure = read_tls("serve", options.tls, true, 2)
  if type(address) == "string" and address:match("^%d+$") then address = math.tointeger(tonumber(address)) end
  local ok, listener = pcall(net.tcp_listen, address)
  if not ok then raise_on_behalf(listener, "tcp_listen", "serve", 2) end
  return require("perilune.http.server")(listener, handler, options, secure)
end

return http
