-- A client of NATS: what outlives one connection. It has a task, which reads, and connects again when a connection ends; it belongs to
-- the task that opened it, as a daemon. Subscriptions and inboxes are told to each new connection; what is sent meanwhile waits. The
-- reader never waits for who receives: a subscription has room for a number of messages, and who is slower loses the oldest, exactly
-- counted.
--
-- state     a watch: "connected", "reconnecting", "closed"; `stream` is the connection of the day
-- handlers  by subscription: what is done with a message, in the reader, which must not wait
-- replies   by the last word of the inbox: a oneshot for who asked
-- pongs     a oneshot for each PING of flush, in their order
-- For perilune.queue: `joined` are called in the reader when there is a connection again, `leaving` before the last one is closed,
-- which waits for `holds`.
local backoff = require "perilune.backoff"
local checks = require "perilune.options"
local connection = require "perilune.nats.connection"
local peri = require "perilune"
local problem = require "perilune.nats.problem"
local protocol = require "perilune.nats.protocol"
local subscription = require "perilune.nats.subscription"
local unique = require "perilune.nats.unique"

local error, ipairs, math_type, pairs, pcall, setmetatable, tostring, type =
  error, ipairs, math.type, pairs, pcall, setmetatable, tostring, type

local client = {}
client.__index = client
client.__name = "perilune.nats_client"

local farewell <const> = 3 -- seconds for what is on its way when the client ends

-- Connections ---------------------------------------------------------------------------------------------------------

-- The connection of the day, or nil when there will be none any more.
local function await_stream(self)
  local stream = self.stream
  if stream then return stream end
  local receiver = self.state:subscribe()
  local _ <close> = receiver
  local state = receiver:wait_for(function(state) return state ~= "reconnecting" end)
  if state ~= "connected" then return nil end
  return self.stream or await_stream(self)
end

-- The connection is of no use any more; its reader, if it does not know yet, learns it.
local function lose(self, stream)
  if self.stream ~= stream then return end
  self.stream = nil
  self.state:set("reconnecting")
  stream:close()
end

-- Sends as a whole, as soon as there is a connection. nil, "closed" at the end.
local function write(self, ...)
  while true do
    local stream = await_stream(self)
    if not stream then return nil, "closed" end
    if pcall(stream.write, stream, ...) then return true end
    lose(self, stream)
  end
end

