-- Cancelling many tasks and deep nests of scopes. Rows CAN of the semantics.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, contains = check.equal, check.contains
local cancelled = check.cancelled

case("CAN-25: cancelling the root reaches all descendants, whoever dropped handles", function()
  local closed = 0
  local function level(n)
    local _ <close> = check.closer(function() closed = closed + 1 end)
    if n > 0 then peri.spawn(level, n - 1) end
    peri.sleep(100)
  end
  local root = peri.spawn(level, 4)
  peri.sleep(1)
  collectgarbage()
  root:cancel()
  root:join()
  equal(closed, 5)
end)

case("CAN-34: 2,000 nested scopes over a chain of tasks", function()
  local closed = 0
  local function level(n)
    peri.scope(function(s)
      local _ <close> = check.closer(function() closed = closed + 1 end)
      if n > 1 then s:spawn(level, n - 1) else peri.sleep(100) end
      peri.sleep(100)
    end)
  end
  local task = peri.spawn(level, 2000)
  peri.sleep(1)
  check.truthy(#peri.tasks() > 2000, "a deep tree")
  check.truthy(#peri.dump() > 2000, "a long dump")
  task:cancel()
  equal((task:join()), false)
  equal(closed, 2000)
end)

case("CAN-34: 150 nested scopes, timeouts, shields in one task", function()
  for i, around in ipairs {
    function(f) peri.scope(f) end, function(f) peri.timeout(100, f) end, function(f) pcall(f) end,
    function(f) peri.with_token(peri.token(), f) end, function(f) coroutine.wrap(f)() end,
  } do
    local closed = 0
    local levels = i == 5 and 80 or 150  -- a coroutine takes two native calls
    local function level(n)
      local _ <close> = check.closer(function() closed = closed + 1 end)
      if n == 0 then return peri.sleep(10) end
      around(function() level(n - 1) end)
    end
    local _, ok, e = cancelled(function() level(levels) end)
    equal(ok, false)
    check.kind(e, "cancelled")
    equal(closed, levels + 1)
  end
end)

case("CAN-34: too many nested calls into native code are an error like any other", function()
  local depth = 0
  local function level() depth = depth + 1 peri.timeout(100, level) end
  local ok, e = peri.spawn(level):join()
  equal(ok, false)
  contains(tostring(e), "C stack overflow")
  check.truthy(depth > 150, "a hundred and fifty levels")
end)

case("CAN-35: closers that cancel and spawn", function()
  local note, taken = check.trace()
  local other = peri.spawn(peri.sleep, 100)
  local task
  task = peri.spawn(function()
    local _ <close> = check.closer(function()
      task:cancel("again")
      other:cancel()
      peri.spawn(function() note "never" end)
      peri.spawn({ detached = true }, function() note "detached" end)
    end)
    peri.sleep(10)
  end)
  peri.yield()
  task:cancel("once")
  local _, e = task:join()
  equal(e.reason, "once")
  other:join()
  peri.yield()
  equal(taken(), "detached")
end)

case("100,000 parked tasks, all cancelled", function()
  local channel = peri.channel(0)
  local tasks, closed = {}, 0
  for i = 1, 100000 do
    tasks[i] = peri.spawn(function() channel:recv() closed = closed + 1 end)
  end
  peri.yield()
  equal(channel:stats().waiting_receivers, 100000)
  for i = 1, 100000 do tasks[i]:cancel("all") end
  for i = 1, 100000 do equal((tasks[i]:join()), false) end
  equal(channel:stats().waiting_receivers, 0)
  equal(closed, 0)
end)
