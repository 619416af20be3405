-- fuel: 5000
-- Tasks that compute without waiting: the others run meanwhile, nothing changes its result, and where Lua cannot suspend
-- the hold limit ends the task.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

case("COP-06: others run while a task computes", function()
  local seen = 0
  local busy = peri.spawn(function()
    local n = 0
    while seen < 5 do n = n + 1 end
    return n
  end)
  local other = peri.spawn(function()
    for _ = 1, 5 do seen = seen + 1 peri.yield() end
  end)
  check.equal(other:join(), true)
  check.truthy(busy:await() > 1000, "it computed meanwhile")
end)

case("a statement that calls nothing is never torn", function()
  local n = 0
  peri.scope(function(s)
    for _ = 1, 4 do
      s:spawn(function() for _ = 1, 50000 do n = n + 1 end end)
    end
  end)
  check.equal(n, 200000)
end)

case("COP-07: a sort, a substitution and a generator that are interrupted give what they always give", function()
  local list = {}
  for i = 1, 3000 do list[i] = (i * 7919) % 3001 end
  local tasks = {}
  for i = 1, 3 do
    tasks[i] = peri.spawn(function()
      local own = table.move(list, 1, #list, 1, {})
      table.sort(own, function(a, b) return a < b end)
      local text = (("abc "):rep(2000):gsub("%w", function(c) local up = c:upper() return up end))
      local values, sum = coroutine.wrap(function() for k = 1, 5000 do coroutine.yield(k) end end), 0
      for v in values do sum = sum + v end
      return own, text, sum
    end)
  end
  for i = 1, 3 do
    local own, text, sum = tasks[i]:await()
    for k = 2, #own do check.truthy(own[k - 1] < own[k], "sorted") end
    check.equal(text, ("ABC "):rep(2000))
    check.equal(sum, 5000 * 5001 // 2)
  end
end)

case("ISO-02: what a coroutine yields is all that its resumer sees of it", function()
  peri.spawn({ daemon = true }, function() while true do peri.yield() end end)
  local co = coroutine.create(function()
    for i = 1, 20 do
      for _ = 1, 3000 do local _ = i end
      coroutine.yield(i)
    end
    return "end"
  end)
  for i = 1, 20 do check.same(table.pack(coroutine.resume(co)), table.pack(true, i)) end
  check.same(table.pack(coroutine.resume(co)), table.pack(true, "end"))
end)

local function forever() while true do end end

case("the hold limit ends a task where Lua cannot suspend, and names the place", function()
  local places = {
    ["table.sort"] = function() table.sort({ 2, 1 }, forever) end,
    ["string.gsub"] = function() local _ = ("x"):gsub("x", forever) end,
    ["a message handler (xpcall)"] = function() xpcall(error, forever) end,
    ["peri.critical"] = function() peri.critical(forever) end,
  }
  for name, body in pairs(places) do
    local task = peri.spawn({ name = "holder" }, body)
    local ok, e = task:join()
    check.equal(ok, false)
    check.kind(e, "cancelled")
    check.contains(e.reason, "held the worker in " .. name .. ", ")
    check.contains(e.reason, "preempt_fuel.lua:")
    local reports = native.reports()
    check.equal(#reports, 1)
    check.contains(reports[1], ("warning: task %d (holder) held the worker in %s"):format(task.id, name))
  end
end)

case("peri.critical is not interrupted", function()
  local inside, seen = false, nil
  local other = peri.spawn(function() seen = inside end)
  peri.critical(function()
    inside = true
    for _ = 1, 50000 do end
    inside = false
  end)
  other:join()
  check.equal(seen, false)
end)

case("CAN-12: a task that cancels itself and goes on computing is ended", function()
  local task = peri.spawn(function()
    peri.self():cancel("me")
    while true do end
  end)
  local ok, e = task:join()
  check.equal(ok, false)
  check.equal(e.reason, "me")
end)

case("ISO-07: scripts cannot touch the hooks", function()
  check.raises("the runtime owns the hooks", debug.sethook)
end)
