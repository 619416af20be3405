-- perilune.queue: a channel between processes and machines, over NATS JetStream. A message is delivered at least once: it stays with the
-- server until who received it says that it is done, and is delivered again when that is not heard in time. What counts of several
-- deliveries is decided elsewhere, by a ledger in a database; each delivery carries a token that is greater than all before it.
--
-- A queue belongs to the task that opened it. What was received and not settled when its holder ends, however it ends, is
-- delivered again; what is delivered max_deliver times without being settled, or is refused for good, goes to the queue of dead
-- letters with the reason. The server is not asked to count deliveries: it would leave a message where it is when they are used up,
-- so whoever pulls the next delivery buries it.
--
-- A message has two ids: the one it was sent with (Perilune-Id where it is not Nats-Msg-Id any more), by which ledgers know it, and
-- Nats-Msg-Id, by which the server knows a repetition of one and the same sending.
local checks = require "perilune.options"
local jetstream = require "perilune.queue.jetstream"
local json = require "perilune.json"
local ledger = require "perilune.queue.ledger"
local nats = require "perilune.nats"
local peri = require "perilune"
local problem = require "perilune.nats.problem"
local protocol = require "perilune.nats.protocol"
local puller = require "perilune.queue.puller"
local unique = require "perilune.nats.unique"
local work = require "perilune.queue.work"

local error, getmetatable, ipairs, pairs, pcall, setmetatable, tostring, type =
  error, getmetatable, ipairs, pairs, pcall, setmetatable, tostring, type
local huge = math.huge

local methods = {}
methods.__index = methods
methods.__name = "perilune.distributed_queue"

local sends_under_way <const> = 256
local longest_pause <const> = 1
local patience <const> = 10 -- seconds that a queue may be missing, while a server comes up
local margin <const> = 2048 -- bytes that a message stays below the server's limit, for what a dead letter says more
local longest_id <const> = 256
local drain <const> = 5 -- seconds that handlers at work are given when a queue is closed

-- Opening -------------------------------------------------------------------------------------------------------------

local defaults <const> = { ack_wait = 30, max_deliver = 5, duplicate_window = 120, storage = "file", replicas = 1 }
local open_kinds <const> = { name = "any", url = "any", client = "any", connect = "table", ack_wait = "any", max_deliver = "count",
                             duplicate_window = "any", capacity = "count", storage = "any", replicas = "count" }

local function bad(name, expected, got)
  error(("bad option '%s' to 'open' (%s expected, got %s)"):format(name, expected, tostring(got)), 4)
end

local function read_options(given)
  given = checks.check(given, "open", 1, open_kinds, 3)
  local options = {}
  for name, value in pairs(defaults) do options[name] = value end
  for name, value in pairs(given) do options[name] = value end
  if type(options.name) ~= "string" or not options.name:match("^[%w_-]+$") or #options.name > 100 then
    bad("name", "letters, digits, '-' and '_'", options.name)
  end
  if options.client ~= nil and getmetatable(options.client) ~= require("perilune.nats.client") then
    bad("client", "what nats.connect returns", type(options.client))
  end
  for _, name in ipairs { "ack_wait", "duplicate_window" } do
    local value = options[name]
    if type(value) ~= "number" or not (value >= 0.1 and value < 1e8) then bad(name, "seconds, at least 0.1,", value) end
  end
  if options.storage ~= "file" and options.storage ~= "memory" then bad("storage", "'file' or 'memory'", options.storage) end
  return options
end

local function new(client, options, suffix)
  return setmetatable({
    client = client, options = options, name = options.name .. (suffix or ""), slots = peri.semaphore(sends_under_way),
    at = { stream = "perilune-" .. options.name .. (suffix or ""), subject = "perilune." .. options.name .. (suffix or ""), consumer = "workers" },
  }, methods)
end

-- Of dead letters none dies.
local function dead_of(queue)
  local options = {}
  for name, value in pairs(queue.options) do options[name] = value end
  options.max_deliver, options.capacity = huge, nil
  return new(queue.client, options, "-dead")
end

function methods:declare_()
  jetstream.declare(self.client, self.at, self.options)
  if self.dead_ then jetstream.declare(self.client, self.dead_.at, self.dead_.options) end
end

local function open(options)
  local client = options.client
  if not client then
    local connect = { url = options.url }
    for name, value in pairs(options.connect or {}) do connect[name] = value end
    client = nats.connect_(connect, "open", 3)
  end
  local self = new(client, options)
  self.owns_client = not options.client
  self.dead_ = dead_of(self)
  local ok, why = pcall(self.declare_, self)
  if ok then
    self.puller, self.dead_.puller = puller.new(self), puller.new(self.dead_)
    peri.yield() -- their tasks run from here on, so that they have closers
    return self
  end
  if self.owns_client then client:close() end
  error(why, 0)
end

-- Sending -------------------------------------------------------------------------------------------------------------

-- A message that the server has stored, however long that takes. Repeated under the same id, it is stored once.
local function transmit(self, subject, head, data)
  local since, pause = peri.now(), 0.02
  while true do
    local answer, why = jetstream.try(self.client, subject, head, data)
    local wrong = answer and answer.error
    if answer and not wrong then return true, { sequence = answer.seq, duplicate = answer.duplicate or false } end
    if why == "closed" then return nil, "closed" end
    local full = wrong and (wrong.err_code == 10077 or tostring(wrong.description):find("maximum messages", 1, true))
    if wrong and not full and wrong.code ~= 503 then error(problem("EIO", ("queue '%s': %s"):format(self.name, wrong.description)), 0) end
    if why == "no responders" and peri.now() - since > patience then
      error(problem("EIO", ("queue '%s': it is not there any more"):format(self.name)), 0)
    end
    if why ~= "no responders" then since = peri.now() end
    peri.sleep(pause)
    pause = math.min(pause * 2, longest_pause)
  end
