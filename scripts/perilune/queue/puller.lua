-- How messages come from the server to who waits for them in this process. Nothing is pulled before somebody waits, so an idle process
-- keeps nothing from the others. A pull asks for one message and is answered by one, or by a status that says it was in vain;
-- so counting them is enough:
--
--   who waits  =  pulls that are under way  +  messages in the buffer      is what a task of the queue's works towards
--
-- A message whose receiver has gone meanwhile (a lost select, a cancellation) stays in the buffer for the next, for half of ack_wait,
-- and goes back to the server then, and in any case at the end. The callbacks run in the client's reader and never wait.
local peri = require "perilune"
local json = require "perilune.json"
local jetstream = require "perilune.queue.jetstream"
local message = require "perilune.queue.message"
local problem = require "perilune.nats.problem"
local subscription = require "perilune.nats.subscription"
local unique = require "perilune.nats.unique"

local next, pcall, setmetatable, tostring = next, pcall, setmetatable, tostring
local max, min, huge = math.max, math.min, math.huge

local puller = {}
puller.__index = puller

local pull_lasts <const> = 30 -- seconds that the server keeps a pull
local mend_pause <const> = 2 -- seconds
local look_again <const> = 0.02 -- seconds
local longest_pause <const> = 5
local one_message <const> = json.encode { batch = 1, expires = jetstream.nanoseconds(pull_lasts) }

-- What comes ---------------------------------------------------------------------------------------------------------

local function on_status(self, raw)
  if raw.status == 100 then return end
  self.under_way = max(0, self.under_way - 1)
  if raw.status ~= 408 and raw.status ~= 404 then
    self.refusals = self.refusals + 1
    self.not_before = peri.now() + min(longest_pause, 0.05 * 2 ^ self.refusals)
    self.refused = raw.description or tostring(raw.status)
  end
  self.wanted:notify_one()
end

