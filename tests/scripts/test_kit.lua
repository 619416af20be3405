-- perilune.test itself: what its assertions say, what its clock does, what it finds.
local peri = require "perilune"
local test = require "perilune.test"

local function message(assertion, ...)
  local ok, e = pcall(test[assertion], ...)
  return not ok and e or "passed"
end

test("assertions pass", function(t)
  t.equal(1, 1.0)
  t.equal(0 / 0, 0 / 0)
  t.same({ 1, { a = "b" } }, { 1, { a = "b" } })
  local cycle, other = {}, {}
  cycle.self, other.self = cycle, other
  t.same(cycle, other)
  t.contains("a.b", ".")
  t.contains({ 1, { 2 } }, { 2 })
  t.lacks("ab", ".")
  t.equal(t.truthy(5), 5)
  local e = t.raises("timed out", peri.timeout, 0.1, peri.sleep, 1)
  t.equal(t.kind(e, "timeout"), e)
end)

test("failures show both values, shortly where they are short", function(t)
  t.equal(message("equal", 2, "2"), 'expected "2", got 2')
  t.equal(message("equal", 2, 3, "the sum"), "the sum: expected 3, got 2")
  t.equal(message("same", { 1, x = { 2 } }, { 1 }), "expected {1}, got {1, x = {2}}")
  t.equal(message("equal", {}, {}), "expected the very same table, got another with the same contents; use t.same to compare contents")
  t.equal(message("truthy", false), "expected a true value, got false")
  t.equal(message("contains", { 1 }, 2), "expected a table with 2, got {1}")
  t.equal(message("lacks", "abc", "b"), 'expected a text without "b", got "abc"')
  t.equal(message("raises", "x", error, "y"), 'expected an error with "x", got "y"')
  t.equal(message("raises", "x", type, 1), 'expected an error with "x", got none')
  t.equal(message("kind", "text", "timeout"), 'expected an error of kind "timeout", got "text"')
  local cycle = { 1 }
  cycle[2] = cycle
  t.equal(message("same", cycle, 5), "expected 5, got {1, <itself>}")
  t.equal(message("fail", "no way"), "no way")
end)

test("failures of large values show where they differ", function(t)
  local function list(change)
    local values = {}
    for i = 1, 30 do values[i] = { name = "item " .. i } end
    if change then values[20].name, values[25].extra = change, true end
    return values
  end
  t.equal(message("same", list "other", list()), [[
tables differ
  [20].name: expected "item 20", got "other"
  [25].extra: expected nil, got true]])
  local text = ("line\n"):rep(30)
  t.equal(message("equal", text .. "b\nc", text .. "x\nc"), [[
texts differ in line 31
  expected: "x"
  got:      "b"]])
end)

test("a failure stands at the line of the assertion", function(t)
  local ok, e = pcall(function() t.equal(1, 2) end)
  local line = debug.getinfo(1, "l").currentline - 1
  t.equal(ok, false)
  t.contains(e, "test_kit.lua:" .. line .. ": expected 2, got 1")
end)

