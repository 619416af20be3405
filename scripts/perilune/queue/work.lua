-- Handlers at work on a queue: `limit` tasks, each of which takes a message, runs the handler in it and settles the message by what
-- became of that. While handlers run, one more task says so to the server. An error gives the message back, later each time, and
-- makes it a dead letter when it was the last delivery or the error is a permanent one; both are told. A handler that is
-- cancelled gives it back at once.
local backoff = require "perilune.backoff"
local callable = require("perilune.native.options").callable
local checks = require "perilune.options"
local peri = require "perilune"

local error, getmetatable, ipairs, next, pcall, setmetatable, tostring, type =
  error, getmetatable, ipairs, next, pcall, setmetatable, tostring, type

local work = {}

local permanent = { __name = "perilune.queue_permanent", __tostring = function(e) return e.reason end }

-- To be raised in a handler, for what will not be better next time.
function work.permanent(reason) return setmetatable({ reason = reason }, permanent) end

local function permanent_reason(e)
  if peri.is_error(e) and e.value ~= nil then e = e.value end
  if type(e) == "table" and getmetatable(e) == permanent then return e.reason end
end

-- What became of a message whose handler has failed.
local function settle_failure(self, message, e)
  if message.settled then return self.on_error(e, message) end
  local lasting = permanent_reason(e)
  if lasting or message.deliveries >= self.queue.options.max_deliver then
    message:dead_letter(lasting or tostring(e))
  else
    message:nak(backoff.pause(self.plan, message.deliveries))
  end
  self.on_error(e, message)
end

local function handle(self, message)
  local holds = self.queue.client.holds
  holds:add()
  self.active[message] = true
  local _ <close> = peri.defer(function()
    self.active[message] = nil
    message:hand_back_()
    holds:done()
  end)
  local ok, e = pcall(self.fn, message.value, message)
  if not ok then
    settle_failure(self, message, e)
  elseif not message.settled then
    local settled, why = message:ack()
    if not settled then self.on_error(("done, but perhaps delivered again: the server has not confirmed it (%s)"):format(why), message) end
  end
end

local function handle_all(self)
  for message in self.queue:iter() do handle(self, message) end
end

local function active_of(self)
  return peri.critical(function()
    local list = {}
    for message in next, self.active do list[#list + 1] = message end
    return list
  end)
end

local function keep_alive(self)
  while true do
    peri.sleep(self.queue.options.ack_wait / 3)
    for _, message in ipairs(active_of(self)) do message:heartbeat() end
  end
end

local function log_failure(e, message)
  peri.log.warn(("queue '%s': %s"):format(message.queue.name, tostring(e)),
                { id = message.id, deliveries = message.deliveries, settled = message.settled or "no" })
end

local kinds <const> = { limit = "count", backoff = "any", on_error = "callable" }

-- Reads what work was given; `level` is that of the script's call.
function work.read(queue, fn, given, level)
  if not callable(fn) then error(("bad argument #1 to 'work' (a function expected, got %s)"):format(type(fn)), level + 1) end
  given = checks.check(given, "work", 2, kinds, level + 1)
  local plan, problem = backoff.read(given.backoff or { first = 1, max = 60, jitter = 0.2 }, "work")
  if not plan then error(problem, level + 1) end
  return { queue = queue, fn = fn, limit = given.limit or 1, plan = plan, on_error = given.on_error or log_failure, active = {} }
end

-- Until the queue is closed.
function work.run(self)
  local keeper = peri.spawn({ name = "queue heartbeats", daemon = true }, keep_alive, self)
  local _ <close> = peri.defer(function()
    keeper:cancel("the work is over")
    keeper:join()
  end)
  peri.scope({ name = "queue work" }, function(s)
    for _ = 1, self.limit do s:spawn({ name = "queue worker" }, handle_all, self) end
  end)
end

return work
