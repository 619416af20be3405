-- What is subscribed to, for as long as the client lives: a subject, and what is done with each message in the client's reader. One of
-- a script's keeps messages in a broadcast with a single receiver, so that who is slower than the server is told how many it lost.
local peri = require "perilune"
local protocol = require "perilune.nats.protocol"

local setmetatable = setmetatable

local subscription = {}
subscription.__index = subscription
subscription.__name = "perilune.nats_subscription"

local default_capacity <const> = 1024

function subscription.new_(subject, options)
  local messages = peri.broadcast(options.capacity or default_capacity)
  return setmetatable({ subject = subject, group = options.group, left = options.max, messages = messages, receiver = messages:subscribe() },
                      subscription)
end

-- What a connection is told.
function subscription:line_()
  local line = protocol.subscribe(self.sid, self.subject, self.group)
  return self.left and line .. protocol.unsubscribe(self.sid, self.left) or line
end

function subscription:deliver_(message)
  self.messages:send(message)
  if not self.left then return end
  self.left = self.left - 1
  if self.left == 0 then self:close() end
end

function subscription:end_() self.messages:close() end

function subscription:recv() return self.receiver:recv() end
function subscription:recv_op() return self.receiver:recv_op() end

-- Messages that were lost are not told here.
function subscription:iter()
  return function()
    while true do
      local message, why = self:recv()
      if message or why == "closed" then return message end
    end
  end
end

function subscription:close()
  self.client:detach_(self)
  self:end_()
end
subscription.__close = subscription.close

-- For who deals with each message in the reader itself, which must not wait.
local handler = {}
handler.__index = handler
handler.line_ = subscription.line_
function handler:deliver_(message) self.fn(message) end
function handler:end_() end

function subscription.handler_(subject, fn) return setmetatable({ subject = subject, fn = fn }, handler) end

return subscription
