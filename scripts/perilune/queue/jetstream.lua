-- What a queue asks of JetStream: requests whose answers are JSON, repeated while the server is on its way up, and what a queue is
-- there: a stream that keeps each message until it is acknowledged, and one durable consumer that all workers pull from.
local json = require "perilune.json"
local peri = require "perilune"
local problem = require "perilune.nats.problem"
local protocol = require "perilune.nats.protocol"

local error, ipairs, type = error, ipairs, type

local jetstream = { one_try = 5 } -- seconds that the server is given for an answer

local patience <const> = 10 -- seconds for a server that is coming up
local most_mended <const> = 1000 -- at once

local second <const> = 1000000000

function jetstream.nanoseconds(seconds) return math.floor(seconds * second) end

-- Asks once. The answer, a table, which may say what is wrong; or nil and why there is none.
function jetstream.try(client, subject, head, body)
  local reply, why = client:ask_(subject, head, body, jetstream.one_try)
  local answer = reply and json.decode(reply.data)
  if type(answer) == "table" then return answer end
  return nil, why or "no JSON"
end

-- The answer, or nil and what the server says is wrong: { code =, err_code =, description = }. Raises when there is no server to ask.
function jetstream.ask(client, subject, request)
  local body, until_ = request and json.encode(request) or "", peri.now() + patience
  while true do
    local answer, why = jetstream.try(client, "$JS.API." .. subject, nil, body)
    local wrong = answer and answer.error
    if wrong and wrong.code ~= 503 then return nil, wrong end
    if answer and not wrong then return answer end
    why = why or wrong.description
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
-- acknowledgement and have the message still. The two look the same, so what nobody has in hand or is to be given is sent
-- anew, under the id it had, and then removed. Or it believes that somebody has in hand what is not there any more; that is acknowledged.

local added <const> = { "Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence" }

local function stored(client, at, sequence)
  local found, why = client:ask_("$JS.API.DIRECT.GET." .. at.stream, nil, json.encode { seq = sequence }, jetstream.one_try)
  if not found then error(problem("EIO", "queue: " .. why), 0) end
  return not found.status and found or nil
end

-- Whether it is gone from its old place.
local function send_anew(client, at, sequence)
  local old = stored(client, at, sequence)
  if not old then return true end
  local headers = old.headers or {}
  for _, name in ipairs(added) do headers[name] = nil end
  headers["Perilune-Id"] = headers["Perilune-Id"] or headers["Nats-Msg-Id"] or ("%s:%d"):format(at.stream, sequence)
  headers["Nats-Msg-Id"] = "again:" .. sequence -- once, whoever else is mending
  local answer = jetstream.try(client, at.subject, protocol.head(headers), old.data)
  if not answer or answer.error then return false end
  jetstream.ask(client, "STREAM.MSG.DELETE." .. at.stream, { seq = sequence, no_erase = true })
  return true
end

local function acknowledge(client, at, floor)
  local address = ("$JS.ACK.%s.%s.1.%d.%d.0.0"):format(at.stream, at.consumer, floor.stream_seq + 1, floor.consumer_seq + 1)
  return client:ask_(address, nil, "+ACK", jetstream.one_try) ~= nil
end

-- Whether all is well now; false where that cannot be known yet.
function jetstream.mend(client, at, name)
  for _ = 1, most_mended do
    local stream = must(client, name, "STREAM.INFO." .. at.stream).state
    local consumer = must(client, name, ("CONSUMER.INFO.%s.%s"):format(at.stream, at.consumer))
    local floor, in_hand = consumer.ack_floor, consumer.num_ack_pending > 0
    local idle = not in_hand and consumer.num_pending == 0 and consumer.delivered.stream_seq >= stream.last_seq
    local mended
    if stream.messages > 0 and (stream.first_seq <= floor.stream_seq or idle) then
      mended = send_anew(client, at, stream.first_seq)
    elseif in_hand and not stored(client, at, floor.stream_seq + 1) then
      mended = acknowledge(client, at, floor)
    else
      return idle or stream.messages == 0
    end
    if not mended then return false end
  end
  return false
end

function jetstream.destroy(client, at)
  local _, wrong = jetstream.ask(client, "STREAM.DELETE." .. at.stream)
  if wrong and wrong.code ~= 404 then error(problem("EIO", ("queue: %s"):format(wrong.description)), 0) end
end

return jetstream
