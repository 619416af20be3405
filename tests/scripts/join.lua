-- spawn, join and await. Rows JOIN of the semantics.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, raises, misuse = check.equal, check.same, check.contains, check.raises, check.misuse
local failure_of = check.failure_of

case("JOIN-01: all returns, inner and trailing nils kept", function()
  local task = peri.spawn(function() return 1, nil, 3 end)
  same(table.pack(task:join()), { n = 4, true, 1, nil, 3 })
  local trailing = peri.spawn(function() return nil, 2, nil, nil end)
  same(table.pack(trailing:join()), { n = 5, true, nil, 2, nil, nil })
  same(table.pack(peri.spawn(function() end):join()), { n = 1, true })
  same(table.pack(peri.spawn(function() return nil end):join()), { n = 2, true, nil })
end)

case("JOIN-01: one value of every type comes back as it is", function()
  local table_value, coroutine_value = {}, coroutine.create(print)
  for _, value in ipairs { 1, -0.5, 2 ^ 53, "", "text", true, false, table_value, print, coroutine_value, peri.self() } do
    local ok, got = peri.spawn(function() return value end):join()
    equal(ok, true)
    equal(got, value)
    equal(math.type(got), math.type(value))
  end
end)

case("JOIN-01: two hundred results", function()
  local ok = table.pack(peri.spawn(function() return table.unpack({}, 1, 200) end):join())
  equal(ok.n, 201)
end)

case("JOIN-02: nil, message is a result, not a failure", function()
  same(table.pack(peri.spawn(function() return nil, "bad" end):join()), { n = 3, true, nil, "bad" })
  same(table.pack(peri.spawn(function() return false, "bad" end):join()), { n = 3, true, false, "bad" })
end)

case("JOIN-03: the raised table is the very value", function()
  local raised = { code = 7 }
  local e = failure_of(function() error(raised) end)
  equal(e.kind, "error")
  equal(rawequal(e.value, raised), true)
end)

case("JOIN-04: error(nil) is a failure", function()
  local e = failure_of(function() error(nil) end)
  equal(e.value, nil)
  contains(e.message, "(nil)")
  contains(tostring(e), "(nil)")
end)

case("JOIN-05: the text names the task and the message", function()
  local ok, e = peri.spawn({ name = "parser" }, function() error("bad header") end):join()
  equal(ok, false)
  equal(tostring(e), ("task %d (parser) failed: %s"):format(e.task.id, e.value))
  contains(e.value, "join.lua:")
  equal(e.message, e.value)
  equal(e.task.name, "parser")
  local unnamed = failure_of(error, "plain", 0)
  equal(tostring(unnamed), ("task %d failed: plain"):format(unnamed.task.id))
  equal(unnamed.task.name, nil)
end)

case("JOIN-05: a value that is no text prints its type only", function()
  contains(tostring(failure_of(error, {})), "failed: (a table value)")
  contains(tostring(failure_of(error, print)), "failed: (a function value)")
  contains(tostring(failure_of(error, true)), "failed: (a boolean value)")
  contains(tostring(failure_of(error, 42)), "failed: 42")
  contains(tostring(failure_of(error, 1.5)), "failed: 1.5")
end)

case("JOIN-06: a cancelled task has kind cancelled and no value", function()
  local task = peri.spawn(peri.sleep, 10)
  peri.yield()
  task:cancel("enough")
  local ok, e = task:join()
  equal(ok, false)
  equal(e.kind, "cancelled")
  equal(e.value, nil)
  equal(e.reason, "enough")
  equal(task:status(), "cancelled")
end)

case("JOIN-07: joining again gives the same outcome", function()
  local task = peri.spawn(function() error({}) end)
  local _, first = task:join()
  local _, second = task:join()
  equal(rawequal(first, second), true)
  local returned = peri.spawn(function() return 1, 2 end)
  same({ returned:join() }, { true, 1, 2 })
  same({ returned:join() }, { true, 1, 2 })
  equal(select("#", returned:await()), 2)
  local cancelled = peri.spawn(peri.sleep, 1)
  cancelled:cancel()
  local _, a = cancelled:join()
  local _, b = cancelled:join()
  equal(rawequal(a, b), true)
end)