test("VIR-05: advance walks from instant to instant", function(t)
  local seen = {}
  for i = 1, 10 do
    peri.spawn(function()
      peri.sleep(i)
      seen[i] = t.elapsed()
      peri.sleep(0.5)
      seen[i + 0.5] = t.elapsed()
    end)
  end
  t.advance(4)
  t.equal(#seen, 4)
  t.equal(seen[3.5], 3.5)
  t.equal(seen[4.5], nil)
  t.equal(t.elapsed(), 4)
  t.advance(0.5)
  t.equal(seen[4.5], 4.5)
  t.run_until_idle()
  t.equal(seen[10.5], 10.5)
  t.equal(t.elapsed(), 10.5)
end)

test("VIR-07: wait_all_blocked comes before the clock moves", function(t)
  local woke = false
  peri.spawn(function()
    for _ = 1, 100 do peri.yield() end
    peri.sleep(1)
    woke = true
  end)
  t.wait_all_blocked()
  t.equal(t.elapsed(), 0)
  t.equal(woke, false)
end)

test("assert_no_leaks names the task and its places", function(t)
  t.assert_no_leaks()
  local task = peri.spawn({ name = "stray" }, peri.sleep, 1)
  t.wait_all_blocked()
  local e = t.raises("left behind: task " .. task.id .. " (stray), waiting in sleep on a timer", t.assert_no_leaks)
  t.contains(e, "spawned at ")
  task:cancel()
  task:join()
  t.assert_no_leaks()
end)

test("cleanups run last first, each whatever the others do", function(t)
  local order = {}
  local inner = peri.spawn(function()
    t.cleanup(function() order[#order + 1] = 1 end)
    t.cleanup(function() order[#order + 1] = peri.now() and 2 end)
  end)
  inner:await()
  t.cleanup(function() t.same(order, {}) end)
end)

test.group("hooks", function()
  local log = {}
  test.before(function(t) t.value, log = "outer", { "before" } end)
  test.after(function(t)
    log[#log + 1] = "after " .. t.value
    t.same(log, { "before", "inner before", "body", "inner after", "after inner" })
  end)
  test.group("inner", function()
    test.before(function(t)
      peri.sleep(1)
      t.value = "inner"
      log[#log + 1] = "inner before"
    end)
    test.after(function()
      peri.sleep(1)
      log[#log + 1] = "inner after"
    end)
    test("run from the outside in, and back", function(t)
      t.equal(t.name, "hooks > inner > run from the outside in, and back")
      log[#log + 1] = "body"
    end)
  end)
end)

test("VIR-08: the trace of the same program is the same, byte for byte", function(t)
  local function program()
    local a, b = peri.channel(0), peri.channel(2)
    for i = 1, 4 do
      peri.spawn({ name = "sender " .. i }, function()
        peri.sleep(i % 2)
        peri.select { a:send_op(i), b:send_op(i) }
      end)
    end
    for _ = 1, 4 do peri.select { a:recv_op(), b:recv_op() } end
  end
  local first = t.trace(program)
  peri.sleep(1)
  t.equal(t.trace(program), first)
  t.contains(first, "0.000000000 task 1 spawned\n")
  t.contains(first, "1.000000000 task 2 (sender 1) runs\n")
  t.contains(first, "task 1 returned\n")
end)

test.group("cancel_everywhere", function()
  test("cancels once at each suspension, of a child too", function(t)
    local begun, ended, places = 0, 0, {}
    local points = t.cancel_everywhere(function()
      begun = begun + 1
      local ch = peri.channel(0)
      peri.spawn(function() ch:send(1) peri.sleep(1) end)
      ch:recv()
      peri.sleep(2)
      ended = ended + 1
    end, function(n, place) places[#places + 1] = n and n .. " " .. place:match("^%a+") or "end" end)
    t.equal(begun, points + 1)
    t.equal(ended, 1)
    t.same(places, { "1 recv", "2 sleep", "3 sleep", "end" })
  end)

  test("finds what is not given back", function(t)
    local held = 0
    local function careless()
      held = held + 1
      peri.sleep(1)
      held = held - 1
    end
    t.raises("expected 0, got 1", t.cancel_everywhere, careless, function() t.equal(held, 0) end)
  end)

  test("finds who is left behind, who hangs, and who fails", function(t)
    local e = t.raises("left behind: ", t.cancel_everywhere, function()
      peri.spawn({ detached = true }, peri.sleep, 100)
      peri.sleep(1)
    end)
    t.contains(e, "cancelled at suspension 1, in sleep on a timer at ")
    t.assert_no_leaks()
    t.raises("disk full", t.cancel_everywhere, function()
      local _ <close> = peri.defer(function() error "disk full" end)
      peri.sleep(1)
    end)
    t.raises("did not end within its grace", t.cancel_everywhere, function()
      local ch = peri.channel(0)
      local _ <close> = setmetatable({}, { __close = function() peri.shield(ch.recv, ch) end })
      peri.sleep(1)
    end)
  end)
end)

test("what was reported can be taken", function(t)
  peri.spawn(function() error "nobody looks" end)
  t.wait_all_blocked()
  local reports = t.reports()
  t.equal(#reports, 1)
  t.contains(reports[1], "nobody looks")
end)

test("misuse is told at the caller's line", function(t)
  local function place(line) return "test_kit.lua:" .. line .. ": " end
  local line = debug.getinfo(1, "l").currentline
  local calls = {
    { "bad argument #1 to 'advance' (seconds from 0 on expected, got -1)", function() t.advance(-1) end },
    { "bad argument #1 to 'skip' (the reason, a text expected, got nil)", function() t.skip() end },
    { "'test' called inside a running test", function() test("x", print) end },
    { "'group' called inside a running test", function() test.group("x", print) end },
    { "bad argument #1 to 'raises' (a part of the message expected, got function)", function() t.raises(print) end },
  }
  for i, call in ipairs(calls) do
    local ok, e = pcall(call[2])
    t.equal(ok, false)
    t.contains(e, place(line + 1 + i) .. call[1])
  end
end)
