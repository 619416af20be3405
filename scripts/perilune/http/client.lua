-- The client of perilune.http: one request on a connection of its own; redirects are followed. Any status is a result; what fails
-- on the way raises.
local peri = require "perilune"
local net = require "perilune.net"
local message = require "perilune.http.message"

local error, ipairs, pcall, tostring, type = error, ipairs, pcall, tostring, type

local default_ports = { http = 80, https = 443 }

-- What a URL says, or nil and what is wrong with it. Nothing in it may end the request's first line.
local function split_url(url)
  if url:find("[%c ]") then return nil, "no URL, it has a space or a control character: " .. message.quoted(url) end
  local scheme, authority, rest = url:match("^(%a[%w+.-]*)://([^/?#]*)([^#]*)")
  if not scheme then return nil, "no URL: " .. url end
  scheme = scheme:lower()
  if not default_ports[scheme] then return nil, "unknown scheme '" .. scheme .. "': " .. url end
  if scheme == "https" and not pcall(require, "perilune.tls") then
    return nil, "https needs perilune.tls, which this build lacks (OpenSSL was not there): " .. url
  end
  authority = authority:match("([^@]*)$")
  local host, port = authority:match("^%[(.*)%]:?(%d*)$")
  if not host then host, port = authority:match("^([^:]*):?(%d*)$") end
  if not host or host == "" then return nil, "no host: " .. url end
  if rest:sub(1, 1) ~= "/" then rest = "/" .. rest end
  port = port ~= "" and tonumber(port) or default_ports[scheme]
  if port > 65535 then return nil, "no port from 0 to 65535: " .. url end
  return { scheme = scheme, host = host, port = port, authority = authority, target = rest, url = url }
end

-- The URL that a location means, seen from another.
local function relative(url, location)
  location = location:gsub(" ", "%%20")
  if location:match("^%a[%w+.-]*://") then return location end
  local base = url.scheme .. "://" .. url.authority
  if location:sub(1, 2) == "//" then return url.scheme .. ":" .. location end
  if location:sub(1, 1) == "/" then return base .. location end
  return base .. url.target:gsub("%?.*", ""):gsub("[^/]*$", "") .. location
end

local function read_response(stream, method)
  while true do
    local first, fields = message.read_head(stream)
    if not first then message.refuse(502, "the server closed the connection without a response") end
    local version, status, reason = first:match("^HTTP/(%d%.%d) (%d%d%d) ?(.*)$")
    if not version then message.refuse(502, "no status line: " .. first:sub(1, 60)) end
    status = tonumber(status)
    if status >= 200 then
      local bodiless = method == "HEAD" or status == 204 or status == 304
      local body = message.body(stream, bodiless and message.fields() or fields, not bodiless)
      return { status = status, reason = reason, headers = fields, version = version, ok = status < 300 }, body
    end
  end
end

local function connect(request, url)
  if url.scheme == "http" then return net.tcp_connect(url.host, url.port) end
  return require("perilune.tls").connect(url.host, url.port, request.tls or {})
end

local function exchange(request, url, streams)
  local stream = connect(request, url)
  local guard <close> = peri.defer(function() if stream then stream:close() end end)
  local fields = message.fields(request.headers)
  fields.host = fields.host or url.authority
  fields["user-agent"] = fields["user-agent"] or "perilune"
  fields.accept = fields.accept or "*/*"
  fields.connection = "close"
  message.measure(fields, request.body, request.method ~= "GET" and request.method ~= "HEAD")
  message.write(stream, ("%s %s HTTP/1.1"):format(request.method, url.target), fields, request.body)
  local response, body = read_response(stream, request.method)
  response.url = url.url
  if not streams then
    response.body = body:read_all(request.body_limit)
    return response
  end
  local opened = stream
  stream = nil
  body.on_end = function() opened:close() end
  body.on_close = body.on_end
  response.stream = body
  return response
end

local redirects = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

-- Returns the response, or nil and what is wrong with the URL.
return function(request)
  local url, problem = split_url(request.url)
  if not url then return nil, problem end
  for _ = 0, request.redirects or 5 do
    local ok, response = pcall(exchange, request, url, request.stream)
    if not ok and message.is_problem(response) then error(("%s %s: %s"):format(request.method, url.url, response.text), 0) end
    if not ok then error(response, 0) end
    local location = redirects[response.status] and request.redirects ~= 0 and response.headers.location
    if not location then return response end
    if response.stream then response.stream:close() end
    if response.status == 303 or response.status < 303 and request.method == "POST" then request.method, request.body = "GET", nil end
    url, problem = split_url(relative(url, location))
    if not url then error(problem, 0) end
  end
  error(("%s: too many redirects"):format(request.url), 0)
end
