-- What can never go on is an error at the wait that made it so, not a program that hangs.
local peri = require "perilune"

-- Two tasks that lock two accounts in opposite order: whoever closes the cycle is told, and its locks are released.
local savings, checking = peri.mutex(), peri.mutex()

local function transfer(from, to)
  local _ <close> = from:lock()
  peri.yield()
  local _ <close> = to:lock()
  return "moved"
end

local one = peri.spawn({ name = "one" }, transfer, savings, checking)
local two = peri.spawn({ name = "two" }, transfer, checking, savings)
print("one", one:join())
local ok, e = two:join()
print("two", ok, e.kind)

-- The same with three tasks, or with joins in between; a wait that has a limit of its own is no part of a cycle, since it ends.
print("limit", peri.try_timeout(0.01, function()
  local _ <close> = savings:lock()
  peri.spawn(function() local _ <close> = savings:lock() end):join()
end))

-- When nothing in the whole program can go on any more, every wait says so.
local done = peri.channel(0)
local worker = peri.spawn({ name = "worker" }, function()
  local _ <close> = peri.defer(function(why) print("worker ends:", why.kind) end)
  done:recv() -- nobody will ever send
end)
ok, e = worker:join()
print("worker", ok, e.kind)
