-- Fairness: the budget of 128 operations, the order of yields, timers under load.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

-- How many operations `step` completes between two turns of another task, at most.
local function longest_run(step)
  local run, longest, turns, done = 0, 0, 0, false
  local other = peri.spawn(function()
    while not done do
      longest, run, turns = math.max(longest, run), 0, turns + 1
      peri.yield()
    end
  end)
  peri.yield()
  for n = 1, 2000 do
    step(n)
    run = run + 1
  end
  done = true
  other:await()
  return longest, turns
end

local function check_budget(step)
  local longest, turns = longest_run(step)
  check.equal(longest, 128)
  check.truthy(turns >= 2000 // 128, "a turn for the other in every 128 operations")
end

case:ordered("COP-01: receiving from a channel that is never empty lets others run after 128 operations", function()
  local ch = peri.unbounded()
  for v = 1, 2000 do ch:try_send(v) end
  check_budget(function(n) check.equal(ch:recv(), n) end)
end)

case:ordered("COP-01: sending into a channel that is never full lets others run", function()
  local ch = peri.unbounded()
  check_budget(function(n) check.equal(ch:send(n), true) end)
  for n = 1, 2000 do check.equal(ch:try_recv(), n) end
end)

case:ordered("COP-01: so do a closed channel, select, perform, recv_many and ticks that are due", function()
  local closed, full = peri.channel(1), peri.unbounded()
  closed:close()
  for v = 1, 2000 do full:try_send(v) end
  check_budget(function() closed:recv() end)
  check_budget(function() closed:send(1) end)
  check_budget(function() closed:recv_many(1) end)
  check_budget(function() peri.select { peri.sleep_op(0) } end)
  check_budget(function() peri.perform(full:recv_op()) end)
  local iv <close> = peri.interval(1e-3)
  iv:tick()
  peri.sleep(10)
  check_budget(function() iv:tick() end)
end)

case:ordered("COP-01: joining a finished task counts as an operation (JOIN-08)", function()
  local task = peri.spawn(function() return 1 end)
  task:await()
  check_budget(function() task:join() end)
  check_budget(function() task:await() end)
end)

case("COP-01: what never waits is not interrupted", function()
  local ch, other_ran = peri.unbounded(), false
  local other = peri.spawn(function() other_ran = true end)
  for v = 1, 1000 do ch:try_send(v) end
  for v = 1, 1000 do check.equal(ch:try_recv(), v) end
  check.equal(other_ran, false)
  other:await()
end)

case("COP-01: a forced turn in between loses and reorders nothing", function()
  local ch, got = peri.channel(500), 0
  local producer = peri.spawn(function() for v = 1, 5000 do ch:send(v) end; ch:close() end)
  for v in ch:iter() do
    got = got + 1
    if v ~= got then check.equal(v, got) end
  end
  check.equal(got, 5000)
  producer:await()
end)

case("COP-01: a cancellation is seen at a forced turn, before the operation", function()
  local ch = peri.unbounded()
  for v = 1, 2000 do ch:try_send(v) end
  local task = peri.spawn(function() while true do ch:recv() end end)
  peri.yield()
  task:cancel()
  local ok, e = task:join()
  check.equal(ok, false)
  check.kind(e, "cancelled")
  check.equal(ch:recv(), ch:stats().recvs)
  check.equal(ch:stats().sends, 2000)
end)

case:ordered("COP-04: yield goes to the back: tasks take turns in order", function()
  local note, taken = check.trace()
  for name = 1, 3 do
    peri.spawn(function()
      for round = 1, 3 do
        note(name .. "." .. round)
        peri.yield()
      end
    end)
  end
  peri.sleep(1)
  check.equal(taken(), "1.1 2.1 3.1 1.2 2.2 3.2 1.3 2.3 3.3")
end)

case:ordered("COP-04: yield lets everything ready run once, new children in order", function()
  local note, taken = check.trace()
  local ch = peri.channel(0)
  local waiting = peri.spawn(function() ch:recv(); note("receiver") end)
  peri.yield()
  for name = 1, 3 do peri.spawn(function() note(name) end) end
  note("parent")
  peri.yield()
  note("again")
  check.equal(taken(), "parent 1 2 3 again")
  ch:try_send(1)
  peri.spawn(function() note("child") end)
  peri.yield()
  local words = taken()
  check.contains(words, "receiver")
  check.contains(words, "child")
  waiting:await()
end)

case:ordered("COP-04: a child's own children run before the parent's turn comes", function()
  local note, taken = check.trace()
  peri.spawn(function()
    note("a")
    peri.spawn(function() note("a1") end)
    peri.spawn(function() note("a2") end)
  end)
  peri.spawn(function() note("b") end)
  peri.yield()
  local got = taken()
  for _, word in ipairs { "a", "a1", "a2", "b" } do check.contains(" " .. got .. " ", " " .. word .. " ") end
end)

case("COP-04: a yield alone returns at once, and a yield of many takes each in turn", function()
  local start, counts = peri.now(), { 0, 0, 0, 0 }
  for _ = 1, 1000 do peri.yield() end
  check.equal(peri.now(), start)
  local tasks = {}
  for i = 1, 4 do
    tasks[i] = peri.spawn(function()
      for _ = 1, 200 do
        counts[i] = counts[i] + 1
        for j = 1, 4 do check.truthy(math.abs(counts[i] - counts[j]) <= 1, "even turns") end
        peri.yield()
      end
    end)
  end
  for i = 1, 4 do tasks[i]:await() end
end)

case("COP-04: two tasks that hand values to each other do not keep the others out", function()
  local there, back, others, done = peri.channel(0), peri.channel(0), 0, false
  local other = peri.spawn(function() while not done do others = others + 1; peri.yield() end end)
  local echo = peri.spawn(function() for v in there:iter() do back:send(v) end end)
  for v = 1, 2000 do
    there:send(v)
    check.equal(back:recv(), v)
  end
  there:close()
  done = true
  echo:await()
  other:await()
  check.truthy(others >= 20, "turns for the third task, got " .. others)
end)
