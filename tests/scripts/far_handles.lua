-- workers: 3
-- Handles that every VM has: tasks, tokens and semaphores, used from others than the one that made them.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

local function far(fn, ...) return peri.parallel({ worker = 2 }, fn, ...) end

case("SND-03: a task is joined and awaited from another VM, with all that it returned", function()
  local t = peri.spawn({ name = "here" }, function() peri.sleep(0.002) return 1, nil, { 3 }, nil end)
  local n, ok, one, two, three = far(function(task)
    local r = table.pack(task:join())
    return r.n, r[1], r[2], r[3], r[4][1]
  end, t):await()
  check.equal(n, 5) check.equal(ok, true) check.equal(one, 1) check.equal(two, nil) check.equal(three, 3)
  check.equal(far(function(task) return select("#", task:await()), task.id, task.name end, t):await(), 4)
  local id, name, again = far(function(task) return task.id, task.name, task end, t):await()
  check.equal(id, t.id) check.equal(name, "here")
  check.equal(again == t, true)
end)

case("SND-04: its failure arrives whole, and counts as looked at", function()
  local t = peri.spawn({ name = "writer" }, function() peri.sleep(0.002) error({ code = 7 }) end)
  local kind, code, name, traced, raised = far(function(task)
    local _, e = task:join()
    local _, again = pcall(task.await, task)
    return e.kind, e.value.code, e.task.name, e.traceback:find("far_handles.lua", 1, true) ~= nil, again.value.code
  end, t):await()
  check.equal(kind, "error") check.equal(code, 7) check.equal(name, "writer") check.equal(traced, true) check.equal(raised, 7)
end)

case("SND-02: results that cannot cross fail the join elsewhere, not the task", function()
  local t = peri.spawn(function() return coroutine.create(print) end)
  local kind, text = far(function(task) local _, e = task:join() return e.kind, e.message end, t):await()
  check.equal(kind, "transfer") check.equal(text, "cannot cross VMs: results[1] is a coroutine")
  check.equal(type(t:await()), "thread")
end)

case("CAN-08: a task is cancelled and killed from another VM", function()
  local t = peri.spawn(function() peri.sleep(1000) end)
  far(function(task) task:cancel("enough") end, t):await()
  check.equal(select(2, t:join()).reason, "enough")
  local shielded = peri.spawn(function() peri.shield(peri.sleep, 1000) end)
  peri.yield()
  local state = far(function(task) task:kill("now") local _, e = task:join() return e.kind end, shielded):await()
  check.equal(state, "cancelled")
end)

case("a task's status is asked for on its own worker", function()
  local t = peri.spawn(function() peri.sleep(0.01) return 1 end)
  peri.yield()
  local before, after = far(function(task)
    local state = task:status()
    task:join()
    return state, task:status()
  end, t):await()
  check.equal(before, "waiting") check.equal(after, "returned")
end)

case("SEL-16: a join of a task elsewhere loses a select and is there later; with a limit too", function()
  local go = peri.shared_channel(1)
  local t = peri.spawn(function() go:recv() return "done" end)
  local key, timed, later = far(function(task, let_go)
    local first = peri.select { over = task:join_op(), tick = peri.sleep_op(0.001) }
    local _, why = task:join(0.001)
    let_go:send(true)
    local second, ok, v = peri.select { over = task:join_op(), tick = peri.sleep_op(100) }
    return first, why, second .. tostring(ok) .. v
  end, t, go):await()
  check.equal(key, "tick") check.equal(timed, "timeout") check.equal(later, "overtruedone")
end)

