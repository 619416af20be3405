-- What a queue asks of JetStream: requests whose answers are JSON, repeated while the server is on its way up, and what a queue is
-- there: a stream that keeps each message until it is acknowledged, and one durable consumer that all workers pull from.
local json = require "perilune.json"
local peri = require "perilune"
local problem = require "perilune.nats.problem"

local error, type = error, type

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
    max_msgs = options.capacity or -1, discard = "new", duplicate_window = jetstream.nanoseconds(options.duplicate_window),
  })
  local config = {
    durable_name = at.consumer, ack_policy = "explicit", ack_wait = jetstream.nanoseconds(options.ack_wait), max_deliver = -1,
    max_ack_pending = -1, max_waiting = 16384, deliver_policy = "all", replay_policy = "instant",
  }
  must(client, options.name, ("CONSUMER.DURABLE.CREATE.%s.%s"):format(at.stream, at.consumer), { stream_name = at.stream, config = config })
end

-- Messages in all, those that are in some worker's hands, and pulls that wait for one.
function jetstream.facts(client, at, name)
  local stream = must(client, name, "STREAM.INFO." .. at.stream)
  local consumer = must(client, name, ("CONSUMER.INFO.%s.%s"):format(at.stream, at.consumer))
  return { messages = stream.state.messages, in_hand = consumer.num_ack_pending, waiting = consumer.num_waiting }
end

function jetstream.destroy(client, at)
  local _, wrong = jetstream.ask(client, "STREAM.DELETE." .. at.stream)
  if wrong and wrong.code ~= 404 then error(problem("EIO", ("queue: %s"):format(wrong.description)), 0) end
end

return jetstream
