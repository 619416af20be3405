-- Cancellation, closers, shields, tokens and deferred functions. Rows CAN of the semantics.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, raises, misuse = check.equal, check.same, check.contains, check.raises, check.misuse

-- Spawns `fn`, lets it run for `after` seconds, cancels it, joins it.
local function cancelled(fn, after, reason)
  local task = peri.spawn(fn)
  peri.sleep(after or 1)
  task:cancel(reason)
  return task, task:join()
end

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

case("CAN-20: a blocking operation in a shield in a closer completes", function()
  local note, taken = check.trace()
  local before = peri.now()
  local _, ok, e = cancelled(function()
    local _ <close> = check.closer(function()
      peri.shield(5, peri.sleep, 2)
      note "slept"
    end)
    peri.sleep(10)
  end, 1)
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(taken(), "slept")
  equal(peri.now(), before + 3)
end)

case("CAN-21: a blocking operation without a shield in a cancelled task raises at once", function()
  local note, taken = check.trace()
  local before = peri.now()
  local _, ok, e = cancelled(function()
    local _ <close> = check.closer(function()
      note "closer"
      peri.sleep(100)
      note "never"
    end)
    peri.sleep(10)
  end, 1)
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(taken(), "closer")
  equal(peri.now(), before + 1)
end)

case("CAN-21: every suspension point of a cancelled task raises, again and again", function()
  local count = 0
  local channel = peri.channel(1)
  local done = peri.spawn(function() end)
  local token = peri.token()
  token:cancel()
  local points = {
    function() peri.sleep(0) end, function() peri.yield() end, function() channel:recv() end,
    function() channel:send(1) end, function() channel:recv_many(1) end, function() done:join() end,
    function() done:join(1) end, function() done:await() end, function() token:wait() end,
    function() peri.select { channel:recv_op() } end, function() peri.perform(peri.sleep_op(0)) end,
    function() peri.scope(function() end) end, function() peri.interval(1):tick() end,
    function() peri.with_token(token, print) end,
  }
  local _, ok, e = cancelled(function()
    local _ <close> = check.closer(function()
      for i, point in ipairs(points) do
        local before = count
        local _ <close> = check.closer(function(_, why)
          if peri.is_error(why, "cancelled") then count = count + 1 end
        end)
        local co = coroutine.create(point)
        coroutine.resume(co)
      end
    end)
    peri.sleep(10)
  end)
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(count, 1)
  for _, point in ipairs(points) do
    local reached = false
    local _, done_ok, why = cancelled(function()
      local _ <close> = check.closer(function() point() reached = true end)
      peri.sleep(10)
    end)
    equal(done_ok, false)
    check.kind(why, "cancelled")
    equal(reached, false)
  end
end)

case("CAN-21: what does not wait works in a cancelled task", function()
  local note, taken = check.trace()
  local _, ok, e = cancelled(function()
    local _ <close> = check.closer(function()
      local channel = peri.channel(2)
      note(channel:try_send(1))
      note(channel:try_recv())
      note(peri.try_select { channel:recv_op() })
      note(peri.cancel_requested())
      note(peri.time_left())
      channel:close()
      local token = peri.token()
      token:cancel()
      note(token:is_cancelled())
    end)
    peri.sleep(10)
  end)
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(taken(), "true 1 nil true -inf true")
end)

case("CAN-22: cancelled inside a shield: seen at the first suspension after it", function()
  local note, taken = check.trace()
  local task = peri.spawn(function()
    peri.shield(function()
      peri.sleep(2)
      note(peri.cancel_requested())
      peri.sleep(2)
      note "shielded"
    end)
    note(peri.cancel_requested())
    note "after"
    peri.yield()
    note "never"
  end)
  local before = peri.now()
  peri.sleep(1)
  task:cancel()
  local ok, e = task:join()
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(peri.now(), before + 4)
  equal(taken(), "false shielded true after")
end)

case("CAN-22: the results of a shield are its function's", function()
  same(table.pack(peri.shield(function(a, b) return b, a, nil end, 1, 2)), { n = 3, 2, 1, nil })
  same({ peri.shield(3, math.max, 1, 5) }, { 5 })
  raises("inside", peri.shield, error, "inside")
  equal(select("#", peri.shield(function() end)), 0)
end)

