-- One delivery of a message. It is held by who received it until it is settled, in one of four ways, or until ack_wait has passed since
-- the delivery or the last heartbeat: then the server gives it to somebody else. So there may be two holders, of whom neither knows;
-- the greater token is the newer one's.
local json = require "perilune.json"
local peri = require "perilune"
local jetstream = require "perilune.queue.jetstream"

local error, getmetatable, setmetatable, tonumber, tostring, type = error, getmetatable, setmetatable, tonumber, tostring, type
local min = math.min

local message = {}
message.__index = message
message.__name = "perilune.queue_message"

local most_deliveries <const> = 65535 -- that a token can tell apart

-- $JS.ACK.stream.consumer.deliveries.sequence.consumer-sequence.time.pending; newer servers name domain and account in front, and may
-- have a word more at the end.
local function read_address(reply)
  local words = {}
  for word in (reply or ""):gmatch("[^.]+") do words[#words + 1] = word end
  local at = #words >= 11 and 7 or #words == 9 and 5
  if not at or words[1] ~= "$JS" or words[2] ~= "ACK" then return nil end
  return tonumber(words[at]), tonumber(words[at + 1]), tonumber(words[at + 3])
end

-- From what came; nil where that is no message of JetStream's.
function message.new_(queue, raw)
  local deliveries, sequence, stamp = read_address(raw.reply)
  if not deliveries or not sequence then return nil end
  local headers = raw.headers or {}
  local self = setmetatable({
    queue = queue, deliveries = deliveries, sequence = sequence, headers = headers, text = raw.data, address_ = raw.reply,
    id = headers["Perilune-Id"] or headers["Nats-Msg-Id"] or ("%s:%d"):format(queue.at.stream, sequence), sent_at = stamp and stamp / 1e9,
    token = sequence << 16 | min(deliveries, most_deliveries), held_until_ = peri.now() + queue.options.ack_wait,
  }, message)
  self.value, self.problem_ = json.decode(raw.data)
  if self.problem_ then self.value = raw.data end -- a dead letter may be anything
  return self
end

local function check(self, call)
  if getmetatable(self) ~= message then error(("bad argument #1 to '%s' (a message of a queue expected: call it with ':')"):format(call), 3) end
end

local function settle(self, call, how)
  check(self, call)
  if self.settled then error(("bad argument #1 to '%s' (the message is settled: %s)"):format(call, self.settled), 3) end
  self.settled = how
end

-- Says a word to the server, again and again, until the server has confirmed it or may have given the message to somebody else.
local function confirm(self, word)
  local client = self.queue.client
  while true do
    local answer, why = client:ask_(self.address_, nil, word, min(jetstream.one_try, self.queue.options.ack_wait))
    if answer then return true end
    if why == "closed" then return nil, "closed" end
    if peri.now() >= self.held_until_ then return nil, "late" end
    peri.sleep(0.1)
  end
end

-- Says it, and does not wait.
local function say(self, word) return self.queue.client:say_(self.address_, nil, word) end

function message:ack()
  settle(self, "ack", "acknowledged")
  return confirm(self, "+ACK")
end

local function nak_word(delay)
  if not delay or delay <= 0 then return "-NAK" end
  return ('-NAK {"delay": %d}'):format(jetstream.nanoseconds(delay))
end

function message:nak(delay)
  if delay ~= nil and (type(delay) ~= "number" or not (delay >= 0 and delay < 1e8)) then
    error(("bad argument #1 to 'nak' (seconds expected, got %s)"):format(tostring(delay)), 2)
  end
  settle(self, "nak", "given back")
  return confirm(self, nak_word(delay))
end

function message:term()
  settle(self, "term", "given up")
  return confirm(self, "+TERM")
end

function message:heartbeat()
  check(self, "heartbeat")
  if self.settled then return nil, "settled" end
  local said, why = say(self, "+WPI")
  if not said then return nil, why end
  self.held_until_ = peri.now() + self.queue.options.ack_wait
  return true
end

function message:dead_letter(reason)
  if type(reason) ~= "string" then error(("bad argument #1 to 'dead_letter' (a string expected, got %s)"):format(type(reason)), 2) end
  if not self.queue.dead_ then error("bad argument #1 to 'dead_letter' (the message is a dead letter)", 2) end
  settle(self, "dead_letter", "a dead letter")
  local buried = false
  local _ <close> = peri.defer(function()
    if not buried then self.settled = nil end -- it is still to be given back
  end)
  self.queue:bury_(self, reason)
  buried = true
  return confirm(self, "+TERM")
end

-- For who leaves in a hurry: in a closer, nobody reads the server's answer any more.
function message:hand_back_()
  if self.settled then return end
  self.settled = "given back"
  return say(self, "-NAK")
end

return message
