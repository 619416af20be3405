-- Looking inside: what is shown of tasks, resources and waits is what is.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function here() return "inspect.lua:" .. debug.getinfo(2, "l").currentline end

local function ends_with(text, part) check.equal(text and text:sub(-#part), part) end

local function find(list, field, value)
  for _, each in ipairs(list) do
    if each[field] == value then return each end
  end
  error("no " .. field .. " " .. tostring(value), 2)
end

local function cancel_all(tasks)
  for _, task in ipairs(tasks) do task:cancel() end
  for _, task in ipairs(tasks) do task:join() end
end

-- Kinds of waits: each gives what its task is to call, what is shown of it, and where it stands.
local empty, full, held = peri.channel(0), peri.channel(1), peri.token()
full:try_send(1)
local line = {}
local kinds = {
  { "recv", "channel", function() line.recv = here() empty:recv() end },
  { "send", "channel", function() line.send = here() full:send(2) end },
  { "sleep", "timer", function() line.sleep = here() peri.sleep(1000) end },
  { "wait", "token", function() line.wait = here() held:wait() end },
  { "select", "operations", function() line.select = here() peri.select { empty:recv_op(), held:wait_op() } end },
}

case("OBS-01: fifty tasks in known states, each with state, age, resource, line, parent, name, labels and spawn site", function()
  local tasks, site = {}, nil
  for i = 1, 50 do
    local kind = kinds[(i - 1) % #kinds + 1]
    site = here() tasks[i] = peri.spawn({ name = "task " .. i, labels = { n = i } }, kind[3])
    peri.sleep(1)
  end
  local ready = peri.spawn(print)
  local shown = peri.tasks()
  for i, task in ipairs(tasks) do
    local kind, record = kinds[(i - 1) % #kinds + 1], find(shown, "id", task.id)
    check.equal(record.name, "task " .. i)
    check.equal(record.state, "waiting")
    check.equal(record.labels.n, i)
    check.equal(record.parent, peri.self().id)
    check.equal(record.busy, 1)
    check.truthy(math.abs(record.age - (51 - i)) < 0.01, "age")
    check.truthy(math.abs(record.waiting_on.since - (51 - i)) < 0.01, "since")
    check.equal(record.waiting_on.op, kind[1])
    check.equal(record.waiting_on.resource, kind[2])
    ends_with(record.line, line[kind[1]])
    ends_with(record.spawned_at, site)
  end
  local own = find(shown, "id", peri.self().id)
  check.equal(own.state, "running")
  check.equal(own.waiting_on, nil)
  check.equal(find(shown, "id", ready.id).state, "ready")
  ready:cancel()
  cancel_all(tasks)
end)

case("OBS-01: what a group, a map or a supervisor spawns was spawned where the script called that", function()
  local ids = {}
  local function work() ids[#ids + 1] = peri.self().id peri.sleep(5) end
  local function looping()
    for _ in peri.map({ 1 }, work, { ordered = false }) do end
  end
  local first = here()
  local callers = {
    peri.spawn(function() peri.all { work } end),
    peri.spawn(function() peri.settle { work } end),
    peri.spawn(function() peri.race { work } end),
    peri.spawn(function() peri.map({ 1 }, work) end),
    peri.supervisor { children = { { start = work } } },
    peri.spawn(function() peri.scope(function(s) s:spawn(work) end) end),
    peri.spawn(function() pcall(peri.spawn, work) end),
  }
  callers[#callers + 1] = peri.spawn(looping)
  peri.sleep(1)
  local shown, lines = peri.tasks(), {}
  for i, id in ipairs(ids) do
    lines[i] = tonumber(find(shown, "id", id).spawned_at:match("inspect%.lua:(%d+)$"))
  end
  local at = tonumber(first:match("%d+$"))
  table.sort(lines)
  check.same(lines, { at - 2, at + 2, at + 3, at + 4, at + 5, at + 6, at + 7, at + 8 })
  cancel_all(callers)
  local _, e = pcall(peri.all, { function() error("broken", 0) end })
  ends_with(e.errors[1].spawned_at, "inspect.lua:" .. debug.getinfo(1, "l").currentline - 1)
end)

case("OBS-01: a cancelled task that cleans up is closing, and one that waits for its children says so", function()
  local closing = peri.spawn(function()
    local _ <close> = peri.defer(function() peri.sleep(3) end)
    peri.sleep(100)
  end)
  local parent = peri.spawn({ name = "parent" }, function() peri.spawn({ name = "child" }, peri.sleep, 3) end)
  local scoped = peri.spawn(function() peri.scope(function(s) s:spawn(peri.sleep, 3) end) end)
  peri.sleep(1)
  closing:cancel()
  peri.sleep(1)
  local shown = peri.tasks()
  check.equal(find(shown, "id", closing.id).state, "closing")
  check.equal(find(shown, "id", parent.id).state, "closing")
  check.same(find(shown, "id", scoped.id).waiting_on, { op = "children", resource = "scope", since = 2.0 })
  check.equal(find(shown, "name", "child").parent, parent.id)
  peri.sleep(10)
end)

case("OBS-01: resources are found where they are used, with state, stats and waiters", function()
  local jobs = peri.channel(3, "jobs")
  local box <const> = { inner = { done = peri.oneshot() } }
  jobs:send(1)
  local waiting = { peri.spawn(function() box.inner.done:recv() end), peri.spawn(function() box.inner.done:recv() end) }
  peri.yield()
  local list = peri.resources()
  local channel = find(list, "name", "jobs")
  check.equal(channel.kind, "channel")
  check.equal(channel.state, "open")
  check.equal(channel.waiters, 0)
  check.equal(channel.stats.len, 1)
  check.equal(channel.found_as, "jobs")
  check.contains(channel.found_at, "inspect.lua:")
  local oneshot = find(list, "found_as", "box.inner.done")
  check.equal(oneshot.kind, "oneshot")
  check.equal(oneshot.waiters, 2)
  jobs:close()
  box.inner.done:send(true)
  box.inner.done:close()
  peri.yield()
  check.equal(find(peri.resources(), "name", "jobs").state, "closed")
  cancel_all(waiting)
end)

case:ordered("OBS-01: a lock that is held is shown as held, by whom and since which line, whether or not anybody waits", function()
  local lock, pair, gate, first = peri.mutex(), peri.rwlock(), peri.semaphore(3), nil
  local function state(name) return find(peri.resources(), "found_as", name) end
  check.equal(state("lock").state, "free")
  check.equal(state("lock").holders, nil)
  local holder = peri.spawn(function()
    first = here() local _ <close> = lock:lock()
    local permits <close> = gate:acquire(2)
    local reading <close> = pair:read()
    peri.sleep(3)
  end)
  local reader = peri.spawn(function()
    local _ <close> = pair:read()
    peri.sleep(10)
  end)
  peri.sleep(1)
  local shown = state("lock")
  check.equal(shown.state, "locked")
  check.equal(shown.held_by, holder.id)
  ends_with(shown.held_at, first)
  check.equal(shown.holders[1].since, 1.0)
  check.equal(shown.waiters, 0)
  check.contains(peri.dump(), "mutex lock locked, held by task " .. holder.id .. " since ")
  shown = state("pair")
  check.equal(shown.state, "locked")
  check.equal(shown.held_by, nil)
  check.same({ shown.holders[1].task, shown.holders[2].task }, { holder.id, reader.id })
  check.equal(state("gate").holders[1].permits, 2)
  local waiter = peri.spawn(function() lock:with(peri.sleep, 5) end)
  peri.sleep(1)
  check.equal(state("lock").waiters, 1)
  peri.sleep(2)
  check.equal(state("lock").held_by, waiter.id)
  check.equal(state("gate").holders, nil)
  cancel_all { waiter, reader }
  check.equal(state("lock").state, "free")
  check.equal(state("pair").state, "free")
end)

case("resources that nothing refers to are not shown", function()
  do
    local gone = peri.channel(1, "gone")
    gone:send(setmetatable({}, { __mode = "k" }))
  end
  local weak = setmetatable({ peri.channel(1, "weak") }, { __mode = "v" })
  for _, each in ipairs(peri.resources()) do
    check.truthy(each.name ~= "gone" and each.name ~= "weak", each.name)
  end
  return weak
end)

case("the tree has every task below its parent", function()
  local inner
  local outer = peri.spawn({ name = "outer" }, function()
    inner = peri.spawn({ name = "inner" }, peri.sleep, 2)
    peri.sleep(2)
  end)
  peri.sleep(1)
  local function search(nodes, id)
    for _, node in ipairs(nodes) do
      local found = node.id == id and node or search(node.children, id)
      if found then return found end
    end
  end
  local node = search(peri.tree(), outer.id)
  check.equal(#node.children, 1)
  check.equal(node.children[1].id, inner.id)
  check.same(node.children[1].children, {})
  check.equal(node.children[1].waiting_on.op, "sleep")
  outer:join()
end)

case:ordered("waits: cycles first, then who waits for whom and for what", function()
  local a, b, start = nil, nil, peri.channel(0)
  a = peri.spawn({ name = "a" }, function() start:recv() b:join() end)
  b = peri.spawn({ name = "b" }, function() start:recv() peri.timeout(100, a.join, a) end)
  local other = peri.spawn(function() empty:recv() end)
  local both = peri.spawn(function() peri.select { empty:recv_op(), a:join_op() } end)
  peri.yield()
  start:close()
  peri.sleep(1)
  local waits = peri.waits()
  local function edges(task)
    local list = {}
    for _, each in ipairs(waits) do
      if each.task == task.id then list[#list + 1] = each end
    end
    return list
  end
  check.equal(edges(other)[1].op, "recv")
  check.equal(edges(other)[1].on, nil)
  check.equal(#edges(both), 2)
  check.equal(find(edges(both), "op", "join").on, a.id)
  check.equal(edges(a)[1].on, b.id)
  check.equal(edges(a)[1].op, "join")
  check.equal(waits[1].cycle, 1)
  check.equal(waits[2].cycle, 1)
  check.equal(waits[3].cycle, nil)
  check.equal(waits[1].task + waits[2].task, a.id + b.id)
  check.contains(peri.dump(), "  cycle 1: task ")
  check.truthy(math.abs(edges(a)[1].since - 1) < 0.01)
  cancel_all { a, b, other, both }
end)

case("stats count tasks by state, and what may still wake them", function()
  local before = peri.stats()
  local sleeper, waiter = peri.spawn(peri.sleep, 5), peri.spawn(function() empty:recv() end)
  peri.yield()
  peri.spawn(function() end)
  local now = peri.stats()
  check.equal(now.live, before.live + 3)
  check.equal(now.waiting, before.waiting + 2)
  check.equal(now.ready, before.ready + 1)
  check.equal(now.running, 1)
  check.equal(now.timers, before.timers + 1)
  check.equal(now.external, before.external)
  check.truthy(now.memory > 10000)
  sleeper:join()
  cancel_all { waiter }
end)

-- Leaks.

local function ids(list)
  local found = {}
  for _, each in ipairs(list) do found[each.id] = each end
  return found
end

case("DLK-06: tasks that wait for what nobody else can reach are listed, while the rest is busy", function()
  local busy = peri.spawn(function() while true do peri.sleep(1) end end)
  local lost, site = {}, nil
  do
    local request, reply = peri.channel(0), peri.channel(0)
    site = here() lost[1] = peri.spawn({ name = "server" }, function() for v in request:iter() do reply:send(v) end end)
    lost[2] = peri.spawn({ name = "client" }, function() reply:recv() end)
    lost[3] = peri.spawn(function() peri.select { request:recv_op(), reply:recv_op() } end)
    lost[4] = peri.spawn(function() lost[2]:join() end)
  end
  local kept = peri.channel(0)
  local fine = { peri.spawn(function() kept:recv() end), peri.spawn(function() peri.timeout(50, empty.recv, peri.channel(0)) end) }
  peri.sleep(1)
  local leaks = peri.leaks()
  local found = ids(leaks)
  for i, task in ipairs(lost) do check.truthy(found[task.id], "lost " .. i) end
  check.equal(#leaks, #lost)
  ends_with(found[lost[1].id].spawned_at, site)
  check.same(found[lost[2].id].waiting_on, { op = "recv", resource = "channel", since = 1.0 })
  check.contains(peri.dump(), "never to wake again:")
  kept:close()
  cancel_all(lost)
  cancel_all(fine)
  cancel_all { busy }
  check.equal(#peri.leaks(), 0)
end)

case("DLK-06: what a task that may still run can reach is no leak, through whatever it holds it", function()
  local waiting = {}
  local function wait_for(ch)
    waiting[#waiting + 1] = peri.spawn(function() ch:recv() end)
    return ch
  end
  local in_field = { deep = { wait_for(peri.channel(0)) } }
  local in_closure = (function(ch) return function() return ch end end)(wait_for(peri.channel(0)))
  local in_operation = wait_for(peri.channel(0)):recv_op()
  local in_coroutine = coroutine.wrap(function(ch) coroutine.yield() return ch end)
  in_coroutine(wait_for(peri.channel(0)))
  local later = peri.spawn(function(ch) peri.sleep(2) return ch end, wait_for(peri.channel(0)))
  local passed = wait_for(peri.channel(0))
  peri.yield()
  local unstarted = peri.spawn(function(ch) return #ch end, passed)
  passed = nil
  check.equal(#peri.leaks(), 0)
  unstarted:join()
  check.equal(peri.leaks()[1].id, waiting[#waiting].id)
  peri.yield()
  local chain, ch = peri.channel(0), wait_for(peri.channel(0))
  local holder = peri.spawn(function(own) chain:recv() own:close() end, ch)
  ch = nil
  peri.yield()
  check.equal(#peri.leaks(), 1, "the holder of the channel can be woken")
  chain = nil
  local leaks = ids(peri.leaks())
  check.truthy(leaks[holder.id] and leaks[waiting[#waiting].id], "nobody can wake the holder")
  waiting[#waiting + 1] = holder
  later:join()
  cancel_all(waiting)
  return in_field, in_closure, in_operation, in_coroutine
end)

case("OBS-05: a dump while tasks start, wait and end is a dump of that moment", function()
  local dumps = 0
  for i = 1, 40 do
    peri.spawn(function()
      local _ <close> = check.closer(function() dumps = dumps + (peri.dump():find("tasks: ", 1, true) or 0) end)
      peri.sleep(i % 3)
      dumps = dumps + (peri.dump():find("tasks: ", 1, true) or 0)
    end)
  end
  local cut = peri.spawn(function()
    local _ <close> = check.closer(function() dumps = dumps + (peri.dump():find("tasks: ", 1, true) or 0) end)
    peri.sleep(100)
  end)
  peri.sleep(1)
  check.contains(peri.dump(), "in sleep on a timer for ")
  cut:cancel()
  peri.sleep(5)
  check.equal(dumps, 81)
end)

case("a dump inside a coroutine and inside a stretch that must not wait", function()
  local generator = coroutine.wrap(function() coroutine.yield(peri.dump()) end)
  check.contains(generator(), "running at ")
  check.contains(peri.critical(peri.dump), "tasks: ")
end)
