-- mutex, keyed_mutex and once: who gets them, when, and what becomes of those who were cancelled. rwlock: rwlock.lua.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local native = native

local function here(offset) return "locks.lua:" .. debug.getinfo(2, "l").currentline + (offset or 0) end

case("LCK-01: exclusion holds across suspensions, and waiters are served in order", function()
  local m, inside, most = peri.mutex(), 0, 0
  local note, taken = check.trace()
  peri.scope(function(s)
    for i = 1, 5 do
      s:spawn(function()
        local g <close> = m:lock()
        inside = inside + 1
        most = math.max(most, inside)
        note(i)
        peri.sleep(1)
        inside = inside - 1
      end)
    end
  end)
  check.equal(taken(), "1 2 3 4 5")
  check.equal(most, 1)
end)

case("LCK-01: nobody barges in between release and the next in line", function()
  local m = peri.mutex()
  local g = m:lock()
  local other = check.holder(function() end, function() return m:lock() end, "other")
  peri.yield()
  g:release()
  check.equal(m:try_lock(), nil)
  check.equal(other:join(), true)
  m:lock():release()
end)

case("LCK-02, CAN-33: a waiter that is cancelled, queued or granted, leaves the lock to the next", function()
  for _, granted in ipairs { false, true } do
    local m = peri.mutex()
    local note, taken = check.trace()
    local g = m:lock()
    local first = check.holder(note, function() return m:lock() end, "first")
    local second = check.holder(note, function() return m:lock() end, "second")
    peri.yield()
    if granted then g:release() end
    first:cancel()
    if not granted then g:release() end
    check.equal(second:join(), true)
    check.equal(taken(), "second")
    check.equal(select(2, first:join()).kind, "cancelled")
    m:lock():release()
  end
end)

case("LCK-03: a lock is not poisoned; the next owner sees how the last holding ended", function()
  local m = peri.mutex()
  check.equal(m.abandoned, false)
  check.raises("boom", m.with, m, error, "boom")
  check.equal(m:with(function() return m.abandoned end), true)
  check.equal(m:with(function() return m.abandoned end), false)
  local task = peri.spawn(function()
    local g <close> = m:lock()
    peri.sleep(10)
  end)
  peri.yield()
  task:cancel()
  task:join()
  check.equal(m.abandoned, true)
  m:lock():release()
  check.equal(m.abandoned, false)
end)

case("LCK-04: the owner that locks again is told where it holds the lock", function()
  local m = peri.mutex()
  local place = here(1)
  local g <close> = m:lock()
  local id = peri.self().id
  local want = ("this mutex is already held by task %d at "):format(id)
  check.misuse(want, function() m:lock() end)
  check.contains(select(2, pcall(m.lock, m)), place)
  check.misuse(want, function() m:with(print) end)
  check.misuse(want, function() peri.select { m:lock_op(), peri.sleep_op(1) } end)
  check.equal(m:try_lock(), nil)
end)

case("LCK-05: a task that ends while it holds releases, and the next owner can see it", function()
  local m = peri.mutex()
  local kept
  local task = peri.spawn(function() kept = m:lock() end)
  local waiter = peri.spawn(function()
    local g <close> = m:lock()
    return m.abandoned
  end)
  check.same({ waiter:join() }, { true, true })
  check.equal(task:status(), "returned")
  check.raises("released already", kept.release, kept)
  kept = nil
  collectgarbage()
  check.same(native.reports(), {})
end)

case("LCK-05: locks of a body that has ended do not wait for its children", function()
  local m = peri.mutex()
  local task = peri.spawn(function()
    local _ = m:lock()
    peri.spawn(function() m:lock():release() end)
  end)
  check.equal(task:join(), true)
end)

