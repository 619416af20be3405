-- Time: sleep, now, until_op, intervals in every mode, huge durations, equal instants; the virtual clock.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

-- The instants, from `start`, at which `count` ticks come.
local function tick_times(iv, count, start)
  local at = {}
  for i = 1, count do
    iv:tick()
    at[i] = peri.now() - start
  end
  return at
end

local function check_times(actual, expected)
  check.equal(#actual, #expected)
  for i = 1, #expected do
    check.truthy(math.abs(actual[i] - expected[i]) < 1e-6, ("instant %d: %g"):format(i, expected[i]))
  end
end

case:ordered("TIM-01: sleep(0) lets the others run and does not move the clock", function()
  local note, taken = check.trace()
  local start = peri.now()
  for name = 1, 3 do peri.spawn(function() note(name) end) end
  peri.sleep(0)
  note("me")
  check.equal(taken(), "1 2 3 me")
  check.equal(peri.now(), start)
end)

case("TIM-01: sleep(0) sees a cancellation, before and during it", function()
  local note, taken = check.trace()
  local me = peri.spawn(function()
    peri.self():cancel()
    note("still here")
    peri.sleep(0)
    note("never")
  end)
  local ok, e = me:join()
  check.equal(ok, false)
  check.kind(e, "cancelled")
  local victim
  victim = peri.spawn(function()
    peri.spawn(function() victim:cancel() end)
    peri.sleep(0)
    note("never")
  end)
  check.equal(victim:join(), false)
  check.equal(taken(), "still here")
end)

case("TIM-02: a negative sleep completes at once, NaN and other types are misuse", function()
  local start, ran = peri.now(), false
  peri.spawn(function() ran = true end)
  peri.sleep(-5)
  check.equal(ran, true)
  peri.sleep(-math.huge)
  check.equal(peri.now(), start)
  for _, nan in ipairs { 0 / 0, -(0 / 0) } do
    check.misuse("bad argument #1 to 'sleep' (seconds must not be NaN, got nan)", function() peri.sleep(nan) end)
  end
  check.misuse("bad argument #1 to 'sleep' (seconds must be a number", function() peri.sleep() end)
  check.misuse("bad argument #1 to 'sleep' (seconds must be a number", function() peri.sleep("1") end)
  check.equal(peri.now(), start)
end)

case("TIM-02: an infinite sleep waits until it is cancelled", function()
  local task = peri.spawn(peri.sleep, math.huge)
  peri.sleep(1e6)
  check.equal(task:status(), "waiting")
  task:cancel()
  local ok, e = task:join()
  check.equal(ok, false)
  check.kind(e, "cancelled")
end)

case("TIM-02: sleep returns nothing", function()
  check.same(table.pack(peri.sleep(0)), { n = 0 })
  check.same(table.pack(peri.sleep(1)), { n = 0 })
end)

case("TIM-03: a sleep ends at its instant, never before, in fractions too", function()
  for _, seconds in ipairs { 1, 0.5, 0.001, 1e-6, 1e-9, 3.25, 86400 } do
    local start = peri.now()
    peri.sleep(seconds)
    check.truthy(peri.now() > start, "time has passed")
    check.truthy(math.abs(peri.now() - start - seconds) < 2e-9 + start * 1e-15, "exactly that long: " .. seconds)
  end
end)

case("TIM-03: now does not go back, and clock is the wall's", function()
  local last = peri.now()
  for _ = 1, 100 do
    peri.sleep(0.1)
    check.truthy(peri.now() > last, "later")
    last = peri.now()
  end
  check.equal(math.type(peri.now()), "float")
  check.truthy(math.abs(peri.clock() - os.time()) < 5, "the wall clock")
end)

case("TIM-05: huge durations neither overflow nor wake early", function()
  local tasks = {}
  for i, seconds in ipairs { 1e10, 1e18, 1e300, math.maxinteger, math.huge, 2.0 ^ 63 } do
    tasks[i] = peri.spawn(peri.sleep, seconds)
  end
  tasks[#tasks + 1] = peri.spawn(peri.select, { peri.sleep_op(1e300), peri.until_op(1e300), peri.until_op(math.huge) })
  tasks[#tasks + 1] = peri.spawn(peri.timeout, 1e300, peri.sleep, 1e300)
  local iv = peri.interval(1e300)
  iv:tick()
  tasks[#tasks + 1] = peri.spawn(iv.tick, iv)
  peri.sleep(1e5)
  for _, task in ipairs(tasks) do
    check.equal(task:status(), "waiting")
    task:cancel()
  end
  for _, task in ipairs(tasks) do check.kind(select(2, task:join()), "cancelled") end
end)

case("TIM-07: reset puts the next tick one period from now, earlier or later", function()
  local iv <close> = peri.interval(10)
  local start = peri.now()
  iv:tick()
  peri.sleep(4)
  iv:reset()
  check_times(tick_times(iv, 2, start), { 14, 24 })
  peri.sleep(35)
  iv:reset()
  check_times(tick_times(iv, 2, start), { 69, 79 })
end)

case("TIM-07: reset before the first tick takes away that it is immediate", function()
  local iv <close> = peri.interval(3)
  local start = peri.now()
  iv:reset()
  check_times(tick_times(iv, 2, start), { 3, 6 })
end)

case("TIM-07: reset moves the tick that a task waits for already, earlier or later; it comes once", function()
  local iv <close> = peri.interval(10)
  local start = peri.now()
  iv:tick()
  local waiting = peri.spawn(tick_times, iv, 2, start)
  peri.sleep(6)
  iv:reset()
  check_times(waiting:await(), { 16, 26 })
  local selecting = peri.spawn(function()
    local _, at = peri.select { tick = iv:tick_op(), stop = peri.sleep_op(100) }
    return at - start, peri.now() - start
  end)
  peri.sleep(8)
  iv:reset()
  peri.sleep(9)
  iv:reset()
  check.same(table.pack(selecting:await()), { 53, 53, n = 2 })
end)

case("TIM-07: close ends the wait that is under way, in a select too", function()
  local iv = peri.interval(10)
  iv:tick()
  local start, waiting = peri.now(), {}
  for i = 1, 3 do waiting[i] = peri.spawn(iv.tick, iv) end
  waiting[4] = peri.spawn(peri.select, { peri.sleep_op(100), iv:tick_op() })
  peri.sleep(4)
  iv:close()
  for _, task in ipairs(waiting) do
    local ok, e = task:join()
    check.equal(ok, false)
    check.truthy(e.message:find("the interval is closed", 1, true), e.message)
  end
  check.equal(peri.now(), start + 4)
end)

case:ordered("TIM-08: tasks that wait for one interval get its ticks in turn, each tick once", function()
  local iv <close> = peri.interval(2)
  local start, note, taken = peri.now(), check.trace()
  iv:tick()
  local tasks = {}
  for name = 1, 3 do
    tasks[name] = peri.spawn(function()
      for _ = 1, 2 do note(name .. "@" .. ("%d"):format(iv:tick() - start)) end
    end)
  end
  local lost = peri.spawn(iv.tick, iv)
  peri.sleep(3)
  lost:cancel()
  for _, task in ipairs(tasks) do task:await() end
  check.equal(taken(), "1@2 2@4 3@6 1@8 2@10 3@12")
end)

case("TIM-08: the first tick is immediate, the next stand on the grid", function()
  local iv <close> = peri.interval(1)
  local start = peri.now()
  check_times(tick_times(iv, 4, start), { 0, 1, 2, 3 })
  peri.sleep(0.4)
  check_times(tick_times(iv, 2, start), { 4, 5 })
end)

case("TIM-08: a thousand ticks of a tenth do not drift", function()
  local iv <close> = peri.interval(0.1)
  local start = peri.now()
  local at = tick_times(iv, 1001, start)
  check.truthy(math.abs(at[1001] - 100) < 1e-6, "a hundred seconds, got " .. at[1001])
end)

case("TIM-09: a period is more than 0", function()
  check.misuse("bad argument #1 to 'interval' (seconds must be more than 0", function() peri.interval(0) end)
  check.misuse("seconds must be more than 0", function() peri.interval(-1) end)
  check.misuse("seconds must not be NaN", function() peri.interval(0 / 0) end)
  check.misuse("seconds must be a number", function() peri.interval() end)
  check.misuse("to 'interval'", function() peri.interval(1, { missed = "sometimes" }) end)
  check.misuse("to 'interval'", function() peri.interval(1, "burst") end)
  check.misuse("to 'interval'", function() peri.interval(1, { missed = 5 }) end)
end)

-- Two ticks, a stall until 0.23, then six more.
local function ticks_around_a_stall(mode)
  local iv <close> = peri.interval(0.05, { missed = mode })
  local start = peri.now()
  check_times(tick_times(iv, 1, start), { 0 })
  peri.sleep(0.23)
  return tick_times(iv, 7, start)
end

case("TIM-10: burst makes up for every missed tick and is back on the grid", function()
  check_times(ticks_around_a_stall("burst"), { 0.23, 0.23, 0.23, 0.23, 0.25, 0.3, 0.35 })
  check_times(ticks_around_a_stall(nil), { 0.23, 0.23, 0.23, 0.23, 0.25, 0.3, 0.35 })
end)

case("TIM-11: delay gives one tick, and the next a period after that", function()
  check_times(ticks_around_a_stall("delay"), { 0.23, 0.28, 0.33, 0.38, 0.43, 0.48, 0.53 })
end)

case("TIM-12: skip gives one tick, and the next stands on the grid", function()
  check_times(ticks_around_a_stall("skip"), { 0.23, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5 })
end)

case("TIM-12: a stall that ends on the grid", function()
  for mode, expected in check.by_name { burst = { 4, 4, 4, 4, 5 }, skip = { 4, 5, 6, 7, 8 }, delay = { 4, 5, 6, 7, 8 } } do
    local iv <close> = peri.interval(1, { missed = mode })
    local start = peri.now()
    iv:tick()
    peri.sleep(4)
    check_times(tick_times(iv, 5, start), expected)
  end
end)

case("TIM-13: a tick taken a little late keeps burst and skip on the grid", function()
  for _, mode in ipairs { "burst", "skip" } do
    local iv <close> = peri.interval(0.05, { missed = mode })
    local start = peri.now()
    iv:tick()
    peri.sleep(0.053)
    check_times(tick_times(iv, 3, start), { 0.053, 0.1, 0.15 })
  end
end)

case("TIM-13: delay keeps to the grid too when a tick is no more than 5 ms late", function()
  for late, expected in check.by_name { [0.003] = { 0.053, 0.1, 0.15 }, [0.006] = { 0.056, 0.106, 0.156 } } do
    local iv <close> = peri.interval(0.05, { missed = "delay" })
    local start = peri.now()
    iv:tick()
    peri.sleep(0.05 + late)
    check_times(tick_times(iv, 3, start), expected)
  end
end)

case:ordered("CAN-32: a tick whose task is cancelled before it resumes is not taken", function()
  local iv <close> = peri.interval(5)
  local start = peri.now()
  iv:tick()
  local task
  peri.spawn(function()
    peri.sleep(5)
    task:cancel()
  end)
  peri.yield()
  task = peri.spawn(iv.tick, iv)
  peri.sleep(5)
  check.equal(task:join(), false)
  check_times(tick_times(iv, 2, start), { 5, 10 })
end)

case("TIM-08: a closed interval does not tick, and leaving the block closes it", function()
  local kept
  do
    local iv <close> = peri.interval(1)
    kept = iv
    iv:tick()
  end
  check.raises("the interval is closed", function() kept:tick() end)
  kept:close()
  check.raises("an interval expected", function() kept.tick({}) end)
  check.raises("an interval expected", function() kept.reset(5) end)
end)

case("TIM-08: a tick that is cancelled is not taken", function()
  local iv <close> = peri.interval(5)
  local start = peri.now()
  iv:tick()
  local task = peri.spawn(iv.tick, iv)
  peri.sleep(1)
  task:cancel()
  task:join()
  check_times(tick_times(iv, 2, start), { 5, 10 })
end)

case("VIR-01: sleeping tasks cost no real time, and the clock reads what they slept", function()
  local started, start = os.clock(), peri.now()
  local tasks = {}
  for i = 1, 200 do tasks[i] = peri.spawn(peri.sleep, 86400) end
  for _, task in ipairs(tasks) do task:await() end
  check.equal(peri.now(), start + 86400)
  check.truthy(os.clock() - started < 2, "no real time")
end)

case("VIR-02: while a task can run the clock does not move", function()
  local start, woken = peri.now(), false
  local sleeper = peri.spawn(function() peri.sleep(1e-9); woken = true end)
  for _ = 1, 3000 do
    peri.yield()
    check.equal(woken, false)
    check.equal(peri.now(), start)
  end
  sleeper:await()
  check.truthy(woken and peri.now() > start, "later")
end)

case("VIR-01: sleepers wake in the order of their instants, at these instants", function()
  local start, woken, tasks = peri.now(), {}, {}
  for i, seconds in ipairs { 5, 1, 4, 2, 3, 2.5 } do
    tasks[i] = peri.spawn(function()
      peri.sleep(seconds)
      check.equal(peri.now(), start + seconds)
      woken[#woken + 1] = seconds
    end)
  end
  for _, task in ipairs(tasks) do task:await() end
  check.same(woken, { 1, 2, 2.5, 3, 4, 5 })
end)

case:ordered("VIR-01: equal instants wake in the order in which they were asked for", function()
  local at, note, taken = peri.now() + 5, check.trace()
  for name = 1, 20 do
    peri.spawn(function()
      peri.sleep(name % 4)
      peri.perform(peri.until_op(at))
      note(name)
    end)
  end
  peri.sleep(6)
  check.equal(taken(), "4 8 12 16 20 1 5 9 13 17 2 6 10 14 18 3 7 11 15 19")
  for name = 1, 50 do peri.spawn(function() peri.sleep(2); note(name) end) end
  peri.sleep(3)
  local expected = {}
  for name = 1, 50 do expected[name] = tostring(name) end
  check.equal(taken(), table.concat(expected, " "))
end)

case("VIR-01: the instants of a whole program are exact", function()
  local start, at = peri.now(), {}
  local ch = peri.channel(0)
  peri.spawn(function() for _ = 1, 3 do peri.sleep(2); ch:send(peri.now() - start) end; ch:close() end)
  for v in ch:iter() do
    peri.sleep(1.5)
    at[#at + 1] = { v, peri.now() - start }
  end
  check.same(at, { { 2, 3.5 }, { 4, 5.5 }, { 6, 7.5 } })
end)
