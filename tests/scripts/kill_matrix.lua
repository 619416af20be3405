-- fuel: 20000
-- What loops x how it swallows errors x how it is ended: every task ends, with its closers run, and the others go on. The
-- clock is virtual and stands still while anything runs, so this needs instructions as the measure, not time.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

-- Each never ends by itself.
local loops = {
  ["while"] = function() while true do end end,
  ["for"] = function() for i = 1, math.huge do local _ = i end end,
  ["goto"] = function() ::again:: goto again end,
  ["tail call"] = function() local function f() return f() end return f() end,
  ["recursion"] = function()
    local function f(n) return n > 0 and f(n - 1) + f(n - 1) or 0 end
    while true do f(12) end
  end,
  ["metamethod"] = function()
    local proxy = setmetatable({}, { __index = function(_, k) return k end })
    while true do local _ = proxy.x end
  end,
  ["iterator"] = function() for _ in function() return 1 end do end end,
  ["generator"] = function()
    local next_value = coroutine.wrap(function() while true do coroutine.yield(1) end end)
    while true do next_value() end
  end,
  ["inside a coroutine"] = function() coroutine.wrap(function() while true do end end)() end,
  ["two coroutines deep"] = function()
    coroutine.wrap(function() coroutine.wrap(function() while true do end end)() end)()
  end,
  ["C calls"] = function() while true do string.rep("x", 10) end end,
}

-- Each calls `loop`, and again whatever comes of it.
local swallowers = {
  ["nothing"] = function(loop) loop() end,
  ["pcall"] = function(loop) while true do pcall(loop) end end,
  ["nested pcall"] = function(loop) while true do pcall(pcall, pcall, loop) end end,
  ["xpcall"] = function(loop) while true do xpcall(loop, function() return "swallowed" end) end end,
  ["failing handler"] = function(loop) while true do xpcall(loop, error) end end,
  ["resume"] = function(loop) while true do coroutine.resume(coroutine.create(loop)) end end,
  ["wrap in pcall"] = function(loop) while true do pcall(coroutine.wrap(loop)) end end,
  ["failing closer"] = function(loop)
    while true do
      pcall(function()
        local _ <close> = check.closer(function() error("disk full") end)
        loop()
      end)
    end
  end,
  ["time limit"] = function(loop) while true do pcall(peri.timeout, 1000, loop) end end,
  ["scope"] = function(loop) while true do pcall(peri.scope, function(s) s:spawn(loop) loop() end) end end,
}

local function turns(n) for _ = 1, n do peri.yield() end end

local endings = {
  cancel = function(task) task:cancel("enough") end,
  kill = function(task) task:kill("enough") end,
}

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

for _, how in ipairs(sorted_keys(endings)) do
  for _, swallows in ipairs(sorted_keys(swallowers)) do
    for _, loops_by in ipairs(sorted_keys(loops)) do
      case(("CAN-09, CAN-10: %s ends a task that loops by %s and swallows by %s"):format(how, loops_by, swallows), function()
        local closed = 0
        local task = peri.spawn(function()
          local _ <close> = check.closer(function() closed = closed + 1 end)
          swallowers[swallows](loops[loops_by])
        end)
        turns(3)
        endings[how](task)
        local ok, e = task:join()
        check.equal(ok, false)
        check.truthy(e.kind == "cancelled" or e.during_cancel, "cancelled, or failed by its closer")
        check.equal(closed, 1)
      end)
    end
  end
end

case("CAN-24: closers that loop are killed after the grace, each after some fuel of its own", function()
  local note, taken = check.trace()
  local task = peri.spawn(function()
    local _ <close> = check.closer(function() note("outer") end)
    local _ <close> = check.closer(function() note("loops") while true do end end)
    while true do end
  end)
  turns(3)
  task:kill("enough")
  check.equal(task:join(), false)
  check.equal(taken(), "loops outer")
end)