case("LCK-06: only the owner releases", function()
  local m = peri.mutex()
  local place = here(1)
  local g = m:lock()
  local ok, e = peri.spawn(function() g:release() end):join()
  check.equal(ok, false)
  check.contains(e.message, place .. ": task")
  check.contains(e.message, "cannot release it")
  g:release()
  check.misuse("released already", function() g:release() end)
  check.misuse("a guard expected", function() g.release() end)
end)

case("LCK-07: a lock operation that lost a select has left the queue", function()
  local m = peri.mutex()
  local owner = check.holder(function() end, function() return m:lock() end, "owner", 5)
  peri.yield()
  check.equal(peri.select({ m = m:lock_op(), t = peri.sleep_op(1) }), "t")
  owner:join()
  local key, g = peri.select { m = m:lock_op(), t = peri.sleep_op(1) }
  check.equal(key, "m")
  g:release()
  check.equal(peri.try_select({ m:lock_op() }), 1)
end)

case("LCK-07: a select that waits gets the lock", function()
  local m, done = peri.mutex(), peri.channel(0)
  local g = m:lock()
  local task = peri.spawn(function()
    local key, mine = peri.select { done = done:recv_op(), lock = m:lock_op() }
    check.equal(key, "lock")
    check.raises("already held", m.lock, m)
    mine:release()
  end)
  peri.yield()
  g:release()
  check.equal(task:join(), true)
end)

