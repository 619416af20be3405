-- real clock
-- Time limits on pure computation: the slice is measured in CPU time, and a signal strikes where Lua runs.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function forever() while true do end end

local computations = {
  loop = forever,
  pcalls = function() while true do pcall(forever) end end,
  coroutine = function() coroutine.wrap(forever)() end,
  comparator = function() table.sort({ 2, 1 }, forever) end,
  substitution = function() local _ = ("x"):gsub("x", forever) end,
  handler = function() xpcall(error, forever) end,
  critical = function() peri.critical(forever) end,
}

for name, body in pairs(computations) do
  case("TIM-20, CAN-09: a time limit ends pure computation: " .. name, function()
    local closed
    local result = table.pack(peri.try_timeout(0.03, function()
      local _ <close> = check.closer(function() closed = true end)
      body()
    end))
    check.same(result, table.pack(nil, "timeout"))
    check.equal(closed, true)
  end)
end

case("COP-06: timers and others stay on time while tasks compute", function()
  local ticks = 0
  local busy = { peri.spawn(forever), peri.spawn(forever) }
  for _ = 1, 3 do
    peri.sleep(0.001)
    ticks = ticks + 1
  end
  for _, task in ipairs(busy) do task:cancel() end
  for _, task in ipairs(busy) do check.equal(task:join(), false) end
  check.equal(ticks, 3)
end)

case("cancel_requested: a loop that computes and asks ends by itself; one that only asks is ended", function()
  local polite = peri.spawn(function()
    local rounds = 0
    while not peri.cancel_requested() do rounds = rounds + 1 end
    return "politely", rounds > 0
  end)
  local rude = peri.spawn(function() while true do peri.cancel_requested() end end)
  peri.sleep(0.03)
  polite:cancel()
  rude:cancel("enough")
  check.same(table.pack(polite:join()), table.pack(true, "politely", true))
  local ok, e = rude:join()
  check.equal(ok, false)
  check.equal(e.reason, "enough")
end)

case("a statement that calls nothing is never torn", function()
  local n = 0
  peri.scope(function(s)
    for _ = 1, 4 do
      s:spawn(function() for _ = 1, 3000000 do n = n + 1 end end)
    end
  end)
  check.equal(n, 12000000)
end)

case("a stack that overflows costs little more for being watched, and its traceback is short", function()
  local function endless() return 1 + endless() end
  local began = os.clock()
  local ok, e = peri.spawn(endless):join()
  check.equal(ok, false)
  check.contains(e.message, "stack overflow")
  check.contains(e.traceback, "and more than 1000 calls around these")
  check.truthy(os.clock() - began < 20, "seconds of CPU: " .. os.clock() - began)
end)

case("deep stacks, garbage and signals: results are what they are without them", function()
  local function depth(n) return n == 0 and 0 or 1 + depth(n - 1) end
  local tasks = {}
  for i = 1, 3 do
    tasks[i] = peri.spawn(function()
      local sum = 0
      for k = 1, 40 do
        sum = sum + depth(15000)
        local t = {}
        for j = 1, 2000 do t[j] = { j, tostring(j) } end
        table.sort(t, function(a, b) return a[2] < b[2] end)
        sum = sum + #t + k
      end
      return sum
    end)
  end
  for i = 1, 3 do check.equal(tasks[i]:await(), 40 * (15000 + 2000) + 40 * 41 // 2) end
end)
