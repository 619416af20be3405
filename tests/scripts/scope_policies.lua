-- peri.scope with other policies, with a time limit, cancelled by hand, one in another; and its misuse.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function later(seconds, fn, ...)
  peri.sleep(seconds)
  return fn(...)
end

local function messages(list)
  local texts = {}
  for i, e in ipairs(list or {}) do texts[i] = tostring(e.value) end
  return texts
end

case("SCO-11: under supervise a child's failure stays its own", function()
  local start, failed, sibling = peri.now(), nil, nil
  local result = peri.scope({ policy = "supervise" }, function(s)
    failed = s:spawn(error, "mine", 0)
    sibling = s:spawn(function() peri.sleep(3); return "lives" end)
    return "result"
  end)
  check.equal(result, "result")
  check.equal(peri.now() - start, 3)
  check.same(table.pack(sibling:join()), table.pack(true, "lives"))
  check.equal(select(2, failed:join()).value, "mine")
end)

case("SCO-11: and is reported if nobody reads it", function()
  local seen = {}
  peri.on_unobserved(function(_, e) seen[#seen + 1] = e.value end)
  peri.scope({ policy = "supervise" }, function(s) s:spawn(error, "unread", 0) end)
  for _ = 1, 3 do
    collectgarbage()
    peri.sleep(1)
  end
  peri.on_unobserved(nil)
  check.same(seen, { "unread" })
end)

case("SCO-12: under supervise the body's failure cancels the children", function()
  local member
  local _, e = pcall(peri.scope, { policy = "supervise" }, function(s)
    member = s:spawn(peri.sleep, 60)
    peri.yield()
    error("body", 0)
  end)
  check.kind(e, "group")
  check.same(messages(e.errors), { "body" })
  check.equal(select(2, member:join()).kind, "cancelled")
end)

case("SCO-16: under any the first success wins; the others are cancelled and awaited", function()
  local start, closed, early, loser = peri.now(), false, nil, nil
  local results = table.pack(peri.scope({ policy = "any" }, function(s)
    early = s:spawn(later, 1, error, "too early", 0)
    s:spawn(function() peri.sleep(2); return "won", nil, 3 end)
    loser = s:spawn(function()
      local _ <close> = peri.defer(function() peri.sleep(1); closed = true end)
      peri.sleep(60)
    end)
  end))
  check.same(results, table.pack("won", nil, 3))
  check.equal(closed, true)
  check.equal(peri.now() - start, 3)
  check.equal(select(2, loser:join()).kind, "cancelled")
  check.equal(select(2, early:join()).value, "too early")
end)

case:ordered("SCO-16: two successes in one tick: the first", function()
  check.equal(peri.scope({ policy = "any" }, function(s)
    s:spawn(function() return "first" end)
    s:spawn(function() return "second" end)
  end), "first")
end)

case("SCO-17: under any, when all fail, the group has them all", function()
  local _, e = pcall(peri.scope, { policy = "any" }, function(s)
    s:spawn(later, 2, error, "b", 0)
    s:spawn(later, 1, error, "a", 0)
    s:spawn(later, 3, error, "c", 0)
  end)
  check.kind(e, "group")
  check.same(messages(e.errors), { "a", "b", "c" })
end)

case("SCO-17: any without a child is an error", function()
  check.raises("no child", peri.scope, { policy = "any" }, function() return "value" end)
end)

case("SCO-18: a scope's time limit cancels and awaits its children; finished results can be read", function()
  local start, quick, slow = peri.now(), nil, nil
  local ok, e = pcall(peri.scope, { timeout = 2 }, function(s)
    quick = s:spawn(function() peri.sleep(1); return "in time" end)
    slow = s:spawn(function()
      local _ <close> = peri.defer(function() peri.sleep(1) end)
      peri.sleep(60)
    end)
    peri.sleep(60)
  end)
  check.equal(ok, false)
  check.kind(e, "timeout")
  check.equal(peri.now() - start, 3)
  check.same(table.pack(quick:join()), table.pack(true, "in time"))
  check.equal(select(2, slow:join()).by.kind, "timeout")
end)

case("SCO-18: a scope that ends in time is not touched by its limit", function()
  local start = peri.now()
  check.equal(peri.scope({ timeout = 2 }, function() peri.sleep(1); return "early" end), "early")
  peri.sleep(5)
  check.equal(peri.now() - start, 6)
end)

case("SCO-18: time_left counts a scope's limit", function()
  peri.scope({ timeout = 5 }, function()
    peri.sleep(2)
    check.equal(peri.time_left(), 3)
  end)
end)

case("scope: cancel ends the children; the task goes on", function()
  local start, member, other = peri.now(), nil, nil
  peri.scope(function(s)
    member = s:spawn(peri.sleep, 60)
    other = s:spawn(function() peri.sleep(1); s:cancel("enough") end)
  end)
  local _, e = member:join()
  check.kind(e, "cancelled")
  check.equal(e.reason, "enough")
  check.equal(e.by.id, other.id)
  check.equal(peri.now() - start, 1)
  check.equal(peri.cancel_requested(), false)
end)

case("scope: cancel stops the body at its next suspension", function()
  local note, taken = check.trace()
  peri.scope(function(s)
    local _ <close> = check.closer(function() note("closer") end)
    s:cancel()
    note("same line of work")
    pcall(peri.sleep, 60)
    note("never")
  end)
  check.equal(taken(), "same line of work closer")
end)

case("scope: tasks lists the children that have not ended", function()
  peri.scope(function(s)
    check.same(s:tasks(), {})
    local a, b = s:spawn(peri.sleep, 1), s:spawn(peri.sleep, 2)
    check.same(s:tasks(), { a, b })
    a:join()
    check.same(s:tasks(), { b })
  end)
end)

case("scope: an inner scope's group fails the outer one, inside out", function()
  local outer_sibling
  local _, e = pcall(peri.scope, function(s)
    outer_sibling = s:spawn(peri.sleep, 60)
    peri.scope(function(inner) inner:spawn(error, "deep", 0) end)
  end)
  check.kind(e, "group")
  check.kind(e.errors[1], "group")
  check.same(messages(e.errors[1].errors), { "deep" })
  check.equal(select(2, outer_sibling:join()).kind, "cancelled")
end)

case("scope: cancelling the outer scope passes through the inner one", function()
  local start, inner_member = peri.now(), nil
  local reached = false
  peri.scope(function(s)
    s:spawn(function() peri.sleep(1); s:cancel("outer") end)
    peri.scope(function(inner)
      inner_member = inner:spawn(peri.sleep, 60)
    end)
    reached = true
  end)
  check.equal(reached, false)
  check.equal(select(2, inner_member:join()).reason, "outer")
  check.equal(peri.now() - start, 1)
end)

case("scope: an inner failure caught inside leaves the outer scope alone", function()
  local start = peri.now()
  peri.scope(function(s)
    s:spawn(peri.sleep, 3)
    check.equal(pcall(peri.scope, function(inner) inner:spawn(error, "x", 0) end), false)
    check.equal(peri.cancel_requested(), false)
  end)
  check.equal(peri.now() - start, 3)
end)

case("scope: ten thousand members in one scope, most of them ended", function()
  local sum = 0
  peri.scope(function(s)
    for i = 1, 10000 do
      s:spawn(function() sum = sum + i end)
      if i % 100 == 0 then peri.yield() end
    end
  end)
  check.equal(sum, 50005000)
end)

case("scope: a child's timeout keeps its kind in the group", function()
  local _, e = pcall(peri.scope, function(s) s:spawn(peri.timeout, 1, peri.sleep, 60) end)
  check.kind(e, "group")
  check.kind(e.errors[1], "timeout")
end)

case("scope: misuse names what is wrong", function()
  check.misuse("bad argument #1 to 'scope'", function() peri.scope(1) end)
  check.misuse("policy", function() peri.scope({ policy = "best" }, print) end)
  check.misuse("timeout", function() peri.scope({ timeout = "soon" }, print) end)
  check.misuse("polcy", function() peri.scope({ polcy = "any" }, print) end)
  peri.scope(function(s)
    check.misuse("scope expected", function() s.spawn(print) end)
    check.misuse("function expected", function() s:spawn(1) end)
    check.misuse("reason must be a string", function() s:cancel({}) end)
  end)
end)
