-- How a cancelled task unwinds, and what its closers see. Rows CAN of the semantics.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, raises = check.equal, check.same, check.contains, check.raises
local cancelled = check.cancelled

case("CAN-01: only closers run after the sleep", function()
  local note, taken = check.trace()
  local _, ok, e = cancelled(function()
    local _ <close> = check.closer(function() note "closed" end)
    note "slept"
    peri.sleep(10)
    note "after"
  end)
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(taken(), "slept closed")
end)

case("CAN-02: cancelled before it started: the body never runs", function()
  local ran = false
  local task = peri.spawn(function() ran = true end)
  task:cancel()
  local ok, e = task:join()
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(ran, false)
end)

case("CAN-03: spawned into a cancelled scope: never starts", function()
  local ran, child = false, nil
  local first, second = peri.scope(function(s)
    s:cancel("over")
    child = s:spawn(function() ran = true end)
  end)
  same({ first, second }, { nil, "cancelled" })
  local ok, e = child:join()
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(ran, false)
end)

case("CAN-05: the first reason is kept", function()
  local task = peri.spawn(peri.sleep, 10)
  peri.yield()
  task:cancel("first")
  task:cancel("second")
  local _, e = task:join()
  equal(e.reason, "first")
  task:cancel("third")
  equal(select(2, task:join()).reason, "first")
end)

case("CAN-06: cancel returns at once; the task is closing until its closers are done", function()
  local task = peri.spawn(function()
    local _ <close> = peri.defer(function() peri.sleep(2) end)
    peri.sleep(10)
  end)
  peri.sleep(1)
  local before = peri.now()
  task:cancel()
  equal(peri.now(), before)
  equal(task:status(), "closing")
  peri.sleep(1)
  equal(task:status(), "closing")
  task:join()
  equal(peri.now(), before + 2)
  equal(task:status(), "cancelled")
end)

case("CAN-07: cancel, then the handle is dropped", function()
  local closed = false
  do
    local task = peri.spawn(function()
      local _ <close> = check.closer(function() closed = true end)
      peri.sleep(10)
    end)
    peri.yield()
    task:cancel()
  end
  collectgarbage()
  peri.yield()
  equal(closed, true)
end)

case("CAN-10: pcall, xpcall and coroutines never catch a cancellation", function()
  for _, catch in ipairs {
    function(f) while true do pcall(f) end end,
    function(f) while true do xpcall(f, function() return "handled" end) end end,
    function(f) while true do coroutine.resume(coroutine.create(f)) end end,
    function(f) while true do pcall(coroutine.wrap(f)) end end,
    function(f) while true do pcall(pcall, pcall, f) end end,
    function(f) while true do pcall(require, f) pcall(f) end end,
  } do
    local _, ok, e = cancelled(function() catch(function() peri.sleep(10) end) end)
    equal(ok, false)
    check.kind(e, "cancelled")
  end
end)

case("CAN-10: xpcall's handler is not called for a cancellation", function()
  local handled = false
  cancelled(function() xpcall(peri.sleep, function() handled = true end, 10) end)
  equal(handled, false)
end)

case("CAN-10: a module under require is unwound, and can be required again", function()
  package.preload["slow_module"] = function() peri.sleep(10) return "loaded" end
  local _, ok = cancelled(function() pcall(require, "slow_module") end)
  equal(ok, false)
  equal(package.loaded["slow_module"], nil)
  equal(require "slow_module", "loaded")
  package.loaded["slow_module"], package.preload["slow_module"] = nil, nil
end)

case("CAN-12: a task that cancels itself goes on to its next suspension", function()
  local note, taken = check.trace()
  local task = peri.spawn(function()
    peri.self():cancel("myself")
    note "still here"
    equal(peri.cancel_requested(), true)
    peri.yield()
    note "never"
  end)
  local ok, e = task:join()
  equal(ok, false)
  equal(e.reason, "myself")
  equal(e.by.id, task.id)
  equal(taken(), "still here")
end)

case("CAN-15: a closer's error while a cancellation unwinds is the outcome", function()
  local _, ok, e = cancelled(function()
    local _ <close> = check.closer(function() error("disk full", 0) end)
    peri.sleep(10)
  end)
  equal(ok, false)
  check.kind(e, "error")
  equal(e.value, "disk full")
  equal(e.during_cancel, true)
  contains(e.traceback, "cancel.lua:")
end)

case("CAN-15: wherever the closer stands: in a pcall, a coroutine, a scope, several of them", function()
  local function raising(text) return check.closer(function() error(text, 0) end) end
  for _, around in ipairs {
    function(f) f() end,
    function(f) pcall(f) end,
    function(f) pcall(pcall, f) end,
    function(f) coroutine.wrap(f)() end,
    function(f) xpcall(f, print) end,
    function(f) peri.scope(function() f() end) end,
    function(f) peri.timeout(100, f) end,
    function(f) peri.try_timeout(100, f) end,
  } do
    local _, ok, e = cancelled(function()
      around(function()
        local _ <close> = raising("second")
        local _ <close> = raising("first")
        peri.sleep(10)
      end)
    end)
    equal(ok, false)
    check.kind(e, "error")
    equal(e.value, "first")
    same(e.suppressed, { "second" })
    equal(e.during_cancel, true)
  end
end)

