-- Time limits: any stretch of code can be given one. When it passes, the stretch is cancelled, its closers run, and only
-- then does the limit report. An operation is never half done: what was ready counts.
local peri = require "perilune"

local function slow(what)
  local _ <close> = peri.defer(function() print("  cleaned up after " .. what) end)
  peri.sleep(1000)
  return what
end

-- As an error, of a kind of its own:
local ok, e = pcall(peri.timeout, 0.01, slow, "a download")
print(ok, e.kind, peri.is_error(e, "timeout"))

-- As a value:
print(peri.try_timeout(0.01, slow, "a query"))
print(peri.try_timeout(10, function() return "quick", 42 end))

-- Limits nest, and the nearest one strikes. It is the outer one's error that comes out here, not the inner one's.
local outer, why = pcall(peri.timeout, 0.01, function()
  return peri.timeout(1000, slow, "an inner limit")
end)
print(outer, why.kind)

-- Whoever works inside a limit can ask what is left of it.
peri.timeout(60, function()
  print("less than a minute left: " .. tostring(peri.time_left() < 60))
end)
print("no limit here: " .. tostring(peri.time_left() == math.huge))

-- What must not be cut short is shielded. The limit is felt at the first wait after the shield.
local cut = pcall(peri.timeout, 0.01, function()
  peri.shield(function()
    peri.sleep(0.03)
    print("  both halves written")
  end)
  peri.sleep(0)
  print("not reached")
end)
print(cut)

-- A wait for a task can be given up without harm: the task goes on, and can be joined again.
local task = peri.spawn(function()
  peri.sleep(0.03)
  return "late, but there"
end)
print(task:join(0.001))
print(task:join())
