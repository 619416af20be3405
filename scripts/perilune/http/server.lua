-- The server of perilune.http: a task for each connection, one request of it after the other. An error of the handler is
-- answered with 500 and told on standard error; the server goes on.
local peri = require "perilune"
local net = require "perilune.net"
local message = require "perilune.http.message"

local error, pairs, pcall, setmetatable, tostring, type = error, pairs, pcall, setmetatable, tostring, type
local math_type = math.type

local reasons = {
  [100] = "Continue", [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No Content", [206] = "Partial Content",
  [301] = "Moved Permanently", [302] = "Found", [303] = "See Other", [304] = "Not Modified", [307] = "Temporary Redirect",
  [308] = "Permanent Redirect", [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [409] = "Conflict", [410] = "Gone", [413] = "Content Too Large", [415] = "Unsupported Media Type",
  [422] = "Unprocessable Content", [429] = "Too Many Requests", [431] = "Request Header Fields Too Large",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable",
  [505] = "HTTP Version Not Supported",
}

local server = {}
server.__index = server
server.__name = "perilune.http_server"

-- Requests ----------------------------------------------------------------------------------------------------------

local function read_request(self, stream)
  local first, fields = message.read_head(stream)
  if not first then return nil end
  local method, target, version = first:match("^(%S+) (%S+) HTTP/(%d%.%d)$")
  if not method then message.refuse(400, "no request line") end
  if version ~= "1.1" and version ~= "1.0" then message.refuse(505, "HTTP/" .. version) end
  if version == "1.1" and not fields.host then message.refuse(400, "no host") end
  if (fields.expect or ""):lower() == "100-continue" then stream:write("HTTP/1.1 100 Continue\r\n\r\n") end
  local path, query = target:gsub("^%w+://[^/]*", ""):match("^([^?]*)%??(.*)$")
  local host, port = stream:peer()
  return {
    method = method, target = target, path = message.decode((path:gsub("%+", "%%2B"))), query = message.query(query),
    headers = fields, version = version, peer = { host = host, port = port },
    body = message.body(stream, fields):read_all(self.body_limit),
  }
end

-- Responses ---------------------------------------------------------------------------------------------------------

-- What a handler returned: a table, a body, or a status with body and fields.
local function read_response(first, second, third)
  if type(first) == "table" then return first.status or first[1] or 200, first.body or first[2], message.fields(first.headers) end
  if math_type(first) == "integer" then return first, second, message.fields(third) end
  if first == nil then return 204, nil, message.fields() end
  return 200, first, message.fields()
end

local function respond(stream, request, keeps, ...)
  local status, content, fields = read_response(...)
  if math_type(status) ~= "integer" or status < 100 or status > 999 then error("a status from 100 to 999 expected, got " .. tostring(status)) end
  if type(content) == "number" then content = tostring(content) end
  if content ~= nil and type(content) ~= "string" and type(content) ~= "function" then
    error("a body is a string or a function that gives pieces, got " .. type(content))
  end
  local bodiless = status < 200 or status == 204 or status == 304
  if not bodiless then message.measure(fields, content, true) end
  if content and not fields["content-type"] then fields["content-type"] = "text/plain; charset=utf-8" end
  fields.connection = not keeps and "close" or request.version == "1.0" and "keep-alive" or nil
  message.write(stream, ("HTTP/1.1 %d %s"):format(status, reasons[status] or "Status"), fields, content,
                bodiless or request.method == "HEAD")
end

local function answer_problem(stream, status, text)
  pcall(respond, stream, { version = "1.1", method = "GET" }, false, status, text .. "\n")
end

-- Connections -------------------------------------------------------------------------------------------------------

-- One request and its response. False when the connection is over.
local function serve_one(self, stream)
  local ok, in_time, request = pcall(peri.try_timeout, self.idle_timeout, read_request, self, stream)
  if not ok then
    if not message.is_problem(in_time) then return false end
    answer_problem(stream, in_time.status, in_time.text)
    return false
  end
  if not in_time or not request then return false end
  self.streams[stream] = "busy"
  local keeps = message.keeps(request.version, request.headers) and not self.closed
  local answers = table.pack(pcall(self.handler, request))
  if answers[1] then answers = table.pack(pcall(respond, stream, request, keeps, table.unpack(answers, 2, answers.n))) end
  self.streams[stream] = "idle"
  if answers[1] then return keeps and not self.closed end
  if peri.is_error(answers[2], "io") then return false end
  io.stderr:write("perilune.http: ", request.method, " ", request.path, ": ", tostring(answers[2]), "\n")
  answer_problem(stream, 500, "internal error")
  return false
end

local function serve_connection(self, stream)
  local _ <close> = stream
  self.streams[stream] = "idle"
  if self.secure and not pcall(peri.timeout, self.idle_timeout, require("perilune.tls").wrap, stream, self.secure) then
    self.streams[stream] = nil
    return
  end
  while serve_one(self, stream) do end
  self.streams[stream] = nil
end

local function accept_all(self)
  local _ <close> = self.listener
  peri.scope({ policy = "supervise" }, function(s)
    while not self.closed do
      local ok, stream = pcall(self.listener.accept, self.listener)
      if ok and not stream then return end
      if ok then s:spawn({ name = "http connection" }, serve_connection, self, stream) else peri.sleep(0.05) end
    end
  end)
end

-- Accepts no more. Requests under way are answered; connections that wait for one are closed. Waits for all of that.
function server:close()
  self.closed = true
  self.listener:close()
  for stream, state in pairs(self.streams) do
    if state == "idle" then stream:close() end
  end
  self.task:join()
end
server.__close = server.close

function server:wait() return self.task:join() end

-- Listens at an address (as net.tcp_listen takes it), and returns while a task of the caller's serves.
return function(listener, handler, options, secure)
  local self = setmetatable({
    listener = listener, handler = handler, secure = secure, streams = {}, closed = false, host = listener.host, port = listener.port,
    body_limit = options.body_limit or 16 << 20, idle_timeout = options.idle_timeout or 60,
  }, server)
  self.task = peri.spawn({ name = "http server" }, accept_all, self)
  return self
end
