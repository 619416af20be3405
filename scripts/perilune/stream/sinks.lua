-- Where streams end. A sink reads to the end, or as far as it needs, and closes the stream.
local peri = require "perilune"
local core = require "perilune.stream.core"

local methods, claim, pull = core.methods, core.claim, core.pull

-- Whatever happens, the stream is closed when the sink has returned.
local function closing(s) return setmetatable({}, { __close = function() core.close(s) end }) end

function methods:each(fn)
  core.check_function(fn, "each")
  local s = claim(self, "each")
  local _ <close> = closing(s)
  for value in pull, s do fn(value) end
end

function methods:collect()
  local s, list = claim(self, "collect"), {}
  local _ <close> = closing(s)
  for value in pull, s do list[#list + 1] = value end
  return list
end

function methods:fold(start, fn)
  core.check_function(fn, "fold", 2)
  local s, sum = claim(self, "fold"), start
  local _ <close> = closing(s)
  for value in pull, s do sum = fn(sum, value) end
  return sum
end

-- The first element, or nil.
function methods:first()
  local s = claim(self, "first")
  local _ <close> = closing(s)
  return (pull(s))
end

local function forward(s, channel)
  local shut <close> = channel
  local _ <close> = closing(s)
  for value in pull, s do
    if not channel:send(value) then return end
  end
end

-- A channel that a task fills with the elements and closes at the end, and that task, which fails where the stream does.
-- Closing the channel closes the stream.
function methods:to_channel(capacity)
  core.check_count(capacity == nil and 0 or capacity, "to_channel", 0)
  local ok, channel = pcall(peri.channel, capacity or 0)
  if not ok then error((tostring(channel):gsub("'[%w%.]*channel'", "'to_channel'")), 2) end
  local s = claim(self, "to_channel")
  return channel, peri.spawn({ name = "stream.to_channel", daemon = true }, forward, s, channel)
end
