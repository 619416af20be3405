-- What a queue asks of JetStream: requests whose answers are JSON, repeated while the server is on its way up, and what a queue is
-- there: a stream that keeps each message until it is acknowledged, and one durable consumer that all workers pull from.
local json = require "perilune.json"
local peri = require "perilune"
local problem = require "perilune.nats.problem"
local protocol = require "perilune.nats.protocol"

local error, ipairs, type = error, ipairs, type

local jetstream = {}

local patience <const> = 10 -- seconds for a server that is coming up
local one_try <const> = 5

local second <const> = 1000000000

function jetstream.nanoseconds(seconds) return math.floor(seconds * second) end

-- The answer, or nil and what the server says is wrong: { code =, err_code =, description = }. Raises when there is no server to ask.
function jetstream.ask(client, subject, request)
  local body, until_ = request and json.encode(request) or "", peri.now() + patience
  while true do
    local reply, why = client:ask_("$JS.API." .. subject, nil, body, one_try)
    local answer = reply and json.decode(reply.data)
    local wrong = type(answer) == "table" and answer.error
    if type(answer) == "table" and not (wrong and wrong.code == 503) then
      if wrong then return nil, wrong end
      return answer
    end
    why = wrong and wrong.description or why or "no JSON"
    if why == "closed" then error(problem("ECONNRESET", "queue: the connection is closed"), 0) end
    if why == "no responders" then why = "JetStream is not enabled (nats-server -js)" end
    if peri.now() >= until_ then error(problem("EIO", ("queue: %s: %s"):format(client.server.name, why)), 0) end
    peri.sleep(0.1)
  end
end

local function must(client, name, subject, request)
  local answer, wrong = jetstream.ask(client, subject, request)
  if answer then return answer end
  local text = wrong.err_code == 10058 and "it exists with other options" or wrong.description
  error(problem("EIO", ("queue '%s': %s"):format(name, text)), 0)
end

-- Makes what a queue needs, where it is not there yet. `at`: { stream =, subject =, consumer = }.
function jetstream.declare(client, at, options)
  must(client, options.name, "STREAM.CREATE." .. at.stream, {
    name = at.stream, subjects = json.array { at.subject }, retention = "workqueue", storage = options.storage, num_replicas = options.replicas,
    max_msgs = options.capacity or -1, discard = "new", allow_direct = true, duplicate_window = jetstream.nanoseconds(options.duplicate_window),
  })
  local config = {
    durable_name = at.consumer, ack_policy = "explicit", ack_wait = jetstream.nanoseconds(options.ack_wait), max_deliver = -1,
    max_ack_pending = -1, max_waiting = 16384, deliver_policy = "all", replay_policy = "instant",
  }
  must(client, options.name, ("CONSUMER.DURABLE.CREATE.%s.%s"):format(at.stream, at.consumer), { stream_name = at.stream, config = config })
end

-- Messages that are not settled, those of them that are in some worker's hands, and pulls that wait for one.
function jetstream.facts(client, at, name)
  local facts = must(client, name, ("CONSUMER.INFO.%s.%s"):format(at.stream, at.consumer))
  return { messages = facts.num_pending + facts.num_ack_pending, in_hand = facts.num_ack_pending, waiting = facts.num_waiting }
end

-- Mending ------------------------------------------------------------------------------------------------------------

-- A server that was killed may have forgotten that a message is in somebody's hands, and never gives it to anybody again; or may know of an
-- acknowledgement and have the message still. The two look the same, so what is left when nothing is to be delivered and nothing
-- is in any hands is sent anew, under the id it had, and then removed.

local added <const> = { "Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence" }

local function send_anew(client, at, sequence)
  local old = client:ask_("$JS.API.DIRECT.GET." .. at.stream, nil, json.encode { seq = sequence }, one_try)
  if not old or old.status then return false end
  local headers = old.headers or {}
  for _, name in ipairs(added) do headers[name] = nil end
  headers["Perilune-Id"] = headers["Perilune-Id"] or headers["Nats-Msg-Id"] or ("%s:%d"):format(at.stream, sequence)
  headers["Nats-Msg-Id"] = "again:" .. sequence -- once, whoever else is mending
  local reply = client:ask_(at.subject, protocol.head(headers), old.data, one_try)
  local answer = reply and json.decode(reply.data)
  return type(answer) == "table" and not answer.error
end

-- Whether all is well now; false where that cannot be known yet.
function jetstream.mend(client, at, name)
  local function state() return must(client, name, "STREAM.INFO." .. at.stream).state end
  local before = state()
  if before.messages == 0 then return true end
  local consumer = must(client, name, ("CONSUMER.INFO.%s.%s"):format(at.stream, at.consumer))
  if consumer.num_pending + consumer.num_ack_pending > 0 or consumer.delivered.stream_seq < before.last_seq then return false end
  local now = state()
  while now.messages > 0 and now.first_seq <= before.last_seq do
    if not send_anew(client, at, now.first_seq) then return false end
    jetstream.ask(client, "STREAM.MSG.DELETE." .. at.stream, { seq = now.first_seq, no_erase = true })
    now = state()
  end
  return true
end

function jetstream.destroy(client, at)
  local _, wrong = jetstream.ask(client, "STREAM.DELETE." .. at.stream)
  if wrong and wrong.code ~= 404 then error(problem("EIO", ("queue: %s"):format(wrong.description)), 0) end
end

return jetstream