-- What stands in a table that other tasks change.
local function list_of(values)
  return peri.critical(function()
    local list = {}
    for _, value in pairs(values) do list[#list + 1] = value end
    return list
  end)
end

local function release_waiting(self)
  local replies, pongs = list_of(self.replies), list_of(self.pongs)
  self.replies, self.pongs = {}, {}
  for _, reply in ipairs(replies) do reply:close() end
  for _, pong in ipairs(pongs) do pong:close() end
end

-- A new connection learns what is subscribed to.
local function join(self, stream, info)
  local subs = peri.critical(function()
    self.info, self.stream = info, stream
    return list_of(self.handlers)
  end)
  for i, sub in ipairs(subs) do subs[i] = sub:line_() end
  stream:write(table.concat(subs))
  self.state:set("connected")
  for _, fn in ipairs(list_of(self.joined)) do fn() end
end

local function dispatch(self, message)
  local sub = self.handlers[message.sid]
  if sub then sub:deliver_(message) end
end

local function events_of(self)
  local function on_message(message) dispatch(self, message) end
  return {
    MSG = on_message, HMSG = on_message,
    INFO = function(info) self.info = info end,
    PONG = function()
      local pong = table.remove(self.pongs, 1)
      if pong then pong:send(true) end
    end,
    pinged = function() self.pongs[#self.pongs + 1] = peri.oneshot() end,
    refusal = function(why) self.report(why) end,
  }
end

-- Tries the servers one after the other, with pauses that grow.
local function reconnect(self, why)
  local told
  for failures = 1, math.huge do
    if tostring(why) ~= told then self.report(why) end
    told = tostring(why)
    if failures > self.options.attempts then error(why, 0) end
    peri.sleep(backoff.pause(self.options.backoff, failures))
    self.server = self.servers[(failures - 1) % #self.servers + 1]
    local ok, stream, info = pcall(connection.open, self.server, self.options)
    if ok then return stream, info end
    why = stream
  end
end

-- What is on its way goes out; then nobody waits for anything any more.
local function finish(self)
  pcall(peri.try_timeout, farewell, self.holds.wait, self.holds)
  for _, fn in ipairs(list_of(self.leaving)) do pcall(fn) end
  local stream = self.stream
  self.stream = nil
  if stream then
    pcall(peri.try_timeout, farewell, stream.flush, stream)
    stream:close()
  end
  self.state:set("closed")
  for _, sub in ipairs(list_of(self.handlers)) do sub:end_() end
  release_waiting(self)
end

local function run(self, stream, info)
  self.running = true
  local _ <close> = peri.defer(function() finish(self) end)
  while true do
    local why
    if pcall(join, self, stream, info) then
      why = connection.serve(stream, self.server, self.options.ping_interval, self.events)
    end
    lose(self, stream)
    release_waiting(self)
    self.reconnects = self.reconnects + 1
    stream, info = reconnect(self, why or problem("ECONNRESET", "nats: the connection was lost"))
  end
end

-- The task runs when this returns: one that was cancelled before would close nothing.
local function start(self, stream, info)
  local _ <close> = peri.defer(function()
    if not self.running then stream:close() end
  end)
  self.task = peri.spawn({ name = "nats", daemon = true }, run, self, stream, info)
  peri.yield()
end

-- A client that is connected, or the error of the last server that was tried.
function client.open_(servers, options)
  local failure
  for _, server in ipairs(servers) do
    local ok, stream, info = pcall(connection.open, server, options)
    if ok then
      local self = setmetatable({
        servers = servers, server = server, options = options, report = options.on_error, state = peri.watch("reconnecting"),
        handlers = {}, replies = {}, pongs = {}, joined = {}, leaving = {}, holds = peri.wait_group(), last_sid = 0, reconnects = 0,
      }, client)
      self.events = events_of(self)
      start(self, stream, info)
      return self
    end
    failure = stream
  end
  error(failure, 0)
end

-- Messages ------------------------------------------------------------------------------------------------------------

-- Sends as a whole, now or not at all: for what is of no use later.
local function write_now(self, ...)
  local stream = self.stream
  if not stream then return nil, self.state:get() == "closed" and "closed" or "disconnected" end
  if pcall(stream.write, stream, ...) then return true end
  lose(self, stream)
  return nil, "disconnected"
end

-- Reads what a script sends: its options, the data as text, and the head, which is nil without headers. `level` is that of the
-- script's call.
local function read_sending(self, call, subject, data, options, kinds, level)
  local wrong = protocol.subject_problem(subject)
  if wrong then error(("bad argument #1 to '%s' (%s)"):format(call, wrong), level + 1) end
  if type(data) == "number" then data = tostring(data) end
  if data == nil then data = "" end
  if type(data) ~= "string" then error(("bad argument #2 to '%s' (a string expected, got %s)"):format(call, type(data)), level + 1) end
  options = checks.check(options, call, 3, kinds, level + 1)
  local head
  if options.headers then
    head, wrong = protocol.head(options.headers)
    if not head then error(("bad option 'headers' to '%s' (%s)"):format(call, wrong), level + 1) end
  end
  local size, most = #data + (head and #head or 0), self.info.max_payload
  if math_type(most) == "integer" and size > most then
    error(("bad argument #2 to '%s' (at most %d bytes, which is what the server takes, got %d)"):format(call, most, size), level + 1)
  end
  return options, data, head
end

local function send(self, subject, reply, head, data)
  return write(self, protocol.publish(subject, reply, head, data), head or "", data, "\r\n")
end

-- For modules that have checked what they send: now, or nil and "disconnected" or "closed".
function client:say_(subject, reply, data)
  return write_now(self, protocol.publish(subject, reply, nil, data), data, "\r\n")
end

local publish_kinds <const> = { headers = "table", reply = "string" }

function client:publish(subject, data, options)
  local read, text, head = read_sending(self, "publish", subject, data, options, publish_kinds, 2)
  local wrong = read.reply and protocol.subject_problem(read.reply)
  if wrong then error(("bad option 'reply' to 'publish' (%s)"):format(wrong), 2) end
  return send(self, subject, read.reply, head, text)
end

local respond_kinds <const> = { headers = "table" }

-- Answers a message that was a request.
function client:respond(message, data, headers)
  if type(message) ~= "table" then error(("bad argument #1 to 'respond' (a message expected, got %s)"):format(type(message)), 2) end
  if not message.reply then error("bad argument #1 to 'respond' (nobody waits for an answer to this message)", 2) end
  local _, text, head = read_sending(self, "respond", message.reply, data, { headers = headers }, respond_kinds, 2)
  return send(self, message.reply, nil, head, text)
end

-- Subscriptions -------------------------------------------------------------------------------------------------------

-- What is to be done with messages of a subject: `made.deliver_` in the reader.
function client:attach_(made)
  peri.critical(function()
    self.last_sid = self.last_sid + 1
    made.sid, made.client = self.last_sid, self
  end)
  self.handlers[tostring(made.sid)] = made
  write_now(self, made:line_()) -- where that fails, the next connection is told
  if self.state:get() == "closed" then made:end_() end
  return made
end

-- Nothing more is sent to it; what is on its way still arrives.
function client:unsubscribe_(sub) return write_now(self, protocol.unsubscribe(sub.sid)) end

function client:detach_(sub)
  if not self.handlers[tostring(sub.sid)] then return end
  self.handlers[tostring(sub.sid)] = nil
  self:unsubscribe_(sub)
end

local subscribe_kinds <const> = { group = "string", capacity = "count", max = "count" }

function client:subscribe(subject, options)
  local wrong = protocol.subject_problem(subject, true)
  if wrong then error(("bad argument #1 to 'subscribe' (%s)"):format(wrong), 2) end
  options = checks.check(options, "subscribe", 2, subscribe_kinds, 2)
  wrong = options.group and protocol.subject_problem(options.group)
  if wrong then error(("bad option 'group' to 'subscribe' (%s)"):format(wrong), 2) end
  return self:attach_(subscription.new_(subject, options))
end

-- Requests ------------------------------------------------------------------------------------------------------------

local function ensure_inbox(self)
  if self.inbox then return end
  self.inbox = "_INBOX." .. unique() .. "."
  local at = #self.inbox + 1
  self:attach_(subscription.handler_(self.inbox .. "*", function(message)
    local reply = self.replies[message.subject:sub(at)]
    if reply then pcall(reply.send, reply, message) end -- a second answer has nobody who waits for it
  end))
end

-- For modules that have checked what they send: the message that comes back; or nil and "timeout", "no responders", "disconnected",
-- where nobody knows whether the request has arrived, or "closed".
function client:ask_(subject, head, data, seconds)
  ensure_inbox(self)
  if not self.stream then
    local in_time, stream = peri.try_timeout(seconds, await_stream, self)
    if not in_time then return nil, "timeout" end
    if not stream then return nil, "closed" end
  end
  local name, reply = unique(), peri.oneshot()
  local _ <close> = peri.defer(function() self.replies[name] = nil end)
  self.replies[name] = reply
  local sent, why = write_now(self, protocol.publish(subject, self.inbox .. name, head, data), head or "", data, "\r\n")
  if not sent then return nil, why end
  local which, message = peri.select { answer = reply:recv_op(), late = peri.sleep_op(seconds) }
  if which == "late" then return nil, "timeout" end
  if not message then return nil, self.state:get() == "closed" and "closed" or "disconnected" end
  if message.status == 503 and message.data == "" then return nil, "no responders" end
  return message
end

local request_kinds <const> = { headers = "table", timeout = "seconds" }

function client:request(subject, data, options)
  local read, text, head = read_sending(self, "request", subject, data, options, request_kinds, 2)
  return self:ask_(subject, head, text, read.timeout or self.options.timeout)
end

-- The end -------------------------------------------------------------------------------------------------------------

local function flush(self)
  local pong = peri.oneshot()
  if not await_stream(self) then return nil, "closed" end
  self.pongs[#self.pongs + 1] = pong
  local sent, why = write_now(self, "PING\r\n")
  if not sent then return nil, why end
  if pong:recv() then return true end
  return nil, self.state:get() == "closed" and "closed" or "disconnected"
end

-- Waits until the server has seen everything that was sent.
function client:flush(timeout)
  if timeout ~= nil and (type(timeout) ~= "number" or not (timeout >= 0)) then
    error(("bad argument #1 to 'flush' (seconds expected, got %s)"):format(tostring(timeout)), 2)
  end
  local in_time, seen, why = peri.try_timeout(timeout or self.options.timeout, flush, self)
  if not in_time then return nil, "timeout" end
  return seen, why
end

function client:status() return self.state:get() end

local function close(self)
  if self.stream then self:flush(farewell) end
  self.task:cancel("the client was closed")
  local ok, e = self.task:join()
  if not ok and not peri.is_error(e, "cancelled") and not self.told then
    self.told = true
    error(e, 0)
  end
end

-- Waits, also in a task that is cancelled.
function client:close()
  if peri.cancel_requested() then return peri.shield(2 * farewell, close, self) end
  close(self)
end
client.__close = client.close

return client