case("JOIN-08: joining a task that ended long ago does not wait, and spends budget", function()
  local task = peri.spawn(function() return "v" end)
  peri.sleep(1)
  local others = 0
  local other <close> = check.closer(function() end)
  local counter = peri.spawn(function() for _ = 1, 100 do others = others + 1; peri.yield() end end)
  local before = peri.now()
  for _ = 1, 1000 do same({ task:join() }, { true, "v" }) end
  equal(peri.now(), before)
  check.truthy(others >= 5, "turns of the other task")
  counter:join()
end)

case("JOIN-10: a task cannot join itself", function()
  local me = peri.self()
  raises("task " .. me.id .. " cannot join itself", function() me:join() end)
  raises("cannot join itself", function() me:await() end)
  raises("cannot join itself", function() me:join(1) end)
  raises("cannot join itself", function() peri.select { me:join_op() } end)
  raises("cannot join itself", function() peri.perform(me:join_op()) end)
  raises("cannot join itself", function() peri.try_select { me:join_op() } end)
end)

case("JOIN-12: a task goes on when its handle is collected", function()
  local done = false
  peri.spawn(function() peri.sleep(1); done = true end)
  collectgarbage()
  collectgarbage()
  peri.sleep(2)
  equal(done, true)
end)

case("JOIN-15: a raising finalizer of a discarded result leaves the dropper alone", function()
  local task = peri.spawn(function()
    return setmetatable({}, { __gc = function() error("in gc") end, __close = function() error("in close") end })
  end)
  task:join()
  task = nil
  collectgarbage()
  collectgarbage()
end)

case("JOIN-16: ids differ and are not used again", function()
  local seen, last = {}, 0
  for _ = 1, 300 do
    local task = peri.spawn(function() end)
    equal(seen[task.id], nil)
    check.truthy(task.id > last, "a larger id")
    seen[task.id], last = true, task.id
    task:join()
  end
end)

case("JOIN-17: a closer of a cancelled task sees the same id", function()
  local inside
  local task = peri.spawn(function()
    local _ <close> = check.closer(function() inside = peri.self().id end)
    peri.sleep(10)
  end)
  peri.yield()
  task:cancel()
  task:join()
  equal(inside, task.id)
end)

case("JOIN-18: join returns after the closers and the children", function()
  local note, taken = check.trace()
  local task = peri.spawn(function()
    local _ <close> = peri.defer(function() peri.sleep(1); note "closer" end)
    peri.spawn(function() peri.sleep(5); note "child" end)
    return "x"
  end)
  same({ task:join() }, { true, "x" })
  equal(taken(), "closer child")
  equal(task:status(), "returned")
  equal(peri.now() >= 5, true)
end)

case("JOIN-18: status is closing while children are waited for", function()
  local task = peri.spawn(function() peri.spawn(peri.sleep, 5); return 1 end)
  peri.sleep(1)
  equal(task:status(), "closing")
  same({ task:join(1) }, { nil, "timeout" })
  same({ task:join() }, { true, 1 })
end)

case("JOIN-19: spawning into something cancelled: never starts, joins as cancelled", function()
  local started = false
  local inner
  local task = peri.spawn(function()
    local _ <close> = check.closer(function() inner = peri.spawn(function() started = true end) end)
    peri.sleep(10)
  end)
  peri.yield()
  task:cancel("stop")
  task:join()
  local ok, e = inner:join()
  equal(ok, false)
  equal(e.kind, "cancelled")
  equal(started, false)
end)

case:ordered("JOIN-20: children start in spawn order, at the first suspension", function()
  local note, taken = check.trace()
  for i = 1, 3 do peri.spawn(function() note("c" .. i) end) end
  note "parent"
  peri.yield()
  equal(taken(), "parent c1 c2 c3")
end)