case("JOIN-13: a task whose handle was sent away and looked at by nobody is still reported once", function()
  local seen = {}
  peri.on_unobserved(function(t, e) seen[#seen + 1] = tostring(e.value) end)
  local function run()
    local t = peri.spawn(function() peri.sleep(0.001) error("lost", 0) end)
    far(function(task) peri.sleep(0.003) return task:status() end, t):await()
  end
  run()
  for _ = 1, 100 do
    collectgarbage()
    far(function() collectgarbage() end):await()
    peri.sleep(0.001)
    if seen[1] then break end
  end
  peri.on_unobserved(nil)
  check.equal(#seen, 1) check.equal(seen[1], "lost")
end)

case("CAN-27: a token is cancelled in one VM and seen in all, by those who ask and those who wait", function()
  local tok = peri.token()
  local go = peri.shared_channel(2)
  local waits = {}
  for w = 1, 3 do
    waits[w] = peri.parallel({ worker = w }, function(t, ch)
      ch:send(true)
      local why = t:wait()
      return why, t:is_cancelled(), t.reason, t:child():is_cancelled()
    end, tok, go)
  end
  for _ = 1, 3 do go:recv() end
  check.equal(tok:is_cancelled(), false)
  local at_once = far(function(t) t:cancel("enough") return t:is_cancelled() end, tok):await()
  check.equal(at_once, true)
  check.equal(tok:is_cancelled(), true) check.equal(tok.reason, "enough")
  for w = 1, 3 do
    local why, is, reason, child = waits[w]:await()
    check.equal(why, "enough") check.equal(is, true) check.equal(reason, "enough") check.equal(child, true)
  end
  check.equal(far(function(t) return t:is_cancelled() end, tok):await(), true)
end)

case("CAN-29: a scope bound to a token ends wherever it runs, and one that computes asks", function()
  local tok, go = peri.token(), peri.shared_channel(2)
  local bound = far(function(t, ch)
    ch:send(1)
    return select(2, peri.with_token(t, peri.sleep, 1000))
  end, tok, go)
  local asks = peri.blocking(function(t, ch)
    ch:try_send(2)
    while not t:is_cancelled() do end
    return true
  end, tok, go)
  go:recv() go:recv()
  tok:cancel()
  check.equal(bound:await(), "cancelled")
  check.equal(asks:await(), true)
end)

case("a token that comes back is the same, and children are cancelled with their parent elsewhere", function()
  local tok = peri.token()
  local child = tok:child()
  local back = far(function(t) return t end, tok):await()
  check.equal(back == tok, true)
  check.equal(back == child, false)
  local wait = far(function(c) return c:wait() end, child)
  peri.sleep(0.001)
  tok:cancel("parent")
  check.equal(wait:await(), "parent")
end)

-- How many wait for semaphores in this VM.
local function waiting_here()
  local sum = 0
  for _, resource in ipairs(peri.resources()) do
    if resource.kind == "semaphore" then sum = sum + resource.waiters end
  end
  return sum
end

case("SEM-01: permits go from VM to VM in the order in which they were asked for", function()
  local sem, order = peri.semaphore(1), peri.shared_channel(10)
  local first = sem:acquire()
  local tasks = {}
  for i = 1, 6 do
    local worker = { worker = (i - 1) % 3 + 1 }
    tasks[i] = peri.parallel(worker, function(s, out, me)
      local p <close> = s:acquire()
      out:send(me)
      peri.sleep(0.0005)
    end, sem, order, i)
    while peri.parallel(worker, waiting_here):await() < (i + 2) // 3 do peri.yield() end
  end
  first:release()
  for i = 1, 6 do check.equal(order:recv(), i) end
  for i = 1, 6 do tasks[i]:await() end
  check.equal(sem.available, 1) check.equal(sem.total, 1)
end)

case("SEM-04, SEL-07: who gives up waiting leaves no trace, and takes nothing along", function()
  local sem = peri.semaphore(2)
  local held = sem:acquire(2)
  local keys = far(function(s)
    local seen = {}
    for i = 1, 10 do seen[i] = peri.select { p = s:acquire_op(1 + i % 2), t = peri.sleep_op(0.0002) } end
    local got = s:try_acquire()
    return table.concat(seen), got == nil
  end, sem)
  local words, refused = keys:await()
  check.equal(words, ("t"):rep(10)) check.equal(refused, true)
  local queued = far(function(s) s:acquire() end, sem)
  peri.sleep(0.002)
  queued:cancel()
  queued:join()
  held:release()
  check.equal(sem.available, 2)
  check.equal(far(function(s) local p <close> = s:acquire(2) return s.available end, sem):await(), 0)
  check.equal(sem.available, 2)
end)

case("SEM-08: closing refuses those who wait, in every VM", function()
  local sem = peri.semaphore(1)
  local held = sem:acquire()
  local here = peri.spawn(function() return sem:acquire() end)
  peri.yield()
  local there = far(function(s) return s:acquire() end, sem)
  peri.sleep(0.002)
  far(function(s) s:close() end, sem):await()
  check.equal(select(2, here:await()), "closed")
  check.equal(select(2, there:await()), "closed")
  check.equal(select(2, sem:acquire()), "closed")
  held:release()
end)

case("SEM-03: the permits of tasks that fail or are cancelled elsewhere come back", function()
  local sem = peri.semaphore(2)
  local t = far(function(s) local p <close> = s:acquire() error("bad", 0) end, sem)
  check.equal(t:join(), false)
  local u = far(function(s) local p <close> = s:acquire() peri.sleep(1000) end, sem)
  while sem.available == 2 do peri.sleep(0.0005) end
  u:cancel()
  u:join()
  check.equal(sem.available, 2)
end)

case("OBS-01: resources count who waits for a shared channel or a semaphore in all VMs", function()
  local jobs <close>, sem = peri.shared_channel(0, "far jobs"), peri.semaphore(1)
  local permit <close> = sem:acquire()
  local waiting = {}
  for w = 1, 3 do
    waiting[w] = peri.parallel({ worker = w }, function(ch) return ch:recv() end, jobs)
    waiting[w + 3] = peri.parallel({ worker = w }, function(s) local p <close> = s:acquire() return p.count end, sem)
  end
  while jobs:stats().waiting_receivers < 3 or sem.waiting < 3 do peri.sleep(0.001) end
  local function shown(wanted)
    local seen = {}
    for _, each in ipairs(peri.resources()) do if each.kind == wanted then seen[#seen + 1] = each end end
    return seen
  end
  local again = peri.parallel({ worker = 2 }, function(ch) return ch end, jobs):await() -- a second handle of the same channel
  local channels = shown "shared_channel"
  check.equal(#channels, 1) check.equal(channels[1].name, "far jobs") check.equal(channels[1].waiters, 3)
  check.equal(again == jobs, true) check.equal(channels[1].state, "open")
  check.contains(peri.dump(), "shared_channel far jobs open, 0 of 0 values, waited for by 3")
  local waiters = 0
  for _, each in ipairs(shown "semaphore") do waiters = math.max(waiters, each.waiters) end
  check.equal(waiters, 3)
  jobs:close()
  permit:release()
  for w = 1, 3 do check.equal(waiting[w]:await(), nil) check.equal(waiting[w + 3]:await(), 1) end
end)

case("CAN-32: random cancels of who acquires on three workers: no permit is lost or doubled", function()
  local sem = peri.semaphore(3)
  local tasks = {}
  for w = 1, 3 do
    tasks[w] = peri.parallel({ worker = w }, function(s, seed)
      math.randomseed(seed)
      local most = 0
      for _ = 1, 150 do
        peri.try_timeout(math.random() * 0.0006, function()
          local n = math.random(3)
          local p <close> = s:acquire(n)
          most = math.max(most, n + s.available)
          peri.sleep(math.random() * 0.0004)
        end)
      end
      return most
    end, sem, w)
  end
  for w = 1, 3 do check.equal(tasks[w]:await() <= 3, true) end
  check.equal(sem.available, 3)
end)
