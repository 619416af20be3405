-- A closed cycle of waits is a deadlock at once: the wait that closes it fails and names all of it.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

-- Tasks that each call `wait[i](tasks)` when all of them exist.
local function tangle(waits)
  local tasks, start = {}, peri.channel(0)
  for i, wait in ipairs(waits) do
    tasks[i] = peri.spawn({ name = "t" .. i }, function()
      start:recv()
      return wait(tasks)
    end)
  end
  peri.yield()
  start:close()
  return tasks
end

local function joins(i)
  return function(tasks)
    tasks[i]:await()
    return "joined " .. i
  end
end

case("DLK-01: two tasks that join each other: the wait that closes the cycle raises, and names both", function()
  local ends = peri.now() + 1000
  local timer = peri.spawn({ daemon = true }, function() peri.sleep(1000) end)
  local tasks = tangle { joins(2), joins(1) }
  local ok, e = tasks[2]:join()
  check.equal(ok, false)
  check.kind(e, "deadlock")
  check.contains(e.message, ("task %d (t2) waits in join on task %d (t1) at "):format(tasks[2].id, tasks[1].id))
  check.contains(e.message, ("task %d (t1) waits in join on task %d (t2) at "):format(tasks[1].id, tasks[2].id))
  check.contains(e.message, "deadlock.lua:22 (for 0.000 s)")
  local _, second = tasks[1]:join()
  check.equal(second, e)
  check.truthy(peri.now() < ends, "no time has passed")
  timer:cancel()
end)

case("DLK-01: a longer cycle is found at its last wait, however long the others have waited", function()
  local tasks = tangle { joins(2), joins(3), joins(4), function(tasks)
    peri.sleep(5)
    return tasks[1]:join()
  end }
  local _, e = tasks[4]:join()
  check.kind(e, "deadlock")
  check.contains(e.message, "(t1) waits in join on task")
  check.contains(e.message, "(for 5.000 s)")
  for i = 1, 3 do check.equal(select(2, tasks[i]:join()), e) end
end)

case("DLK-01: a child that joins its parent, before and after the parent's body has ended", function()
  local function parent(first)
    local task, inner
    task = peri.spawn({ name = "parent" }, function()
      inner = peri.spawn({ name = "child" }, function()
        if not first then peri.sleep(1) end
        return task:join()
      end)
      if first then peri.sleep(1) end
    end)
    check.equal(task:join(), true)
    local ok, e = inner:join()
    check.equal(ok, false)
    check.kind(e, "deadlock")
    check.contains(e.message, "(parent) waits for its child task")
    check.contains(e.message, "(child) waits in join on task")
  end
  parent(true)
  parent(false)
end)

case("DLK-01: a member of a scope that joins the task which waits for the scope", function()
  local e
  local task
  task = peri.spawn(function()
    peri.scope({ policy = "supervise" }, function(s)
      local member = s:spawn(function() return task:join() end)
      s:spawn(function() e = select(2, member:join()) end)
    end)
    return "went on"
  end)
  check.equal(select(2, task:join()), "went on")
  check.kind(e, "deadlock")
end)

case:ordered("DLK-01: the error can be caught, closers run, and the others go on", function()
  local note, taken = check.trace()
  local tasks = tangle { joins(2), function(tasks)
    local _ <close> = peri.defer(function() peri.sleep(1) note("closed") end)
    local ok, e = pcall(tasks[1].await, tasks[1])
    note(ok) note(peri.is_error(e, "deadlock"))
    return "saved"
  end }
  check.equal(select(2, tasks[1]:join()), "joined 2")
  check.equal(taken(), "false true closed")
end)

case("a wait with a limit of its own, in a time limit, or in a select is no part of a cycle", function()
  local tasks = tangle { joins(2), function(tasks) return tasks[1]:join(3) end }
  check.same(table.pack(tasks[2]:join()), table.pack(true, nil, "timeout"))
  tasks = tangle { joins(2), function(tasks) return peri.try_timeout(3, tasks[1].await, tasks[1]) end }
  check.same(table.pack(tasks[2]:join()), table.pack(true, nil, "timeout"))
  tasks = tangle { joins(2), function(tasks)
    return (peri.select { join = tasks[1]:join_op(), late = peri.sleep_op(3) })
  end }
  check.same(table.pack(tasks[2]:join()), table.pack(true, "late"))
end)

case("a long chain of joins is no cycle", function()
  local last = peri.spawn(function() peri.sleep(1) return 0 end)
  for _ = 1, 300 do
    local before = last
    last = peri.spawn(function() return before:await() + 1 end)
  end
  check.equal(last:await(), 300)
end)

-- The standing task waits for a call, which is no wait for a task: so the cycle is found when nothing runs any more.
case("DLK-07: a cycle of joins through an isolate ends, and so does a child there that joins its parent", function()
  local first
  first = peri.spawn(function() return peri.isolate({ profile = "trusted" }):run(function(t) return t:await() end, first):await() end)
  local ok, e = first:join()
  check.equal(ok, false)
  check.equal(e.kind, "deadlock")
  local child
  local parent = peri.spawn(function() child = peri.isolate({ profile = "trusted" }):run(function(t) return t:join() end, peri.self()) end)
  check.equal(parent:join(), true)
  ok, e = child:join()
  check.equal(ok, false)
  check.equal(e.kind, "deadlock")
  check.reports()
end)
