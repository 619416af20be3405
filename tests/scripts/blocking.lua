-- Functions on the blocking pool, in VMs of their own: what crosses to them and back, and what they are as tasks.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

local function echo(...) return ... end

case("RUN-01: a blocking call is a task that runs in a VM of its own, with arguments and results copied", function()
  local t = peri.blocking({ name = "adder" }, function(a, b) shared_here = true return a + b, nil, "x", nil end, 2, 3)
  check.equal(t.name, "adder")
  local r = table.pack(t:join())
  check.equal(r.n, 5)
  check.equal(r[2], 5) check.equal(r[3], nil) check.equal(r[4], "x")
  check.equal(shared_here, nil)
  check.equal(table.pack(t:join()).n, 5)
end)

case("plain values come back as they were", function()
  local inf, big = math.huge, math.maxinteger
  local r = table.pack(peri.blocking(echo, nil, true, false, 0, -1, big, math.mininteger, 1.5, inf, -inf, "", "a\0b", ("x"):rep(70000)):await())
  check.equal(r.n, 13)
  check.equal(r[2], true) check.equal(r[3], false) check.equal(math.type(r[4]), "integer")
  check.equal(r[6], big) check.equal(r[7], math.mininteger) check.equal(r[8], 1.5) check.equal(r[9], inf) check.equal(r[10], -inf)
  check.equal(r[11], "") check.equal(r[12], "a\0b") check.equal(#r[13], 70000)
  local nan = peri.blocking(echo, 0 / 0):await()
  check.equal(nan ~= nan, true)
end)

case("tables keep shared parts and cycles, across arguments too, and are copies", function()
  local part = { 1, 2, { deep = true } }
  local t = { part, again = part, [false] = "no", [2.5] = "half" }
  t.me = t
  local a, b = peri.blocking(function(x, y)
    assert(x[1] == x.again and x.me == x and y == x[1])
    x.seen = y
    return x, y
  end, t, part):await()
  check.equal(a ~= t and a[1] ~= part, true)
  check.equal(a.me == a and a[1] == a.again and b == a[1] and a.seen == b, true)
  check.equal(a[1][3].deep, true) check.equal(a[false], "no") check.equal(a[2.5], "half")
  check.equal(t.seen, nil)
end)

case("functions take their upvalues along, shared ones shared, and call themselves", function()
  local count = 10
  local function up() count = count + 1 return count end
  local function get() return count end
  local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
  local n, got, f = peri.blocking(function() up() up() return fib(15), get(), up end):await()
  check.equal(n, 610) check.equal(got, 12)
  check.equal(count, 10)
  check.equal(f(), 13)
end)

case("_ENV is the receiver's; modules and what is in them cross by name", function()
  local json, pr = require "perilune.json", print
  local same = peri.blocking(function(g, m)
    local here = require "perilune"
    return g == _G and m == string and peri == here and pr == print and json.encode({ 1 }) == "[1]" and math.floor(2.5) == 2
  end, _G, string):await()
  check.equal(same, true)
  local f, m = peri.blocking(function() return string.format, require "perilune.json" end):await()
  check.equal(f == string.format and m == json, true)
end)

case("a table keeps a metatable that stands in a loaded module", function()
  local Point = { __add = function(a, b) return a.x + b.x end }
  package.loaded["test.point"] = { Point = Point }
  check.raises("cannot cross VMs: args[1].p is a table with a metatable that is in no loaded module", function()
    peri.blocking(echo, { p = setmetatable({}, {}) })
  end)
  package.loaded["test.point"] = nil
  local Class = require "perilune.json"
  local r = peri.blocking(echo, setmetatable({ x = 1 }, Class)):await()
  check.equal(getmetatable(r) == Class and r.x == 1, true)
end)

case("SND-02: what cannot cross is refused at the caller, with its path, before anything happened", function()
  local co = coroutine.create(function() end)
  local before = #peri.tasks()
  local function refused(text, fn, ...)
    local ok, e = pcall(peri.blocking, fn, ...)
    check.equal(ok, false)
    check.equal(e.kind, "transfer")
    check.equal(e.message, "cannot cross VMs: " .. text)
  end
  refused("args[1].on_done is a coroutine", echo, { on_done = co })
  refused("args[2].list[3].cb is a coroutine", echo, 1, { list = { 1, 2, { cb = co } } })
  refused("args[1] is a coroutine", echo, co)
  refused("function.(upvalue co) is a coroutine", function() return co end)
  refused("args[1].(key) is a coroutine", echo, { [co] = 1 })
  refused('args[1]["a b"][true] is a coroutine', echo, { ["a b"] = { [true] = co } } )
  refused("args[1] is a userdata (FILE*)", echo, io.tmpfile())
  refused("args[1] is a userdata (perilune.channel); peri.shared_channel makes one that can", echo, peri.channel(1))
  refused("args[1] is a C function", echo, ("x").gmatch("x", "x"))
  check.equal(#peri.tasks(), before)
end)

case("SND-05: what is nested too deeply is refused before anything happened", function()
  local before = #peri.tasks()
  local deep = {}
  for _ = 1, 2000 do deep = { deep } end
  local ok, e = pcall(peri.blocking, echo, deep)
  check.equal(ok, false)
  check.equal(e.message:match("%] is (.*)$"), "nested too deeply")
  check.equal(#peri.tasks(), before)
end)

case("SND-02: a result that cannot cross fails the task", function()
  local ok, e = peri.blocking(function() return 1, { coroutine.create(print) } end):join()
  check.equal(ok, false) check.equal(e.kind, "transfer")
  check.equal(e.message, "cannot cross VMs: results[2][1] is a coroutine")
end)

case("RUN-02: a blocking call that fails is a failed task, and its VM and thread serve the next", function()
  local function fail() error("disk full") end
  local t = peri.blocking({ name = "writer" }, fail)
  local ok, e = t:join()
  check.equal(ok, false) check.equal(e.kind, "error") check.equal(e.task.name, "writer")
  check.equal(e.value:match("disk full"), "disk full")
  check.equal(e.traceback:find("blocking.lua:%d+: in function <") ~= nil, true)
  check.equal(peri.blocking(echo, 7):await(), 7)
end)

case("SND-04: an error value crosses where it can; else message, kind and traceback do", function()
  local _, e = peri.blocking(function() error({ code = 7 }) end):join()
  check.equal(e.value.code, 7)
  _, e = peri.blocking(function() error(coroutine.create(print)) end):join()
  check.equal(e.kind, "error") check.equal(e.message, "(a thread value)") check.equal(type(e.traceback), "string")
  _, e = peri.blocking(function() error(nil) end):join()
  check.equal(e.value, nil) check.equal(e.message, "(nil)")
  local inner = peri.blocking(function() return select(2, pcall(peri.sleep, 1)) end):await()
  check.equal(type(inner), "string")
end)

case("RUN-03: a queued call that is cancelled never runs; a running one is waited for", function()
  local tasks = {}
  local function nap() local t = os.clock() while os.clock() - t < 0.02 do end return "ran" end
  for i = 1, 12 do tasks[i] = peri.blocking(nap) end
  tasks[12]:cancel("not needed")
  local ok, e = tasks[12]:join()
  check.equal(ok, false) check.equal(e.kind, "cancelled") check.equal(e.reason, "not needed")
  for i = 1, 11 do check.equal(tasks[i]:await(), "ran") end
  local running = peri.blocking(nap)
  while running:status() == "ready" do peri.yield() end
  running:cancel()
  local _, state = running:join()
  check.equal(state == "ran" or state.kind == "cancelled", true)
end)

case("RUN-04: a full queue holds its callers back, cancellably, and no file waits for it", function()
  local gate, made = peri.shared_channel(0), 0
  local function held(ch) while not ch:stats().closed do end return true end
  local producer = peri.spawn(function()
    local calls = {}
    for i = 1, 300 do
      calls[i] = peri.blocking(held, gate)
      made = i
    end
    for i = 1, 300 do calls[i]:await() end
  end)
  local function full()
    local stats = peri.stats()
    return producer:status() == "waiting" and stats.blocking_running == 4 and stats.blocking_queued == 256
  end
  while not full() do peri.yield() end
  check.equal(made, 260)
  local late = peri.spawn(function() return peri.blocking(held, gate) end)
  peri.yield()
  check.equal(late:status(), "waiting")
  late:cancel("not needed")
  check.equal(select(2, late:join()).reason, "not needed")
  check.equal(#peri.fs.read(arg[0]) > 0, true)
  gate:close()
  producer:await()
  check.equal(made, 300)
  check.equal(peri.stats().blocking_queued, 0)
end)

case("SEL-16: a blocking call stands in a select, and loses without harm", function()
  local t = peri.blocking(echo, 5)
  local key, ok, v = peri.select { done = t:join_op() }
  check.equal(key, "done") check.equal(ok, true) check.equal(v, 5)
end)

case("a blocking function has no tasks: what waits or spawns says so", function()
  local function says(part, fn)
    local _, e = peri.blocking(fn):join()
    check.equal(tostring(e):find(part, 1, true) ~= nil, true, tostring(e))
  end
  says("cannot wait inside peri.blocking", function() peri.sleep(1) end)
  says("cannot wait inside peri.blocking", function() peri.channel(0):send(1) end)
  says("cannot wait inside peri.blocking", function() peri.fs.read("x") end)
  says("nothing can be spawned inside peri.blocking", function() peri.spawn(print) end)
  says("nothing can be spawned inside peri.blocking", function() peri.blocking(print) end)
  says("inside peri.blocking", function() peri.process.run { sh = "true" } end)
  check.equal(peri.blocking(function() local c = peri.channel(1) c:send(3) return c:recv() end):await(), 3)
end)

case("misuse of peri.blocking is told at the caller's line", function()
  check.misuse("bad argument #1 to 'blocking' (function expected, got nil", function() peri.blocking(nil) end)
  check.misuse("unknown option 'nme' to 'blocking'; did you mean 'name'?", function() peri.blocking({ nme = 1 }, print) end)
end)
