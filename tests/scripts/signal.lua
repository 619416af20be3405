-- perilune.signal, with signals this process sends itself, on the real clock. Rows SIG of the semantics.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, misuse = check.equal, check.same, check.contains, check.misuse

local process, signal = peri.process, require "perilune.signal"
local listen = signal.listen

local stat = assert(io.open("/proc/self/stat"))
local my_pid = math.tointeger(stat:read("n"))
stat:close()

local function send(name) process.run { sh = ("kill -%s %d"):format(name, my_pid) } end

-- How a script ends, run on its own; it is sent signals as soon as it says so.
local function end_of(script, ...)
  local child <close> = process.spawn { argv = { os.getenv "PERILUNE", "run", "-" }, stdin = "local peri = require 'perilune'\n" .. script }
  for _, name in ipairs { ... } do
    equal(child.stdout:read(), "ready")
    child:signal(name)
  end
  local rest = child.stdout:read("all")
  return child:wait(), rest
end

case("SIG-01: every listener gets every signal", function()
  local listeners, tasks = {}, {}
  for i = 1, 3 do listeners[i] = listen("USR1", "USR2") end
  for i = 1, 3 do tasks[i] = peri.spawn(function() return listeners[i]:recv(), listeners[i]:recv() end) end
  peri.yield()
  send("USR1")
  send("USR2")
  for i = 1, 3 do same({ tasks[i]:await() }, { "USR1", "USR2" }) end
  for i = 1, 3 do listeners[i]:close() end
end)

case("SIG-02: what arrived before is not delivered", function()
  local first <close> = listen("USR1")
  send("USR1")
  equal(first:recv(), "USR1")
  local second <close> = listen("SIGUSR1")
  equal(peri.try_select { second:recv_op() }, nil)
  send("USR1")
  equal(second:recv(), "USR1")
  equal(first:recv(), "USR1")
end)

case("SIG-03: closing one listener leaves the other", function()
  local a, b = listen("USR1"), listen("USR1")
  a:close()
  a:close()
  send("USR1")
  equal(b:recv(), "USR1")
  same({ a:recv() }, { nil, "closed" })
  b:close()
end)

case("SIG-03: closing wakes those who wait, and ends the loop", function()
  local l = listen("USR1")
  local waiting = peri.spawn(l.recv, l)
  local seen = {}
  local looping = peri.spawn(function() for name in l:iter() do seen[#seen + 1] = name end end)
  peri.yield()
  l:close()
  same(table.pack(waiting:await()), { n = 2, nil, "closed" })
  looping:await()
  same(seen, {})
end)

case("SIG-04: when the last listener is closed, the signal does what it did before", function()
  local status = end_of([[
    local a, b = peri.signal.listen("TERM"), peri.signal.listen("TERM")
    print "ready"
    io.stdout:flush()
    a:recv()
    b:recv()
    a:close()
    b:close()
    local _ <close> = peri.defer(function() print "closed" io.stdout:flush() end)
    print "ready"
    io.stdout:flush()
    peri.sleep(100)
  ]], "TERM", "TERM")
  equal(status.code, 143)
  status = end_of([[
    local l <close> = peri.signal.listen("USR1")
    l:close()
    print "ready"
    io.stdout:flush()
    peri.sleep(100)
  ]], "USR1")
  equal(status.signal, "USR1")
end)

case("SIG-05: INT ends a server: work in flight is drained, closers run, the exit code says why", function()
  local status, said = end_of([[
    local done = peri.unbounded()
    local ok = pcall(peri.scope, function(s)
      s:spawn(function()
        local _ <close> = peri.defer(function() peri.sleep(0.05) print "drained" end)
        print "ready"
        io.stdout:flush()
        peri.sleep(100)
      end)
    end)
    print "never"
  ]], "INT")
  equal(status.code, 130)
  equal(said, "drained\n")
end)

case("SIG-05: a script that listens handles the signal itself", function()
  local status, said = end_of([[
    local l <close> = peri.signal.listen("INT", "TERM")
    print "ready"
    io.stdout:flush()
    print("got " .. l:recv())
  ]], "INT")
  equal(status.code, 0)
  equal(said, "got INT\n")
end)

case("SIG: a listener can be selected; one that loses has lost nothing", function()
  local l <close> = listen("USR1")
  equal(peri.select { l:recv_op(), peri.sleep_op(0.001) }, 2)
  send("USR1")
  local key, name = peri.select { got = l:recv_op(), late = peri.sleep_op(10) }
  equal(key, "got")
  equal(name, "USR1")
  local waiting = peri.spawn(l.recv, l)
  peri.yield()
  waiting:cancel()
  waiting:join()
  send("USR1")
  equal(l:recv(), "USR1")
end)

case("DLK-03: a task that waits for a signal is no deadlock, and can be seen", function()
  local l <close> = listen("USR1")
  local waiting = peri.spawn({ name = "listener" }, l.recv, l)
  peri.sleep(0.01)
  contains(peri.dump(), "(listener) waiting in recv on a signal listener")
  waiting:cancel()
  waiting:join()
end)

case("SIG: an unknown signal, and one that cannot be waited for, are misuse", function()
  misuse("bad argument #1 to 'listen' (no signal is called 'FOO'", function() listen("FOO") end)
  misuse("bad argument #2 to 'listen' (the name of a signal expected, got 2)", function() listen("INT", 2) end)
  misuse("bad argument #1 to 'listen' (the name of a signal expected, got no value)", function() listen() end)
  misuse("cannot be waited for", function() listen("KILL") end)
  misuse("a listener expected", function() listen("USR1").recv() end)
end)

case("SIG: a listener that is collected is closed", function()
  listen("USR1")
  collectgarbage()
  collectgarbage()
  local status = end_of([[
    peri.signal.listen("USR1")
    collectgarbage()
    collectgarbage()
    print "ready"
    io.stdout:flush()
    peri.sleep(100)
  ]], "USR1")
  equal(status.signal, "USR1")
end)

case("SIG: many signals, many listeners, and none is left behind", function()
  for _ = 1, 50 do
    local l <close> = listen("USR1", "USR2", "HUP")
    local task = peri.spawn(l.recv, l)
    peri.yield()
    task:cancel()
  end
  local l <close> = listen("USR1")
  local got = 0
  local counter = peri.spawn(function() for _ in l:iter() do got = got + 1 end end)
  for _ = 1, 20 do send("USR1") end
  peri.sleep(0.02)
  l:close()
  counter:await()
  equal(got, 20)
end)
