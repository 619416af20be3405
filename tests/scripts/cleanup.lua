-- What runs while a task unwinds: closers, shields and deferred functions.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local cancelled_while = check.cancelled_while

case("CAN-15: an error of a closer replaces the cancellation and says so", function()
  local e = cancelled_while(function()
    local _ <close> = check.closer(function() error("disk full", 0) end)
    peri.sleep(60)
  end)
  check.kind(e, "error")
  check.equal(e.value, "disk full")
  check.equal(e.during_cancel, true)
end)

case("CAN-15: an ordinary failure does not claim a cancellation", function()
  local _, e = peri.spawn(error, "bad header", 0):join()
  check.kind(e, "error")
  check.equal(not e.during_cancel, true)
end)

case("CAN-16: a closer's error that nobody looks at is reported, once", function()
  local seen = {}
  peri.on_unobserved(function(_, e) seen[#seen + 1] = e end)
  do
    local task = peri.spawn(function()
      local _ <close> = check.closer(function() error("disk full", 0) end)
      peri.sleep(60)
    end)
    peri.yield()
    task:cancel()
  end
  for _ = 1, 3 do
    peri.sleep(1)
    collectgarbage()
  end
  peri.sleep(1)
  peri.on_unobserved(nil)
  check.equal(#seen, 1)
  check.equal(seen[1].value, "disk full")
  check.equal(seen[1].during_cancel, true)
end)

case("CAN-17: closers run in reverse order", function()
  local note, taken = check.trace()
  cancelled_while(function()
    local a <close> = check.closer(function() note("a") end)
    local b <close> = check.closer(function() note("b") end)
    local c <close> = peri.defer(function() note("c") end)
    peri.sleep(60)
  end)
  check.equal(taken(), "c b a")
end)

case("CAN-17: a closer still runs after another has failed", function()
  local note, taken = check.trace()
  local e = cancelled_while(function()
    local a <close> = check.closer(function() note("a") end)
    local b <close> = check.closer(function() error("b failed", 0) end)
    local c <close> = check.closer(function() note("c") end)
    peri.sleep(60)
  end)
  check.equal(taken(), "c a")
  check.equal(e.value, "b failed")
  check.equal(e.during_cancel, true)
end)

case("CAN-18: a closer is given the cancellation, and nil on a normal exit", function()
  local given
  local function body(seconds)
    local _ <close> = check.closer(function(_, e) given = { e } end)
    peri.sleep(seconds)
  end
  cancelled_while(body, 60)
  check.kind(given[1], "cancelled")
  check.equal(given[1].reason, "stop")
  check.equal(peri.spawn(body, 1):join(), true)
  check.same(given, {})
end)

case("CAN-18: a deferred function is given it too", function()
  local given
  local function body(seconds)
    local _ <close> = peri.defer(function(...) given = table.pack(...) end)
    peri.sleep(seconds)
  end
  cancelled_while(body, 60)
  check.kind(given[1], "cancelled")
  check.equal(peri.spawn(body, 1):join(), true)
  check.equal(given[1], nil)
end)

case("CAN-20: a blocking operation in a shield in a closer completes", function()
  local start, slept = peri.now(), nil
  local e = cancelled_while(function()
    local _ <close> = check.closer(function()
      peri.shield(2, peri.sleep, 1)
      slept = peri.now() - start
    end)
    peri.sleep(60)
  end)
  check.kind(e, "cancelled")
  check.equal(slept, 1)
  check.equal(peri.now() - start, 1)
end)

case("CAN-21: without a shield it raises at once", function()
  local note, taken = check.trace()
  local start = peri.now()
  local e = cancelled_while(function()
    local _ <close> = check.closer(function()
      note("closing")
      peri.sleep(60)
      note("never")
    end)
    peri.sleep(60)
  end)
  check.kind(e, "cancelled")
  check.equal(taken(), "closing")
  check.equal(peri.now(), start)
end)

case("CAN-21: every kind of wait raises, not only sleep", function()
  local ch, other = peri.channel(0), peri.spawn(peri.sleep, 5)
  local waits = {
    peri.yield,
    function() peri.sleep(0) end,
    function() ch:recv() end,
    function() ch:send(1) end,
    function() other:join() end,
    function() other:join(1) end,
    function() other:await() end,
    function() peri.select { ch:recv_op() } end,
    function() peri.scope(function() end) end,
    function() peri.token():wait() end,
  }
  local went_on = {}
  local function closers(i)
    local _ <close> = check.closer(function()
      waits[i]()
      went_on[#went_on + 1] = i
    end)
    if i < #waits then closers(i + 1) else peri.sleep(60) end
  end
  local start = peri.now()
  check.kind(cancelled_while(closers, 1), "cancelled")
  check.same(went_on, {})
  check.equal(peri.now(), start)
  check.equal(other:join(), true)
end)

case("CAN-22: a cancellation is not seen inside a shield; it comes at the first suspension after", function()
  local note, taken = check.trace()
  local start = peri.now()
  local task = peri.spawn(function()
    note(peri.shield(function(...)
      peri.sleep(5)
      note(peri.cancel_requested())
      return ...
    end, "through"))
    note(peri.cancel_requested())
    peri.sleep(0)
    note("never")
  end)
  peri.sleep(1)
  task:cancel()
  check.equal(task:join(), false)
  check.equal(taken(), "false through true")
  check.equal(peri.now() - start, 5)
end)

case("CAN-22: a shield passes results and errors through", function()
  check.same(table.pack(peri.shield(function(...) return ... end, 1, nil, 3)), table.pack(1, nil, 3))
  local raised = {}
  local ok, e = pcall(peri.shield, error, raised)
  check.equal(ok, false)
  check.equal(e, raised)
end)

case("CAN-22: a shield hides the limits outside it", function()
  local start = peri.now()
  local ok, word = peri.try_timeout(1, function()
    peri.shield(function()
      check.equal(peri.time_left(), math.huge)
      peri.sleep(3)
    end)
    peri.sleep(60)
  end)
  check.same({ ok, word }, { nil, "timeout" })
  check.equal(peri.now() - start, 3)
end)

case("CAN-22: children spawned in a shield are not shielded from their own cancellation", function()
  local task = peri.spawn(function()
    return peri.shield(function()
      local child = peri.spawn(peri.sleep, 60)
      peri.yield()
      child:cancel("mine")
      local _, e = child:join()
      return e.reason
    end)
  end)
  check.same(table.pack(task:join()), table.pack(true, "mine"))
end)

case("CAN-23: a shield's own time limit counts", function()
  local start = peri.now()
  local ok, e = pcall(peri.shield, 2, peri.sleep, 60)
  check.equal(ok, false)
  check.kind(e, "timeout")
  check.equal(peri.now() - start, 2)
end)

case("CAN-23: a scope opened in a shield can be cancelled", function()
  local start = peri.now()
  peri.shield(function()
    peri.scope(function(s)
      s:spawn(function()
        peri.sleep(1)
        s:cancel()
      end)
      s:spawn(peri.sleep, 60)
    end)
  end)
  check.equal(peri.now() - start, 1)
end)

case("CAN-24: a shielded cleanup that never ends is killed after the grace", function()
  local start, note, taken = peri.now(), check.trace()
  local e = cancelled_while(function()
    local _ <close> = check.closer(function() note("outer") end)
    local _ <close> = check.closer(function()
      peri.shield(peri.sleep, math.huge)
      note("never")
    end)
    peri.sleep(60)
  end)
  check.kind(e, "cancelled")
  check.equal(taken(), "outer")
  check.equal(peri.now() - start, 10)
  check.contains(table.concat(check.reports(), "\n"), "overstay: task ")
end)

case("CAN-37: task-local data is there while closers run", function()
  peri.data.user = "ada"
  local seen
  cancelled_while(function()
    local _ <close> = check.closer(function() seen = peri.data.user end)
    peri.sleep(60)
  end)
  check.equal(seen, "ada")
  peri.data.user = nil
end)

case("JOIN-18: join returns when every closer has ended", function()
  local start, ended = peri.now(), 0
  local task = peri.spawn(function()
    local _ <close> = peri.defer(function() peri.sleep(1); ended = ended + 1 end)
    local _ <close> = peri.defer(function() peri.sleep(2); ended = ended + 1 end)
  end)
  check.equal(task:join(), true)
  check.equal(ended, 2)
  check.equal(peri.now() - start, 3)
end)
