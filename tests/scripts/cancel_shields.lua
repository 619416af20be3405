-- Waiting while cancelled: shields, closers that wait, deferred functions, kill. Rows CAN of the semantics.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, raises = check.equal, check.same, check.contains, check.raises
local cancelled = check.cancelled

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
  contains(reports[1], "cancel_shields.lua:")
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