case("JOIN-21: spawn of something that is no function says so at the line", function()
  misuse("bad argument #1 to 'spawn' (function expected, got nil", function() peri.spawn(nil) end)
  misuse("the result of calling it", function() peri.spawn((function() end)()) end)
  misuse("bad argument #1 to 'spawn' (function expected, got string", function() peri.spawn("f") end)
  misuse("bad argument #1 to 'spawn'", function() peri.spawn() end)
  misuse("bad argument #2 to 'spawn' (function expected, got no value", function() peri.spawn({}) end)
  misuse("bad argument #2 to 'spawn' (function expected, got number", function() peri.spawn({ name = "x" }, 1) end)
  misuse("nmae", function() peri.spawn({ nmae = "x" }, print) end)
  misuse("name", function() peri.spawn({ name = 1 }, print) end)
  misuse("labels", function() peri.spawn({ labels = 1 }, print) end)
  misuse("local_data", function() peri.spawn({ local_data = "x" }, print) end)
  misuse("option", function() peri.spawn({ "x" }, print) end)
end)

case("JOIN-21: callable tables and native functions can be spawned", function()
  local callable = setmetatable({ base = 10 }, { __call = function(self, n) return self.base + n end })
  same({ peri.spawn(callable, 5):join() }, { true, 15 })
  same({ peri.spawn({ name = "math" }, math.max, 3, 9):join() }, { true, 9 })
end)

case("JOIN-23: one failing task among a thousand leaves the others alone", function()
  local served = 0
  local inbox = peri.channel(8)
  local server = peri.spawn(function()
    for message in inbox:iter() do
      peri.spawn(function() if message == 500 then error("bad message") end served = served + 1 end)
    end
  end)
  for i = 1, 1000 do inbox:send(i) end
  inbox:close()
  equal((server:join()), true)
  equal(served, 999)
  collectgarbage()
  collectgarbage()
  equal(#check.reports(), 1)
end)

case("join(timeout): nil, timeout, and the task runs on", function()
  local task = peri.spawn(function() peri.sleep(3) return "late" end)
  local before = peri.now()
  same({ task:join(1) }, { nil, "timeout" })
  equal(peri.now(), before + 1)
  same({ task:join(10) }, { true, "late" })
  equal(peri.now(), before + 3)
  same({ task:join(0) }, { true, "late" })
  same({ peri.spawn(peri.sleep, 1):join(0) }, { nil, "timeout" })
  same({ peri.spawn(peri.sleep, 1):join(-5) }, { nil, "timeout" })
  misuse("bad argument", function() task:join("x") end)
  misuse("NaN", function() task:join(0 / 0) end)
  same({ task:join(math.huge) }, { true, "late" })
end)

case("join: giving up or being cancelled leaves the task running", function()
  local target = peri.spawn(function() peri.sleep(5) return "kept" end)
  local joiner = peri.spawn(function() target:join() end)
  peri.sleep(1)
  joiner:cancel()
  equal((joiner:join()), false)
  equal(target:status(), "waiting")
  same({ target:join() }, { true, "kept" })
end)

case:ordered("join: several joiners all get the outcome, in the order in which they began", function()
  local note, taken = check.trace()
  local target = peri.spawn(function() peri.sleep(1) return "v" end)
  local joiners = {}
  for i = 1, 5 do
    joiners[i] = peri.spawn(function() local _, v = target:join() note(i .. v) end)
  end
  for _, joiner in ipairs(joiners) do joiner:join() end
  equal(taken(), "1v 2v 3v 4v 5v")
end)

case("join, await, status, cancel, ... of something else are misuse", function()
  local task = peri.spawn(function() end)
  for _, method in ipairs { "join", "await", "cancel", "kill", "detach", "status", "children", "join_op" } do
    check.truthy(type(task[method]) == "function", method)
    raises("bad argument #1", function() task[method](nil) end)
    raises("bad argument #1", function() task[method]({}) end)
    raises("bad argument #1", function() task[method](peri.channel(1)) end)
    raises("bad argument #1", function() task[method](io.stdout) end)
  end
  misuse("task expected", function() task.join() end)
  misuse("task expected", function() task.await("x") end)
  task:join()
end)