case("a guard that is collected unreleased is released with one warning that names its line", function()
  local m, sem = peri.mutex(), peri.semaphore(2)
  local place
  peri.spawn(function()
    (function()
      place = here(1)
      local _ = m:lock()
    end)()
    collectgarbage()
    collectgarbage()
    check.equal(m.abandoned, true)
    local reports = native.reports()
    check.equal(#reports, 1)
    check.contains(reports[1], "a guard of a mutex, taken at ")
    check.contains(reports[1], place .. ", was collected unreleased")
    m:lock():release()
  end):await();
  (function() sem:acquire(2) end)()
  collectgarbage()
  collectgarbage()
  check.equal(#native.reports(), 1)
  check.equal(sem.available, 2)
end)

case("with: results and arguments pass through, and the body may wait", function()
  local m = peri.mutex()
  check.same(table.pack(m:with(function(...)
    peri.sleep(1)
    return select("#", ...), ...
  end, 1, nil)), { 2, 1, nil, n = 3 })
  check.misuse("a function expected", function() m:with(1) end)
  m:lock():release()
end)

case("OBS-01: who waits for a lock is shown with verb and resource", function()
  local m, l, s = peri.mutex(), peri.rwlock(), peri.semaphore(1)
  local held = { m:lock(), l:write(), s:acquire() }
  local waits = {
    lock = function() return m:lock() end,
    read = function() return l:read() end,
    acquire = function() return s:acquire() end,
  }
  local tasks, resources = {}, { lock = "mutex", read = "rwlock", acquire = "semaphore" }
  for _, wait in pairs(waits) do tasks[#tasks + 1] = peri.spawn(function() wait():release() end) end
  peri.yield()
  local seen = {}
  for _, task in ipairs(peri.tasks()) do
    if task.waiting_on and resources[task.waiting_on.op] then seen[task.waiting_on.op] = task.waiting_on.resource end
  end
  check.same(seen, resources)
  check.contains(peri.dump(), " waiting in lock on a mutex for 0.000 s at ")
  for _, guard in ipairs(held) do guard:release() end
end)

case("DLK-02: a cycle of locks is a deadlock at once, with the lines of the holders", function()
  local a, b = peri.mutex(), peri.rwlock()
  local place
  local one = peri.spawn({ name = "one" }, function()
    local x <close> = a:lock()
    peri.yield()
    local y <close> = b:write()
  end)
  local two = peri.spawn({ name = "two" }, function()
    place = here(1)
    local x <close> = b:write()
    peri.yield()
    local y <close> = a:lock()
  end)
  local ok, e = two:join()
  check.equal(ok, false)
  check.kind(e, "deadlock")
  check.contains(e.message, "(one) waits in write on a rwlock held by task")
  check.contains(e.message, place)
  check.equal(one:join(), true)
end)

case("DLK-08: a lock held for too long while somebody waits is told once, with holder and line", function()
  local m = peri.mutex()
  local place
  local owner = peri.spawn(function()
    place = here(1)
    local g <close> = m:lock()
    peri.sleep(100)
  end)
  peri.yield()
  peri.sleep(40)
  check.same(native.reports(), {})
  local first = check.holder(function() end, function() return m:lock() end, "first")
  local second = check.holder(function() end, function() return m:lock() end, "second")
  owner:join()
  first:join()
  second:join()
  local reports = native.reports()
  check.equal(#reports, 1)
  check.contains(reports[1], ("s by task %d at "):format(owner.id))
  check.contains(reports[1], place .. ", which is now at ")
  check.contains(reports[1], "while 2 tasks wait")
end)

case("keyed_mutex: one lock for each key", function()
  local km = peri.keyed_mutex()
  local note, taken = check.trace()
  local a = km:lock("a")
  local b = km:lock(1)
  check.equal(km:try_lock("a"), nil)
  check.raises("this keyed mutex is already held by", km.lock, km, "a")
  local waiter = check.holder(note, function() return km:lock("a") end, "a2")
  local select_waiter = peri.spawn(function()
    local _, g = peri.select { km:lock_op(1) }
    note("select")
    g:release()
  end)
  peri.yield()
  check.equal(taken(), "")
  b:release()
  select_waiter:join()
  a:release()
  waiter:join()
  check.equal(taken(), "select a2")
  check.equal(km:with(2, function() return "in" end), "in")
  check.misuse("a key expected", function() km:lock() end)
  check.misuse("a key must not be NaN", function() km:lock(0 / 0) end)
end)

case("keyed_mutex: keys nobody holds take no room", function()
  local km = peri.keyed_mutex()
  local function churn()
    for i = 1, 2000 do km:lock(i):release() end
    collectgarbage() -- finalizes the guards
    collectgarbage()
  end
  churn()
  local before = collectgarbage("count")
  for _ = 1, 10 do churn() end
  check.truthy(collectgarbage("count") - before < 100)
end)

case("ONC-01: the initializer runs once, and all see its values", function()
  local runs, seen = 0, {}
  local o = peri.once(function()
    runs = runs + 1
    peri.sleep(1)
    return "a", nil, "c"
  end)
  peri.scope(function(s)
    for i = 1, 10 do s:spawn(function() seen[i] = table.pack(o:get()) end) end
  end)
  check.equal(runs, 1)
  for i = 1, 10 do check.same(seen[i], { "a", nil, "c", n = 3 }) end
  check.same(table.pack(o:get()), { "a", nil, "c", n = 3 })
end)

case("ONC-02: an initializer that fails or is cancelled leaves it to the next in line", function()
  local attempt = 0
  local o = peri.once(function()
    attempt = attempt + 1
    local mine = attempt
    peri.sleep(1)
    if mine == 1 then error("first fails", 0) end
    if mine == 2 then peri.sleep(100) end
    return mine
  end)
  local tasks = {}
  for i = 1, 4 do tasks[i] = peri.spawn(function() return o:get() end) end
  peri.sleep(3)
  tasks[2]:cancel()
  check.equal(select(2, tasks[1]:join()).message, "first fails")
  check.equal(select(2, tasks[2]:join()).kind, "cancelled")
  check.same({ tasks[3]:join() }, { true, 3 })
  check.same({ tasks[4]:join() }, { true, 3 })
end)

case("ONC-03: an initializer that asks for its own value is told so", function()
  local o
  o = peri.once(function() return o:get() end)
  check.raises("this once is already held by task", o.get, o)
  check.misuse("a function expected", function() peri.once(1) end)
end)