end

-- Complains at the caller of the method, `deeper` when something stands in between.
local function check_self(self, call, deeper)
  if getmetatable(self) ~= methods then error(("bad argument #1 to '%s' (a queue expected: call it with ':')"):format(call), deeper and 4 or 3) end
end

local send_kinds <const> = { id = "any", headers = "table" }

-- Head and text of a message, checked where the script sends it.
local function prepare(self, call, value, options)
  check_self(self, call, true)
  if value == nil then error(("bad argument #1 to '%s' (a value expected, got nil)"):format(call), 3) end
  local ok, text = pcall(json.encode, value)
  if not ok then error(("bad argument #1 to '%s' (%s)"):format(call, (tostring(text):gsub("^%S+:%d+: ", ""))), 3) end
  options = checks.check(options, call, 2, send_kinds, 3)
  local id = options.id
  if id ~= nil and (type(id) ~= "string" or id == "" or #id > longest_id) then
    error(("bad option 'id' to '%s' (a string of 1 to %d bytes expected, got %s)"):format(call, longest_id, type(id)), 3)
  end
  local headers = { ["Nats-Msg-Id"] = id or unique() }
  for name, field in pairs(options.headers or {}) do headers[name] = field end
  local head, problem_of_head = protocol.head(headers)
  if not head then error(("bad option 'headers' to '%s' (%s)"):format(call, problem_of_head), 3) end
  local most = (self.client.info.max_payload or huge) - margin
  if #head + #text > most then
    error(("bad argument #1 to '%s' (at most %d bytes, which is what the server takes, got %d)"):format(call, most, #head + #text), 3)
  end
  return head, text
end

local function sending(self, head, text)
  return self.slots:acquire_op():wrap(function(permit)
    if not permit then return nil, "closed" end
    local _ <close> = permit
    return transmit(self, self.at.subject, head, text)
  end)
end

function methods:send(value, options)
  local head, text = prepare(self, "send", value, options)
  return peri.perform(sending(self, head, text))
end

function methods:send_op(value, options)
  local head, text = prepare(self, "send_op", value, options)
  return sending(self, head, text)
end

-- Receiving -----------------------------------------------------------------------------------------------------------

function methods:recv_op()
  check_self(self, "recv_op")
  return self.puller:recv_op()
end

function methods:recv()
  check_self(self, "recv")
  return peri.perform(self.puller:recv_op())
end

function methods:iter()
  check_self(self, "iter")
  return function() return self:recv() end
end

function methods:work(fn, options)
  check_self(self, "work")
  work.run(work.read(self, fn, options, 2))
end

-- Dead letters --------------------------------------------------------------------------------------------------------

-- Stored under an id of the message's own: buried twice, it is one letter.
function methods:bury_(message, reason)
  local headers = {}
  for name, value in pairs(message.headers) do headers[name] = value end
  headers["Nats-Msg-Id"] = ("dead:%d:%s"):format(message.sequence, message.id):gsub("%c", "?")
  headers["Perilune-Id"] = message.id
  headers["Perilune-Reason"] = reason:gsub("%c+", " "):sub(1, 1000)
  headers["Perilune-Deliveries"] = tostring(message.deliveries)
  local head, text = protocol.head(headers), message.text
  if not head or #head + #text > (self.client.info.max_payload or huge) then -- of somebody else's making
    headers = { ["Nats-Msg-Id"] = ("dead:%d"):format(message.sequence), ["Perilune-Reason"] = headers["Perilune-Reason"] }
    head = protocol.head(headers)
    text = text:sub(1, (self.client.info.max_payload or huge) - #head)
  end
  local stored, why = transmit(self, self.dead_.at.subject, head, text)
  if not stored then error(problem("ECONNRESET", ("queue '%s': a dead letter could not be stored (%s)"):format(self.name, why)), 0) end
end

function methods:dead()
  check_self(self, "dead")
  if not self.dead_ then error("bad argument #1 to 'dead' (this is the queue of dead letters)", 2) end
  return self.dead_
end

-- The whole -----------------------------------------------------------------------------------------------------------

function methods:stats()
  check_self(self, "stats")
  local facts = jetstream.facts(self.client, self.at, self.name)
  facts.dead = self.dead_ and jetstream.facts(self.client, self.dead_.at, self.name).messages or 0
  return facts
end

local function close(self)
  if self.dead_ then self.dead_:close() end
  self.puller:close()
  self.slots:close()
  if not self.owns_client then return end
  peri.try_timeout(drain, self.client.holds.wait, self.client.holds)
  self.client:close()
end

-- Waits, also in a task that is cancelled.
function methods:close()
  check_self(self, "close")
  if self.closed then return end
  self.closed = true
  if peri.cancel_requested() then return peri.shield(3 * drain, close, self) end
  close(self)
end
methods.__close = methods.close

-- Removes it from the server, with all that is in it.
function methods:destroy()
  check_self(self, "destroy")
  jetstream.destroy(self.client, self.at)
  if self.dead_ then jetstream.destroy(self.client, self.dead_.at) end
end

local queue = { permanent = work.permanent, methods_ = methods }

-- Made on the server where there is none of that name.
function queue.open(options)
  local read = read_options(options)
  local made = open(read)
  return made
end

function queue.ledger(db)
  if type(db) ~= "table" or type(db.transaction) ~= "function" then
    error(("bad argument #1 to 'ledger' (a database of perilune.db expected, got %s)"):format(type(db)), 2)
  end
  return ledger.new_(db)
end

return queue
