-- real clock
-- peri.thread: a function on a thread of its own, with tasks, time and files of its own.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

case("RUN-16: a thread has its own name and VM, and is joined as a task", function()
  local t = peri.thread({ name = "reader" }, function(a)
    here = true
    peri.sleep(0.001)
    local child = peri.spawn(function() return a + 1 end)
    local name = peri.fs.read("/proc/thread-self/comm")
    return child:await(), nil, name:match("%S+"), peri.self().name, peri.worker_id()
  end, 41)
  check.equal(t.name, "reader")
  local r = table.pack(t:await())
  check.equal(r.n, 5) check.equal(r[1], 42) check.equal(r[2], nil) check.equal(r[4], "reader") check.equal(r[5], nil)
  check.equal(here, nil)
  check.equal(peri.blocking(function() return require "perilune" ~= nil end):await(), true)
end)

case("RUN-16: its name is that of the system's thread", function()
  local name = peri.thread({ name = "a rather long name" }, function()
    local f <close> = io.open("/proc/thread-self/comm")
    return f:read("l")
  end):await()
  check.equal(name, "a rather long n")
end)

case("RUN-04: threads count to no bound of the pool", function()
  local go, threads = peri.shared_channel(0), {}
  for i = 1, 12 do threads[i] = peri.thread(function(ch) return ch:recv() or "gone" end, go) end
  check.equal(peri.blocking(function() return 1 end):await(), 1)
  for i = 1, 12 do go:send(i) end
  local sum = 0
  for i = 1, 12 do sum = sum + threads[i]:await() end
  check.equal(sum, 78)
  check.equal(peri.stats().blocking_running, 0)
end)

case("CAN-08: a cancellation reaches it while it waits; its closers run there first", function()
  local out = peri.shared_channel(4)
  local t = peri.thread(function(ch)
    local _ <close> = peri.defer(function(e) peri.sleep(0.002) ch:send("closed: " .. e.reason) end)
    ch:send("started")
    peri.sleep(1000)
  end, out)
  check.equal(out:recv(), "started")
  t:cancel("enough")
  local ok, e = t:join()
  check.equal(ok, false) check.equal(e.kind, "cancelled") check.equal(e.reason, "enough")
  check.equal(out:try_recv(), "closed: enough")
end)

case("CAN-02: one that is cancelled at once is over before join returns", function()
  for _ = 1, 10 do
    local t = peri.thread(function() peri.sleep(1000) end)
    t:cancel("at once")
    check.equal(select(2, t:join()).reason, "at once")
  end
end)

case("SND-04: its error is the failure of its task, with its traceback", function()
  local ok, e = peri.thread({ name = "far" }, function() error({ code = 5 }) end):join()
  check.equal(ok, false) check.equal(e.kind, "error") check.equal(e.value.code, 5) check.equal(e.task.name, "far")
  check.equal(e.traceback:find("thread.lua", 1, true) ~= nil, true)
end)

case("RUN-16: it is not waited for: who started it ends, and it is cancelled; unless it is no daemon", function()
  local out = peri.shared_channel(4)
  local function body(ch)
    local _ <close> = peri.defer(function(e) ch:send(e and "cancelled" or "returned") end)
    ch:send("started")
    peri.sleep(0.02)
  end
  for _, daemon in ipairs { true, false } do
    peri.spawn(function()
      peri.thread({ daemon = daemon }, body, out)
      check.equal(out:recv(), "started")
    end):await()
    check.equal(out:try_recv(), daemon and "cancelled" or "returned")
  end
end)

case("SND-02: what cannot cross is refused before a thread begins", function()
  check.raises("cannot cross VMs: args[1].cb is a coroutine", function() peri.thread(print, { cb = coroutine.create(print) }) end)
  check.misuse("bad argument #1 to 'thread' (function expected, got nil", function() peri.thread(nil) end)
  check.misuse("unknown option 'worker' to 'thread'", function() peri.thread({ worker = 1 }, print) end)
end)
