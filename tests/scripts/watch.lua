-- peri.watch: the newest value, and who wants to know when it changes.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function waits(task)
  peri.yield()
  check.equal(task:status(), "waiting")
end

case("WAT-01: the value at subscribe counts as seen", function()
  local w = peri.watch("first")
  w:set("second")
  local r = w:subscribe()
  check.equal(r:get(), "second")
  local changed = peri.spawn(r.changed, r)
  waits(changed)
  w:set("third")
  check.equal(changed:await(), true)
  check.equal(r:get(), "third")
end)

case("WAT-02: five sets before the reader runs are one change", function()
  local w = peri.watch(0)
  local r = w:subscribe()
  for v = 1, 5 do check.equal(w:set(v), true) end
  check.equal(r:changed(), true)
  check.equal(r:get(), 5)
  local again = peri.spawn(r.changed, r)
  waits(again)
  again:cancel()
end)

case("WAT-02: also for a reader that waits", function()
  local w = peri.watch(0)
  local r = w:subscribe()
  local changed = peri.spawn(function() return r:changed(), r:get() end)
  waits(changed)
  for v = 1, 5 do w:set(v) end
  check.same({ changed:await() }, { true, 5 })
  check.equal(peri.try_select { r:changed_op() }, nil)
end)

case("WAT-04: get marks nothing, get_and_mark does", function()
  local w = peri.watch(0)
  local r = w:subscribe()
  w:set(1)
  check.equal(r:get(), 1)
  check.same({ peri.try_select { r:changed_op() } }, { 1, true })
  w:set(2)
  check.equal(r:get_and_mark(), 2)
  check.equal(peri.try_select { r:changed_op() }, nil)
end)

case("WAT-05: set without receivers stores", function()
  local w = peri.watch(0)
  check.equal(w:set(1), true)
  check.equal(w:get(), 1)
  check.equal(w:subscribe():get(), 1)
end)

case("WAT-06: an update that returns nil wakes nobody", function()
  local w = peri.watch(1)
  local r = w:subscribe()
  local changed = peri.spawn(r.changed, r)
  check.equal(w:update(function() end), false)
  waits(changed)
  check.equal(w:update(function(v) return v + 1 end), true)
  check.equal(changed:await(), true)
  check.equal(w:get(), 2)
  check.same(w:stats(), { version = 1, subscribers = 1, waiting_receivers = 0, closed = false })
end)

case("WAT-07: an update that raises changes nothing, later ones work", function()
  local w = peri.watch(1)
  check.raises("boom", w.update, w, function() error("boom") end)
  check.equal(w:stats().version, 0)
  check.equal(w:update(function(v) return v + 1 end), true)
  check.equal(w:get(), 2)
end)

case("WAT-07: an update must not wait", function()
  local w = peri.watch(1)
  check.raises("cannot suspend inside", w.update, w, function(v) peri.sleep(1) return v end)
  check.equal(w:get(), 1)
end)

case("WAT-08: wait_for returns at once when it holds, even if seen", function()
  local w = peri.watch(7)
  local r = w:subscribe()
  check.equal(r:wait_for(function(v) return v == 7 end), 7)
  local big = peri.spawn(function() return r:wait_for(function(v) return v > 9 end) end)
  for v = 8, 12 do
    waits(big)
    w:set(v)
    if v > 9 then break end
  end
  check.equal(big:await(), 10)
  check.raises("bad pred", r.wait_for, r, function() error("bad pred") end)
end)

case("WAT-08: wait_for ends with the watch, unless the last value holds", function()
  local w = peri.watch(1)
  local first, second = w:subscribe(), w:subscribe()
  local never = peri.spawn(function() return first:wait_for(function(v) return v > 99 end) end)
  local last = peri.spawn(function() return second:wait_for(function(v) return v == 5 end) end)
  waits(last)
  w:set(5)
  w:close()
  check.same({ never:await() }, { nil, "closed" })
  check.equal(last:await(), 5)
  check.equal(second:wait_for(function(v) return v == 5 end), 5)
end)

case("WAT-09: an equal value is a change", function()
  local w = peri.watch("same")
  local r = w:subscribe()
  w:set("same")
  check.equal(r:changed(), true)
end)

case("WAT-10: changed that loses a select marks nothing", function()
  local w, ch = peri.watch(0), peri.channel(1)
  local r = w:subscribe()
  check.equal(peri.select { change = r:changed_op(), late = peri.sleep_op(1) }, "late")
  w:set(1)
  ch:send("v")
  check.same({ peri.select({ ch:recv_op(), r:changed_op() }, { biased = true }) }, { 1, "v" })
  check.equal(r:changed(), true)
end)

case("CAN-32: cancelled between the change and the resume, it is not seen", function()
  local w = peri.watch(0)
  local r = w:subscribe()
  local changed = peri.spawn(r.changed, r)
  waits(changed)
  w:set(1)
  changed:cancel()
  check.equal((changed:join()), false)
  check.same({ peri.try_select { r:changed_op() } }, { 1, true })
end)

case("every task that waits at a receiver is told of a change", function()
  local w = peri.watch(0)
  local r = w:subscribe()
  local a, b = peri.spawn(r.changed, r), peri.spawn(r.changed, r)
  waits(b)
  w:set(1)
  check.equal(a:await(), true)
  check.equal(b:await(), true)
  check.equal(peri.try_select { r:changed_op() }, nil)
end)