case("CAN-23: a shield's own time limit cuts what is inside", function()
  local before = peri.now()
  local e = raises("time limit", peri.shield, 2, peri.sleep, 10)
  check.kind(e, "timeout")
  equal(peri.now(), before + 2)
end)

case("CAN-23: limits inside a shield count, limits around it do not cut it", function()
  local before = peri.now()
  local inner_ok, outer
  local ok, e = pcall(peri.timeout, 1, function()
    inner_ok = peri.shield(function()
      peri.sleep(2)
      return peri.try_timeout(1, peri.sleep, 5)
    end)
    outer = "after the shield"
    peri.sleep(5)
  end)
  equal(ok, false)
  check.kind(e, "timeout")
  equal(inner_ok, nil)
  equal(outer, "after the shield")
  equal(peri.now(), before + 3)
end)

case("CAN-24: a shielded cleanup that never ends is killed after the grace", function()
  local closed = false
  local before = peri.now()
  local _, ok, e = cancelled(function()
    local _ <close> = check.closer(function() closed = true end)
    peri.shield(function() peri.sleep(math.huge) end)
  end, 1)
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(closed, true)
  check.truthy(peri.now() - before >= 11 and peri.now() - before < 25, "the grace")
  local reports = check.reports()
  equal(#reports, 1)
  contains(reports[1], "overstay: task ")
  contains(reports[1], "cancel.lua:")
end)

case("kill: shields no longer hold", function()
  local note, taken = check.trace()
  local task = peri.spawn(function()
    local _ <close> = check.closer(function() note "outer" end)
    peri.shield(function()
      local _ <close> = check.closer(function() note "inner" end)
      peri.sleep(100)
    end)
  end)
  peri.sleep(1)
  local before = peri.now()
  task:cancel("first")
  peri.sleep(1)
  equal(task:status(), "closing")
  task:kill("now")
  local ok, e = task:join()
  equal(ok, false)
  check.kind(e, "cancelled")
  equal(e.reason, "first")
  equal(peri.now(), before + 1)
  equal(taken(), "inner outer")
  task:kill()
  equal(task:status(), "cancelled")
end)

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

case("CAN-27: a child of a cancelled token is born cancelled", function()
  local token = peri.token()
  equal(token:is_cancelled(), false)
  equal(token.reason, nil)
  token:cancel("why")
  equal(token.reason, "why")
  local child = token:child()
  equal(child:is_cancelled(), true)
  equal(child.reason, "why")
  local before = peri.now()
  equal(child:wait(), "why")
  equal(peri.now(), before)
  token:cancel("later")
  equal(token.reason, "why")
end)

case("token: cancels children, not parents; waiters wake; select", function()
  local parent = peri.token()
  local child = parent:child()
  local grandchild = child:child()
  local woken = {}
  local waiters = {}
  for name, token in pairs { parent = parent, child = child, grandchild = grandchild } do
    waiters[#waiters + 1] = peri.spawn(function() token:wait() woken[name] = true end)
  end
  peri.yield()
  child:cancel()
  peri.sleep(1)
  same(woken, { child = true, grandchild = true })
  equal(parent:is_cancelled(), false)
  same({ peri.select { stop = parent:wait_op(), tick = peri.sleep_op(1) } }, { "tick" })
  same({ peri.select { stop = child:wait_op(), tick = peri.sleep_op(1) } }, { "stop", true })
  parent:cancel("x")
  for _, waiter in ipairs(waiters) do waiter:join() end
  equal(woken.parent, true)
  same({ peri.select { stop = parent:wait_op() } }, { "stop", "x" })
end)

case("token: dropped children and parents", function()
  local token = peri.token()
  for _ = 1, 100 do token:child() end
  collectgarbage()
  local child = token:child():child()
  token:cancel()
  collectgarbage()
  equal(child:is_cancelled(), true)
end)

case("CAN-29: with_token", function()
  local token = peri.token()
  same(table.pack(peri.with_token(token, function(...) return ... end, 1, nil)), { n = 3, true, 1, nil })
  local canceller = peri.spawn(function() peri.sleep(1) token:cancel() end)
  local closed = false
  same({ peri.with_token(token, function()
    local _ <close> = check.closer(function() closed = true end)
    peri.sleep(10)
  end) }, { nil, "cancelled" })
  equal(closed, true)
  canceller:join()
  local ran = false
  same({ peri.with_token(token, function() ran = true end) }, { nil, "cancelled" })
  equal(ran, false)
  raises("mine", peri.with_token, peri.token(), error, "mine")
end)

case("CAN-29: result and cancel tie: the result wins", function()
  local token = peri.token()
  same({ peri.with_token(token, function() token:cancel() return "result" end) }, { true, "result" })
end)

case("CAN-29: tasks spawned inside are cancelled with the token", function()
  local token = peri.token()
  local child
  peri.spawn(function() peri.sleep(1) token:cancel() end)
  same({ peri.with_token(token, function() child = peri.spawn(peri.sleep, 10) child:join() end) }, { nil, "cancelled" })
  equal(child:status(), "cancelled")
end)

case("CAN-30: a guard cancels when left, unless disarmed", function()
  local token = peri.token()
  do local _ <close> = token:guard() end
  equal(token:is_cancelled(), true)
  local kept = peri.token()
  do
    local guard <close> = kept:guard()
    guard:disarm()
  end
  equal(kept:is_cancelled(), false)
  pcall(function() local _ <close> = kept:guard() error "x" end)
  equal(kept:is_cancelled(), true)
end)

case("CAN-31: reason, kind of source and who asked", function()
  local asker
  local task = peri.spawn({ name = "victim" }, peri.sleep, 10)
  peri.yield()
  asker = peri.spawn({ name = "asker" }, function() task:cancel("because") end)
  asker:join()
  local _, e = task:join()
  equal(e.reason, "because")
  equal(e.by.kind, "cancel")
  equal(e.by.id, asker.id)
  equal(e.by.name, "asker")
  equal(tostring(e), ("task %d (victim) was cancelled: because"):format(task.id))
  local child
  local parent = peri.spawn(function() child = peri.spawn(peri.sleep, 10) peri.yield() error "x" end)
  parent:join()
  local _, why = child:join()
  equal(why.by.kind, "parent")
  equal(why.by.id, parent.id)
  peri.try_timeout(1, function() child = peri.spawn(peri.sleep, 10) peri.sleep(10) end)
  _, why = child:join()
  equal(why.by.kind, "timeout")
  pcall(peri.scope, function(s) child = s:spawn(peri.sleep, 10) s:spawn(error, "x") end)
  _, why = child:join()
  equal(why.by.kind, "scope")
  local unnamed = peri.spawn(peri.sleep, 10)
  unnamed:cancel()
  _, why = unnamed:join()
  equal(tostring(why), ("task %d was cancelled"):format(unnamed.id))
end)

case("CAN-32: a value handed to a receiver that is cancelled goes back to the head", function()
  local channel = peri.channel(4)
  local task = peri.spawn(function() return channel:recv() end)
  peri.yield()
  channel:send(1)
  channel:send(2)
  task:cancel()
  equal((task:join()), false)
  equal(#channel, 2)
  equal(channel:recv(), 1)
  equal(channel:recv(), 2)
end)

case("CAN-32: or to the next receiver in line", function()
  local channel = peri.channel(0)
  local first = peri.spawn(function() return channel:recv() end)
  local second = peri.spawn(function() return channel:recv() end)
  peri.yield()
  channel:send("v")
  first:cancel()
  equal((first:join()), false)
  same({ second:join() }, { true, "v" })
end)

case("CAN-32: several given back keep their order", function()
  for capacity = 0, 3 do
    local channel = peri.channel(capacity)
    local tasks = {}
    for i = 1, 3 do tasks[i] = peri.spawn(function() return channel:recv() end) end
    peri.yield()
    for i = 1, 3 do equal(channel:try_send(i), true) end
    for i = 1, 3 do tasks[i]:cancel() end
    for i = 1, 3 do equal((tasks[i]:join()), false) end
    equal(#channel, 3)
    for i = 1, 3 do equal(channel:recv(), i) end
    equal(#channel, 0)
  end
end)

case("CAN-32: from inside a coroutine and from a select", function()
  local channel = peri.channel(1)
  local inside = peri.spawn(function() return coroutine.wrap(function() return channel:recv() end)() end)
  local selecting = peri.spawn(function() return peri.select { channel:recv_op(), peri.sleep_op(100) } end)
  peri.yield()
  channel:send("a")
  channel:send("b")
  inside:cancel()
  selecting:cancel()
  inside:join()
  selecting:join()
  equal(channel:recv(), "a")
  equal(channel:recv(), "b")
  equal(channel:stats().waiting_receivers, 0)
end)

case("CAN-33: a value that was sent is sent; cancellation at the next suspension", function()
  local channel = peri.channel(0)
  local note, taken = check.trace()
  local task = peri.spawn(function()
    note(tostring(channel:send("v")))
    note(peri.cancel_requested())
    peri.yield()
    note "never"
  end)
  peri.yield()
  equal(channel:recv(), "v")
  task:cancel()
  equal((task:join()), false)
  equal(taken(), "true true")
end)

case("CAN-33: a join that was granted returns", function()
  local target = peri.spawn(function() return "done" end)
  local got
  local task = peri.spawn(function() got = select(2, target:join()) peri.yield() end)
  local canceller = peri.spawn(function() target:join() task:cancel() end)
  equal((task:join()), false)
  equal(got, "done")
  canceller:join()
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

case("defer: runs on every exit, shielded, may wait; gets the error", function()
  local note, taken = check.trace()
  local function body(how)
    local _ <close> = peri.defer(function(e) peri.sleep(1) note(e == nil and "nil" or tostring(e)) end)
    if how == "error" then error("raised", 0) end
    if how == "wait" then peri.sleep(100) end
    return how
  end
  equal(body("return"), "return")
  raises("raised", body, "error")
  cancelled(function() body("wait") end)
  equal(taken(), "nil raised cancelled")
end)

case("defer: within the grace of five seconds", function()
  local before = peri.now()
  local _, ok, e = cancelled(function()
    local _ <close> = peri.defer(function() peri.sleep(100) end)
    peri.sleep(10)
  end, 1)
  equal(ok, false)
  check.kind(e, "timeout")
  contains(tostring(e), "did not end within its grace")
  equal(peri.now(), before + 6)
end)

case("defer: several, in reverse order, each waiting", function()
  local note, taken = check.trace()
  do
    local _ <close> = peri.defer(function() peri.sleep(1) note "1" end)
    local _ <close> = peri.defer(function() peri.sleep(1) note "2" end)
    local _ <close> = peri.defer(function() peri.sleep(1) note "3" end)
  end
  equal(taken(), "3 2 1")
end)

case("defer: an error in it", function()
  raises("in defer", function() local _ <close> = peri.defer(function() error "in defer" end) end)
  local ok, e = peri.spawn(function()
    local _ <close> = peri.defer(function() error("late", 0) end)
    error("main", 0)
  end):join()
  equal(ok, false)
  equal(e.value, "main")
  same(e.suppressed, { "late" })
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

case("misuse of tokens, guards, shields, defers", function()
  local token = peri.token()
  misuse("token expected", function() token.cancel() end)
  misuse("token expected", function() token.wait({}) end)
  misuse("token expected", function() token.child(1) end)
  misuse("token expected", function() token.guard("x") end)
  misuse("token expected", function() token.is_cancelled(io.stdout) end)
  misuse("bad argument", function() token:cancel({}) end)
  misuse("guard expected", function() token:guard().disarm() end)
  misuse("token expected", function() peri.with_token({}, print) end)
  misuse("function expected", function() peri.with_token(token) end)
  misuse("function expected", function() peri.shield() end)
  misuse("function expected", function() peri.shield(1) end)
  misuse("NaN", function() peri.shield(0 / 0, print) end)
  misuse("function expected", function() peri.defer() end)
  misuse("function expected", function() peri.defer("x") end)
  misuse("reason", function() peri.self():cancel({}) end)
  misuse("bad argument", function() peri.critical() end)
  equal(token:is_cancelled(), false)
end)
