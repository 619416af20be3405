-- perilune.http: HTTP/1.1 in Lua on perilune.net: a client for http:// URLs, and a server for small services.
local peri = require "perilune"
local net = require "perilune.net"
local option_checks = require "perilune.native.options"

local error, pcall, tostring, type = error, pcall, tostring, type

local http = {}

local request_names = { "url", "method", "headers", "body", "timeout", "stream", "redirects", "body_limit" }

local function check_types(options, call, known)
  for name, kind in pairs(known) do
    local value = options[name]
    if value ~= nil and type(value) ~= kind then
      error(("bad option '%s' to '%s' (a %s expected, got %s)"):format(name, call, kind, type(value)), 4)
    end
  end
end

-- A request from a URL or a table; `level` is that of the script's call.
local function read_request(call, url, options)
  if type(url) == "table" then options = url end
  local problem = options ~= nil and type(options) ~= "table" and ("a table of options expected, got " .. type(options))
    or options and option_checks.problem(options, call, request_names)
  if problem then error(("bad argument to '%s' (%s)"):format(call, problem), 3) end
  local request = {}
  for name, value in pairs(options or {}) do request[name] = value end
  if type(url) == "string" then request.url = url end
  if type(request.url) ~= "string" then
    error(("bad argument #1 to '%s' (a URL expected, got %s)"):format(call, type(request.url)), 3)
  end
  check_types(request, call, { method = "string", headers = "table", timeout = "number", redirects = "number" })
  if type(request.body) == "number" then request.body = tostring(request.body) end
  if request.body ~= nil and type(request.body) ~= "string" and type(request.body) ~= "function" then
    error(("bad option 'body' to '%s' (a string or a function that gives pieces expected, got %s)"):format(call, type(request.body)), 3)
  end
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
  options = options or {}
  if type(handler) ~= "function" then
    error(("bad argument #2 to 'serve' (a function expected, got %s)"):format(type(handler)), 2)
  end
  local problem = option_checks.problem(options, "serve", { "body_limit", "idle_timeout" })
  if problem then error(problem, 2) end
  if type(address) == "string" and address:match("^%d+$") then address = math.tointeger(tonumber(address)) end
  local ok, listener = pcall(net.tcp_listen, address)
  if not ok then
    if peri.is_error(listener) then error(listener, 0) end
    error(tostring(listener):gsub("'tcp_listen'", "'serve'"):gsub("^%S+:%d+: ", ""), 2)
  end
  return require("perilune.http.server")(listener, handler, options)
end

return http