case("CAN-15: a closer that raises an error object keeps its kind", function()
  local _, ok, e = cancelled(function()
    local _ <close> = check.closer(function() peri.shield(peri.timeout, 1, peri.sleep, 5) end)
    peri.sleep(10)
  end)
  equal(ok, false)
  check.kind(e, "timeout")
  equal(e.during_cancel, true)
end)

case("CAN-15: in a body that a timeout cut, it is suppressed by the timeout", function()
  local e = raises("timed out", peri.timeout, 1, function()
    local _ <close> = check.closer(function() error("first", 0) end)
    peri.sleep(10)
  end)
  check.kind(e, "timeout")
  same(e.suppressed, { "first" })
  local ok, f = pcall(peri.try_timeout, 1, function()
    local _ <close> = check.closer(function() error("lost?", 0) end)
    peri.sleep(10)
  end)
  equal(ok, false)
  equal(f.value, "lost?")
  equal(f.during_cancel, true)
end)

case("CAN-16: same, with the handle dropped: reported as unobserved", function()
  do
    local task = peri.spawn(function()
      local _ <close> = check.closer(function() error("disk full", 0) end)
      peri.sleep(10)
    end)
    peri.yield()
    task:cancel()
    task = nil
  end
  peri.sleep(1)
  collectgarbage()
  collectgarbage()
  local reports = check.reports()
  equal(#reports, 1)
  contains(reports[1], "disk full")
end)

case("CAN-16: a task that was just cancelled is not reported", function()
  cancelled(function() peri.sleep(10) end);
  (function()
    local task = peri.spawn(peri.sleep, 10)
    peri.yield()
    task:cancel()
  end)()
  peri.yield()
  collectgarbage()
  collectgarbage()
  equal(#check.reports(), 0)
end)

case("CAN-17: closers run in reverse order, across pcall, coroutines and calls", function()
  local note, taken = check.trace()
  local function closer(name) return check.closer(function() note(name) end) end
  cancelled(function()
    local _ <close> = closer "1"
    pcall(function()
      local _ <close> = closer "2"
      coroutine.wrap(function()
        local _ <close> = closer "3"
        peri.timeout(100, function()
          local _ <close> = closer "4"
          local _ <close> = closer "5"
          peri.sleep(10)
        end)
      end)()
    end)
  end)
  equal(taken(), "5 4 3 2 1")
end)

case("CAN-18: a closer is given the cancellation, or nil on a normal exit", function()
  local given = {}
  local function body(wait)
    local _ <close> = check.closer(function(_, e) given[#given + 1] = e == nil and "nil" or e end)
    if wait then peri.sleep(10) end
  end
  peri.spawn(body, false):join()
  equal(given[1], "nil")
  cancelled(function() body(true) end, 1, "why")
  check.kind(given[2], "cancelled")
  equal(given[2].reason, "why")
  contains(tostring(given[2]), "cancelled: why")
end)

case("CAN-36: a task's coroutine cannot be closed or resumed", function()
  local thread
  local task = peri.spawn(function() thread = coroutine.running() peri.sleep(10) return "mine" end)
  peri.yield()
  raises("cancel the task instead", coroutine.close, thread)
  equal(coroutine.status(thread), "normal")
  same({ coroutine.resume(thread) }, { false, "cannot resume the coroutine of a task" })
  local mine = coroutine.running()
  raises("cancel the task instead", coroutine.close, mine)
  equal(coroutine.resume(mine), false)
  same({ task:join() }, { true, "mine" })
  equal(coroutine.status(thread), "dead")
  equal(coroutine.resume(thread), false)
  local unstarted = peri.spawn(function() return 1 end)
  for _ = 1, 3 do peri.spawn(function() end) end
  same({ coroutine.resume(thread) }, { false, coroutine.status(thread) == "dead" and "cannot resume dead coroutine" or "cannot resume the coroutine of a task" })
  same({ unstarted:join() }, { true, 1 })
end)

case("CAN-37: task-local data in closers", function()
  local seen
  cancelled(function()
    peri.data.key = "value"
    local _ <close> = check.closer(function() seen = peri.data.key end)
    peri.sleep(10)
  end)
  equal(seen, "value")
end)

case("a cancellation that foreign C code swallowed is raised again", function()
  local note, taken = check.trace()
  local _, ok, e = cancelled(function()
    local swallowed = native.foreign_pcall(function()
      note "in"
      coroutine.running()
      os.exit = os.exit
      peri.self():cancel("inner")
      peri.channel(1):recv()
    end)
    note(swallowed)
    pcall(peri.yield)
    note "never"
  end)
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(taken(), "in false")
end)

case("cancel while a scope waits for its children", function()
  local note, taken = check.trace()
  local before = peri.now()
  local _, ok, e = cancelled(function()
    peri.scope(function(s)
      s:spawn(function()
        local _ <close> = peri.defer(function() peri.sleep(2) note "child closed" end)
        peri.sleep(100)
      end)
    end)
    note "never"
  end, 1)
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(taken(), "child closed")
  equal(peri.now(), before + 3)
end)

case("cancel_requested", function()
  equal(peri.cancel_requested(), false)
  local seen
  local task = peri.spawn(function()
    peri.shield(function() peri.sleep(1) seen = peri.cancel_requested() end)
    seen = { seen, peri.cancel_requested() }
  end)
  peri.yield()
  task:cancel()
  same({ task:join() }, { true })
  same(seen, { false, true })
end)