case("CHN-05: closed: a change not seen comes first, then the end", function()
  local w = peri.watch(0)
  local r, idle = w:subscribe(), w:subscribe()
  local waiting = peri.spawn(idle.changed, idle)
  waits(waiting)
  w:set(1)
  check.equal(waiting:await(), true)
  local again = peri.spawn(idle.changed, idle)
  waits(again)
  w:close()
  w:close()
  check.same({ again:await() }, { nil, "closed" })
  check.equal(r:changed(), true)
  for _ = 1, 2 do check.same({ r:changed() }, { nil, "closed" }) end
  check.same({ w:set(2) }, { nil, "closed" })
  check.same({ w:update(function() error("not called") end) }, { nil, "closed" })
  check.equal(r:get(), 1)
  check.same({ w:subscribe():changed() }, { nil, "closed" })
end)

case("a receiver that is closed or collected is no longer counted", function()
  local w = peri.watch(0)
  local r = w:subscribe()
  local waiting = peri.spawn(r.changed, r)
  waits(waiting)
  check.same(w:stats(), { version = 0, subscribers = 1, waiting_receivers = 1, closed = false })
  r:close()
  r:close()
  check.same({ waiting:await() }, { nil, "closed" })
  w:set(1)
  check.same({ r:changed() }, { nil, "closed" })
  do local gone = w:subscribe() end
  check.equal(w:stats().subscribers, 1)
  collectgarbage()
  check.equal(w:stats().subscribers, 0)
  check.equal(w:set(2), true)
end)

case("misuse names the argument", function()
  local w = peri.watch(0)
  local r = w:subscribe()
  check.misuse("nil is not a message", function() w:set() end)
  check.misuse("bad argument #1 to 'watch' (nil is not a message", function() peri.watch(nil) end)
  check.misuse("bad argument #2 to 'update' (a function expected, got 1)", function() w.update(w, 1) end)
  check.misuse("bad argument #2 to 'wait_for' (a function expected, got no value)", function() r.wait_for(r) end)
  check.misuse("a receiver of a watch expected", function() r.get(w) end)
end)

case("OBS-01: waits are shown with verb and resource", function()
  local w = peri.watch(0)
  local r = w:subscribe()
  local waiting = peri.spawn(r.changed, r)
  peri.yield()
  check.contains(peri.dump(), "in changed on a watch")
  waiting:cancel()
end)

-- Random sets, waits and cancels; a receiver's model is the version it has seen.
local function run_model(seed)
  math.randomseed(seed)
  local w, version, closed = peri.watch(0), 0, false
  local receivers, tasks, seen, outcomes = {}, {}, {}, {}
  for i = 1, 3 do receivers[i] = { r = w:subscribe(), seen = 0, waiting = {} } end

  -- Everybody runs: who waits at a receiver that has not seen the newest value is told.
  local function settle()
    for _, one in ipairs(receivers) do
      local why = one.seen < version and "change" or closed and "closed"
      if why then
        for _, id in ipairs(one.waiting) do
          outcomes[id] = why
          one.seen = version
          why = closed and "closed" or why
        end
        one.waiting = {}
      end
    end
    peri.yield()
    check.same(seen, outcomes)
  end
  local function wait_somewhere()
    settle()
    local one, id = receivers[math.random(3)], #tasks + 1
    tasks[id] = peri.spawn(function()
      local ok, why
      if math.random(2) == 1 then ok, why = one.r:changed() else _, ok, why = peri.select { one.r:changed_op(), peri.sleep_op(1e9) } end
      seen[id] = ok and "change" or why
    end)
    table.insert(one.waiting, id)
    settle()
  end
  local function set()
    local done = w:set(version + 1)
    check.equal(done, not closed or nil)
    if done then version = version + 1 end
  end
  local function cancel()
    local one = receivers[math.random(3)]
    if #one.waiting == 0 then return end
    local id = table.remove(one.waiting, math.random(#one.waiting))
    tasks[id]:cancel()
    seen[id], outcomes[id] = "cancelled", "cancelled"
  end
  local function try()
    settle()
    local one = receivers[math.random(3)]
    local key, ok, why = peri.try_select { one.r:changed_op() }
    if one.seen < version then
      check.same({ key, ok }, { 1, true })
      one.seen = version
    elseif closed then
      check.same({ key, ok, why }, { 1, nil, "closed" })
    else
      check.equal(key, nil)
    end
  end
  local steps = { wait_somewhere, wait_somewhere, set, set, cancel, cancel, try, settle }
  for _ = 1, 40 do
    for _ = 1, math.random(3) do steps[math.random(#steps)]() end
    local waiting = 0
    if math.random(60) == 1 then w:close(); closed = true end
    settle()
    for _, one in ipairs(receivers) do waiting = waiting + #one.waiting end
    check.equal(w:stats().waiting_receivers, waiting)
    check.equal(w:get(), version)
  end
  w:close()
  closed = true
  settle()
end

case:ordered("WAT-10: random operations and cancels agree with a model", function()
  for seed = 1, 200 do run_model(seed) end
end)
