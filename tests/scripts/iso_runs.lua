-- Isolates: what a run gives back, how it is cancelled and closed, and that limits end it and nothing else.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

local function trusted(options)
  options = options or {}
  options.profile = "trusted"
  return peri.isolate(options)
end

case("ISO-12: a run is a task: text or a function, arguments and results whole, joined as often as one likes", function()
  local vm <close> = trusted()
  local r = table.pack(vm:run("local a, b = ... return a + b, nil, 'x', nil", 1, 2):await())
  check.equal(r.n, 4) check.equal(r[1], 3) check.equal(r[2], nil) check.equal(r[3], "x")
  local base = 10
  local task = vm:run(function(list) return base + #list, list end, { 1, 2, { k = "v" } })
  check.equal(task:status(), "ready")
  local ok, n, list = task:join()
  check.equal(ok, true) check.equal(n, 13) check.equal(list[3].k, "v")
  check.equal(select(2, task:join()), 13)
end)

case("ISO-12: the VM is its own: globals stay between runs, and never meet those of another", function()
  local a <close> = trusted()
  local b <close> = trusted()
  a:run("x = 1 string.mine = true"):await()
  check.equal(a:run("return x"):await(), 1)
  check.equal(b:run("return x"):await(), nil)
  check.equal(rawget(_G, "x"), nil) check.equal(string.mine, nil)
end)

case("SND-04: errors come back whole, and text that does not compile is one", function()
  local vm <close> = trusted()
  local ok, e = vm:run("local t = ... error({ code = t.code })", { code = 7 }):join()
  check.equal(ok, false) check.equal(e.kind, "error") check.equal(e.value.code, 7)
  check.contains(e.traceback, "[string \"local t = ...")
  ok, e = vm:run("return +"):join()
  check.equal(ok, false) check.contains(e.value, "unexpected symbol")
  ok, e = vm:run("require('perilune').timeout(0.1, require('perilune').sleep, 5)"):join()
  check.equal(ok, false) check.equal(e.kind, "timeout")
end)

case("SND-02: what stays at home is refused where the run is asked for, before anything happened", function()
  local vm <close> = trusted()
  local ok, e = pcall(function() return vm:run("return 1", { on_done = coroutine.create(print) }) end)
  check.equal(ok, false) check.equal(e.kind, "transfer")
  check.contains(e.message, "args[1].on_done is a coroutine")
end)

case("ISO-12: tasks in it are tasks of the same worker: they wait, select, spawn and take turns with ours", function()
  local vm <close> = trusted()
  local ch = peri.shared_channel(0)
  local task = vm:run(function(out)
    local peri = require "perilune"
    local inner = peri.spawn(function() peri.sleep(1) return "slept" end)
    local key, ok, word = peri.select { done = inner:join_op(), late = peri.sleep_op(5) }
    out:send(word)
    return key, ok
  end, ch)
  local began = peri.now()
  check.equal(ch:recv(), "slept")
  check.equal(peri.now() - began, 1)
  check.equal(select(2, task:join()), "done")
end)

case("CAN-02: a cancellation of the task, or of what stands above it, reaches the run; its closers run before join returns", function()
  local vm <close> = trusted()
  local log = peri.shared_channel(10)
  local body = [[
    local peri, log = require "perilune", ...
    local _ <close> = peri.defer(function(e) peri.sleep(1) log:send(e.reason or "none") end)
    peri.sleep(1000)
  ]]
  local task = vm:run(body, log)
  peri.sleep(1)
  task:cancel("enough")
  local ok, e = task:join()
  check.equal(ok, false) check.equal(e.kind, "cancelled") check.equal(e.reason, "enough")
  check.equal(log:try_recv(), "enough")
  check.equal(select(2, peri.try_timeout(3, function() vm:run(body, log):await() end)), "timeout")
  check.equal(log:try_recv(), "none")
  task = vm:run("error('never runs')")
  task:cancel()
  check.equal(select(2, task:join()).kind, "cancelled")
end)

case:ordered("RUN-06: close ends the runs and waits for their closers; nothing runs afterwards", function()
  local log = peri.shared_channel(10)
  local vm = trusted()
  local task = vm:run(function(log)
    local peri = require "perilune"
    local _ <close> = peri.defer(function() peri.sleep(2) log:send("closed") end)
    peri.sleep(1000)
  end, log)
  local late
  peri.sleep(0)
  do
    local _ <close> = vm
    late = vm:run("return 1")
  end
  check.equal(log:try_recv(), "closed")
  check.equal(select(2, task:join()).kind, "cancelled")
  check.equal(select(2, task:join()).reason, "the isolate was closed")
  check.equal(select(2, late:join()).kind, "cancelled")
  check.equal(vm.memory_used, 0)
  vm:close()
  check.misuse("the isolate is closed", function() vm:run("return 1") end)
end)

case("ISO-12: detached tasks and daemons belong to their run", function()
  local vm <close> = trusted()
  local began = peri.now()
  local task = vm:run(function()
    local peri = require "perilune"
    peri.spawn({ detached = true }, peri.sleep, 3)
    peri.spawn(peri.sleep, 2):detach()
    peri.spawn({ daemon = true }, peri.sleep, 1000)
    return "returned"
  end)
  check.equal(task:await(), "returned")
  check.equal(peri.now() - began, 3)
end)

case("JOIN-13: a failure in it that nobody looks at is reported once", function()
  local vm <close> = trusted()
  vm:run(function() require("perilune").spawn(function() error("unseen", 0) end) end):await()
  peri.yield()
  local reports = check.reports()
  check.equal(#reports, 1)
  check.contains(reports[1], "unseen")
end)

case("ISO-13: fuel: a run that uses it up ends as kind limit, whatever it catches; the VM stays usable, and each run has its own", function()
  local vm <close> = trusted { fuel = 100000 }
  for _, body in ipairs {
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(error) end",
    "local function f() return xpcall(f, f) end while true do f() end",
    "while true do coroutine.wrap(function() for i = 1, 900 do end end)() end",
    "table.sort({ 3, 2, 1 }, function() while true do end end)",
    "local _ <close> = setmetatable({}, { __close = function() while true do end end }) while true do end",
    "require('perilune').shield(function() while true do end end)",
    "require('perilune').spawn(function() while true do end end)",
    "require('perilune').spawn({ detached = true }, function() while true do end end) require('perilune').sleep(1)",
  } do
    local ok, e = vm:run(body):join()
    check.equal(ok, false, body) check.equal(e.kind, "limit", body)
    check.contains(e.message, "out of fuel: all 100000 instructions are used")
  end
  for _ = 1, 3 do check.equal(vm:run("local n = 0 for i = 1, 30000 do n = n + i end return n"):await(), 450015000) end
end)

case("ISO-13: deadline: it counts from the start of each run, and no shield is a way around it", function()
  local vm <close> = trusted { deadline = 2 }
  for _, body in ipairs {
    "require('perilune').sleep(10)",
    "while true do pcall(require('perilune').sleep, 10) end",
    "require('perilune').shield(require('perilune').sleep, 100)",
    "require('perilune').channel(0):recv()",
  } do
    local began = peri.now()
    local ok, e = vm:run(body):join()
    check.equal(ok, false, body) check.equal(e.kind, "limit", body)
    check.equal(e.message, "the deadline of 2 s has passed")
    check.equal(math.abs(peri.now() - began - 2) < 1e-6, true)
  end
  check.equal(vm:run("return require('perilune').time_left()"):await() > 1.999, true)
  check.equal(vm:run("require('perilune').sleep(1.5) return 'in time'"):await(), "in time")
end)

case("ISO-13: memory: the soft cap raises what a script may catch, who goes on is ended; the VM stays usable", function()
  local vm <close> = trusted { memory = "2MiB" }
  check.equal(vm:run("return pcall(string.rep, 'x', 1 << 30)"):await(), false)
  check.equal(vm:run("for i = 1, 100 do if pcall(string.rep, 'x', 1 << 30) then return false end end return true"):await(), true)
  local grows = "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end"
  local ok, e = vm:run(grows):join()
  check.equal(ok, false) check.equal(e.kind, "limit") check.contains(tostring(e), "not enough memory")
  for _, body in ipairs {
    "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1000) .. #t end) end",
    "local t = {} while true do xpcall(function() t[#t + 1] = ('x'):rep(1000) .. #t end, print) end",
    "local t = {} while true do coroutine.resume(coroutine.create(function() t[#t + 1] = ('x'):rep(1000) .. #t end)) end",
    "local t, peri = {}, require 'perilune' while true do peri.spawn(function() t[#t + 1] = ('x'):rep(1000) .. #t end):join() end",
  } do
    ok, e = vm:run(body):join()
    check.equal(ok, false, body) check.equal(e.kind, "limit", body)
    check.contains(e.message, "out of memory: more than 2097152 bytes wanted", body)
    check.equal(vm:run("return 'usable'"):await(), "usable", body)
  end
  check.equal(vm.memory_used < 2 << 20, true)
  check.equal(vm.memory_used > 50000, true)
end)

case("ISO-13: tasks and output are limited", function()
  local vm <close> = trusted { max_tasks = 3, output = 0 }
  local n, kind = vm:run(function()
    local peri = require "perilune"
    local n, e = 0, nil
    repeat
      local ok
      ok, e = pcall(peri.spawn, peri.sleep, 1)
      if ok then n = n + 1 end
    until not ok
    return n, e.kind
  end):await()
  check.equal(n, 2) check.equal(kind, "limit")
  local ok, e = vm:run("pcall(print, 'too much') return 1"):join()
  check.equal(ok, false) check.equal(e.kind, "limit") check.contains(e.message, "too much output: more than 0 bytes")
end)

case("ISO-13: whatever is printed counts as output, whatever by", function()
  for _, prints in ipairs { "print('12345')", "io.write('123', 456)", "io.stdout:write('123456')", "io.stderr:write('123456')",
    "io.output():write('123456')", "require('perilune').log.info('123456')" } do
    for _, profile in ipairs { "trusted", "tool" } do
      local vm <close> = peri.isolate { profile = profile, output = 5 }
      local ok, e = vm:run("pcall(function() " .. prints .. " end) return 1"):join()
      check.equal(ok, false, prints)
      check.equal(e.kind, "limit", prints)
      check.contains(e.message, "too much output: more than 5 bytes", prints)
    end
  end
  local vm <close> = peri.isolate { profile = "tool", output = 1 }
  check.equal(vm:run("local f <close> = io.tmpfile() f:write('a file is no output') return f:seek('cur')"):await(), 19)
end)

case("DLK-07: a run that nothing can wake is a deadlock, and its error comes back", function()
  local vm <close> = trusted()
  local ok, e = vm:run("require('perilune').channel(0):recv()"):join()
  check.equal(ok, false) check.equal(e.kind, "deadlock")
  check.reports()
end)

case("misuse is told at the caller's line", function()
  check.misuse("unknown option 'fule' to 'isolate'; did you mean 'fuel'?", function() peri.isolate { fule = 1 } end)
  check.misuse("bad option 'memory' to 'isolate' (a number of bytes", function() peri.isolate { memory = "16 bananas" } end)
  check.misuse("bad option 'memory' to 'isolate' (a number of bytes", function() peri.isolate { memory = 1000 } end)
  check.misuse("bad option 'fuel' to 'isolate' (a positive integer expected", function() peri.isolate { fuel = 0 } end)
  check.misuse("bad option 'deadline' to 'isolate'", function() peri.isolate { deadline = 0 / 0 } end)
  check.misuse("bad option 'profile' to 'isolate' (\"trusted\", \"tool\" or", function() peri.isolate { profile = "root" } end)
  check.misuse("bad option 'modules' to 'isolate' (names, or Lua text by name, expected", function() peri.isolate { modules = { 1 } } end)
  check.misuse("bad argument #1 to 'isolate' (a table of options", function() peri.isolate(1) end)
  local vm <close> = trusted()
  check.misuse("bad argument #1 to 'run' (Lua text or a function", function() vm:run(1) end)
end)