local function on_message(self, raw)
  local made = message.new_(self.queue, raw)
  if not made then
    if raw.status then on_status(self, raw) end
    return
  end
  self.under_way, self.refusals = max(0, self.under_way - 1), 0
  local why = made.problem_ and self.queue.dead_ and "no JSON: " .. made.problem_
    or made.deliveries > self.queue.options.max_deliver and ("delivered %d times, and never settled"):format(made.deliveries - 1)
  if why then
    made.settled = "a dead letter"
    self.spent[#self.spent + 1] = { made, why }
  else
    self.arrived = self.arrived + 1
    self.times[self.arrived] = peri.now()
    self.buffer:send(made)
  end
  self.wanted:notify_one()
end

-- What the task does -------------------------------------------------------------------------------------------------

local function bury_spent(self)
  while self.spent[1] and peri.now() >= self.bury_after do
    local made, why = self.spent[1][1], self.spent[1][2]
    local ok, e = pcall(self.queue.bury_, self.queue, made, why)
    if not ok then
      self.bury_after = peri.now() + 1
      return self.queue.client.report(e)
    end
    table.remove(self.spent, 1)
    self.queue.client:say_(made.address_, nil, "+TERM") -- unheard, it is delivered and buried again, as the same letter
  end
end

-- When the oldest message in the buffer came: it is in the order of arrival, whatever has been taken and given back.
local function oldest(self)
  local count = #self.buffer
  if count == 0 then return nil end
  local at = self.arrived - count + 1
  self.times[at] = self.times[at] or peri.now()
  return self.times[at]
end

local function return_aged(self)
  while (oldest(self) or huge) <= peri.now() - self.keeps do
    local made = self.buffer:try_recv()
    if made then made:hand_back_() end
  end
  while self.forgotten < self.arrived - #self.buffer do
    self.forgotten = self.forgotten + 1
    self.times[self.forgotten] = nil
  end
end

local function pull(self)
  local waiting = self.buffer:stats().waiting_receivers
  if self.under_way > 0 and peri.now() > self.pulled + pull_lasts + longest_pause then self.under_way = 0 end -- lost on the way
  local missing = waiting - self.under_way - #self.buffer
  if missing <= 0 or peri.now() < self.not_before then return end
  if self.refusals > 1 then -- perhaps the server has lost what it kept in memory
    local ok, why = pcall(self.queue.declare_, self.queue)
    self.queue.client.report(ok and problem("EIO", ("queue '%s': %s"):format(self.queue.name, self.refused)) or why)
  end
  self.pulled = peri.now()
  for _ = 1, missing do
    self.under_way = self.under_way + 1
    if not self.queue.client:say_(self.next_subject, self.inbox, one_message) then return end -- the next connection is asked anew
  end
end

-- A connection that is new may be to a server that was killed: who waits in vain there looks whether all is well.
local function mend(self)
  if not self.doubtful or self.under_way == 0 or peri.now() < self.look_after then return end
  self.look_after = peri.now() + mend_pause
  local known, well = pcall(jetstream.mend, self.queue.client, self.queue.at, self.queue.name)
  if known and well then self.doubtful = false end
end

-- Seconds until there is something to do that nobody tells of.
local function pause(self)
  local now, old = peri.now(), oldest(self)
  local due = old and old + self.keeps - now or huge
  if self.looks > 0 then due = min(due, look_again) end
  if self.doubtful and self.under_way > 0 then due = min(due, self.look_after - now) end
  if self.not_before > now then due = min(due, self.not_before - now) end
  if self.spent[1] then due = min(due, self.bury_after - now) end
  if self.under_way > 0 then due = min(due, self.pulled + pull_lasts + longest_pause - now + 1) end
  return max(due, 0)
end

local function empty(self)
  while true do
    local made = self.buffer:try_recv()
    if not made then return end
    made:hand_back_()
  end
end

local function run(self)
  local _ <close> = peri.defer(function()
    if self.closed then return end -- who closes it does that when all is here
    empty(self)
    self.buffer:close()
  end)
  while true do
    local woken = peri.select { wanted = self.wanted:wait_op(), due = peri.sleep_op(pause(self)) }
    -- Who tells that a message is wanted waits for one a moment later, but may be interrupted in between.
    self.looks = woken == "wanted" and 2 or max(0, self.looks - 1)
    peri.yield()
    bury_spent(self)
    return_aged(self)
    pull(self)
    mend(self)
  end
end

-- What the queue asks for ---------------------------------------------------------------------------------------------

local function taken(self, made)
  if not made then return nil, "closed" end
  return made
end

-- The operation says what it wants each time that it is used: `choose` looks at its operations then.
function puller:recv_op()
  local operations = setmetatable({}, { __pairs = function()
    self.wanted:notify_one()
    return next, { self.buffer:recv_op() }, nil
  end })
  return peri.choose(operations):wrap(function(_, made) return taken(self, made) end)
end

-- A new connection knows nothing of the pulls on the one before.
local function start_anew(self)
  self.under_way, self.doubtful, self.look_after = 0, true, peri.now() + mend_pause
  self.wanted:notify_one()
end

-- No message is left behind: what the server has sent before it knew is here when it has answered.
function puller:close()
  if self.closed then return end
  self.closed = true
  self.task:cancel("the queue was closed")
  self.task:join()
  local client = self.queue.client
  if client:status() == "connected" then
    client:unsubscribe_(self.sub)
    client:flush(2)
  end
  empty(self)
  self.buffer:close()
  client:detach_(self.sub)
  client.joined[self], client.leaving[self] = nil, nil
end

function puller.new(queue)
  local self = setmetatable({
    queue = queue, buffer = peri.unbounded(), times = {}, arrived = 0, forgotten = 0, keeps = queue.options.ack_wait / 2,
    wanted = peri.notify(), looks = 0, under_way = 0, pulled = 0, not_before = 0, refusals = 0, spent = {}, bury_after = 0,
    doubtful = true, look_after = peri.now() + mend_pause,
    inbox = "_INBOX." .. unique(),
    next_subject = ("$JS.API.CONSUMER.MSG.NEXT.%s.%s"):format(queue.at.stream, queue.at.consumer),
  }, puller)
  local client = queue.client
  self.sub = subscription.handler_(self.inbox, function(raw) on_message(self, raw) end)
  self.sub.end_ = function() self.buffer:close() end
  client.joined[self] = function() start_anew(self) end
  client.leaving[self] = function() empty(self) end
  client:attach_(self.sub)
  self.task = peri.spawn({ name = "queue " .. queue.name, daemon = true }, run, self)
  return self
end

return puller
