-- workers: 3
-- Functions on other workers: where they run, what comes back, how they are cancelled and end; and channels between VMs.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end

case("COP-09: parallel runs on other workers in turn, or where it is told", function()
  check.equal(peri.workers(), 3)
  check.equal(peri.worker_id(), 1)
  local seen = {}
  for _ = 1, 4 do
    local id = peri.parallel(function() return (require "perilune").worker_id() end):await()
    seen[id] = (seen[id] or 0) + 1
  end
  check.equal(seen[1], nil) check.equal(seen[2], 2) check.equal(seen[3], 2)
  for i = 1, 3 do check.equal(peri.parallel({ worker = i }, function() return peri.worker_id() end):await(), i) end
  check.equal(peri.parallel(fib, 20):await(), 6765)
end)

case("SND-06: tasks there wait, spawn and read files as anywhere; several results come back whole", function()
  local r = table.pack(peri.parallel({ name = "there" }, function(a)
    peri.sleep(0.001)
    local t = peri.spawn(function() peri.yield() return a end)
    return t:await(), nil, peri.self().name, nil
  end, "x"):await())
  check.equal(r.n, 4) check.equal(r[1], "x") check.equal(r[3], "there")
end)

case("SND-04: an error over there is the failure of the task here, with its traceback", function()
  local ok, e = peri.parallel({ name = "far" }, function() error({ code = 5 }) end):join()
  check.equal(ok, false) check.equal(e.kind, "error") check.equal(e.value.code, 5) check.equal(e.task.name, "far")
  check.equal(e.traceback:find("parallel.lua", 1, true) ~= nil, true)
  ok, e = peri.parallel(function() peri.timeout(0.001, peri.sleep, 10) end):join()
  check.equal(ok, false) check.equal(e.kind, "timeout")
  ok, e = peri.parallel(function() return coroutine.create(print) end):join()
  check.equal(ok, false) check.equal(e.message, "cannot cross VMs: results[1] is a coroutine")
end)

case("CAN-08: a cancellation crosses, its reason too; closers over there run before join returns", function()
  local log = peri.shared_channel(10)
  local t = peri.parallel(function(out)
    local _ <close> = peri.defer(function(e) peri.sleep(0.005) out:send(e.reason) end)
    out:send("started")
    peri.sleep(1000)
  end, log)
  check.equal(log:recv(), "started")
  t:cancel("enough")
  local ok, e = t:join()
  check.equal(ok, false) check.equal(e.kind, "cancelled") check.equal(e.reason, "enough")
  check.equal(log:try_recv(), "enough")
  check.equal(t:status(), "cancelled")
end)

case("CAN-02: cancelled at once, it is over before join returns", function()
  for _ = 1, 20 do
    local t = peri.parallel(function() peri.sleep(1000) end)
    t:cancel()
    check.equal(select(2, t:join()).kind, "cancelled")
  end
end)

case("CAN-15: what a closer over there raises is the task's failure", function()
  local ready = peri.shared_channel(0)
  local t = peri.parallel(function(out)
    local _ <close> = setmetatable({}, { __close = function() error("disk full", 0) end })
    out:send(true)
    peri.sleep(1000)
  end, ready)
  ready:recv()
  t:cancel()
  local ok, e = t:join()
  check.equal(ok, false) check.equal(e.kind, "error") check.equal(e.value, "disk full") check.equal(e.during_cancel, true)
end)

case("SCO-02: a scope cancels what runs elsewhere when a sibling fails", function()
  local e = select(2, pcall(peri.scope, function(s)
    s:spawn(function() peri.parallel(function() peri.sleep(1000) end):await() end)
    s:spawn(function() peri.sleep(0.005) error("stop", 0) end)
  end))
  check.equal(e.kind, "group") check.equal(#e.errors, 1) check.equal(e.errors[1].value, "stop")
end)

case("parallel may be asked for anywhere, from other workers too", function()
  local v = peri.parallel({ worker = 2 }, function(f)
    return peri.parallel({ worker = 3 }, function(g) return g(12), peri.worker_id() end, f):await() + 1
  end, fib):await()
  check.equal(v, 145)
end)

case("pmap keeps order, on all workers, and the first failure ends it", function()
  local list = {}
  for i = 1, 50 do list[i] = i end
  local squares = peri.pmap(list, function(x) return x * x end)
  check.equal(squares.n, 50)
  for i = 1, 50 do check.equal(squares[i], i * i) end
  check.equal(peri.pmap({}, fib).n, 0)
  local ids = peri.pmap({ 1, 2, 3 }, function() peri.sleep(0.01) return peri.worker_id() end, { chunk = 1 })
  table.sort(ids)
  check.equal(table.concat(ids, " "), "1 2 3")
  local e = select(2, pcall(peri.pmap, list, function(x) if x == 7 then error("seven", 0) end return x end, { workers = 2, chunk = 5 }))
  check.equal(e.kind, "group") check.equal(e.errors[1].value, "seven")
  local co = coroutine.create(print)
  e = select(2, pcall(peri.pmap, list, function() return co end))
  check.equal(e.kind, "transfer")
  check.misuse("bad option 'chunk' to 'pmap' (a positive integer expected, got 0)", function() peri.pmap({}, fib, { chunk = 0 }) end)
  check.misuse("bad argument #2 to 'pmap' (a function expected, got nil)", function() peri.pmap({}) end)
end)

case("pmap: chunks that fail at the same time are one group, and nothing is left to be reported", function()
  for _ = 1, 20 do
    local ok, e = pcall(peri.pmap, { 1, 2, 3, 4, 5, 6 }, function(n) error("chunk " .. n, 0) end, { chunk = 1 })
    check.equal(ok, false)
    check.kind(e, "group")
    check.contains(e.errors[1].message, "chunk ")
  end
  collectgarbage()
  collectgarbage()
  check.equal(peri.stats().unobserved, 0)
end)

case("misuse of parallel is told at the caller's line", function()
  check.misuse("bad option 'worker' to 'parallel' (a worker from 1 to 3 expected, got 4)", function() peri.parallel({ worker = 4 }, fib) end)
  check.misuse("bad argument #1 to 'parallel' (function expected, got nil", function() peri.parallel(nil) end)
end)

case("CHN-01, CHN-05: a shared channel is FIFO, exact, and ends after its values", function()
  local ch = peri.shared_channel(2)
  check.equal(ch.capacity, 2)
  check.equal(ch:try_send(1), true) check.equal(ch:try_send({ 2 }), true)
  check.equal(select(2, ch:try_send(3)), "full")
  check.equal(#ch, 2)
  local t = peri.spawn(function() return ch:send(3) end)
  peri.yield()
  check.equal(ch:stats().waiting_senders, 1)
  check.equal(ch:recv(), 1)
  check.equal(t:await(), true)
  ch:close() ch:close()
  check.equal(select(2, ch:send(4)), "closed")
  check.equal(ch:recv()[1], 2) check.equal(ch:recv(), 3)
  for _ = 1, 3 do check.equal(select(2, ch:recv()), "closed") end
  check.equal(select(2, ch:try_recv()), "closed")
end)

case("CHN-25: recv_many takes what is there up to its limit, waits for one, and ends with an empty list", function()
  local ch = peri.shared_channel(8, "jobs")
  check.equal(ch.name, "jobs")
  check.equal(peri.shared_channel(0).name, nil)
  check.equal(#ch:recv_many(0), 0)
  for i = 1, 5 do ch:send(i) end
  local list = ch:recv_many(3)
  check.equal(#list, 3) check.equal(list[1], 1) check.equal(list[3], 3)
  check.equal(peri.parallel(function(c) return table.concat(c:recv_many(10), " "), c.name, c.capacity end, ch):await(), "4 5")
  local t = peri.spawn(function() return ch:recv_many(2) end)
  peri.yield()
  check.equal(ch:stats().waiting_receivers, 1)
  local key, many = nil, nil
  peri.parallel(function(c) c:send("a") c:send("b") c:send("c") end, ch):await()
  check.equal(t:await()[1], "a")
  key, many = peri.select { got = ch:recv_many_op(9), t = peri.sleep_op(10) }
  check.equal(key, "got") check.equal(many[#many], "c")
  local stats = ch:stats()
  check.equal(stats.sends, 8) check.equal(stats.recvs, 8) check.equal(stats.len, 0) check.equal(stats.capacity, 8) check.equal(stats.peak, 5)
  ch:close()
  check.equal(#ch:recv_many(4), 0)
  check.misuse("max must be a non-negative integer, got -1", function() ch:recv_many(-1) end)
  check.misuse("name must be a string, got 5", function() peri.shared_channel(1, 5) end)
end)

case("CHN-02: capacity 0 is a rendezvous, between VMs too", function()
  local ch, back = peri.shared_channel(0), peri.shared_channel(0)
  check.equal(select(2, ch:try_send(1)), "full")
  local t = peri.parallel(function(i, o) for v in i:iter() do o:send(v * 2) end o:close() return "done" end, ch, back)
  for i = 1, 100 do
    check.equal(ch:send(i), true)
    check.equal(back:recv(), i * 2)
  end
  ch:close()
  check.equal(select(2, back:recv()), "closed")
  check.equal(t:await(), "done")
end)

case("CHN-29: many producers on all workers: nothing lost, nothing doubled, each one's order kept", function()
  local ch, n = peri.shared_channel(8), 300
  local producers = {}
  for w = 1, 3 do
    producers[w] = peri.parallel({ worker = w }, function(out, me, count)
      for i = 1, count do out:send { me, i } end
    end, ch, w, n)
  end
  local last = { 0, 0, 0 }
  for _ = 1, 3 * n do
    local v = ch:recv()
    check.equal(v[2], last[v[1]] + 1)
    last[v[1]] = v[2]
  end
  for _, p in ipairs(producers) do p:await() end
  check.equal(ch:stats().len, 0) check.equal(ch:stats().sends, 3 * n) check.equal(ch:stats().recvs, 3 * n)
end)

case("CHN-35: what cannot cross is refused at the sender, and the channel is as before", function()
  local ch = peri.shared_channel(1)
  local ok, e = pcall(ch.send, ch, { a = { cb = coroutine.create(print) } })
  check.equal(ok, false) check.equal(e.kind, "transfer") check.equal(e.message, "cannot cross VMs: .a.cb is a coroutine")
  check.equal(#ch, 0) check.equal(ch:send(1), true) check.equal(ch:recv(), 1)
  check.misuse("nil is not a message", function() ch:send(nil) end)
end)

case("SEL-05, SEL-07: lost arms of shared channels leave nothing behind", function()
  local a, b = peri.shared_channel(0), peri.shared_channel(1)
  for _ = 1, 20 do
    local key = peri.select { a = a:recv_op(), t = peri.sleep_op(0.0005), s = a:send_op("x") }
    check.equal(key, "t")
  end
  local stats = a:stats()
  check.equal(stats.waiting_receivers, 0) check.equal(stats.waiting_senders, 0) check.equal(stats.len, 0)
  b:send("v")
  local key, v = peri.select { a = a:recv_op(), b = b:recv_op() }
  check.equal(key, "b") check.equal(v, "v")
end)

case("CHN-02: two selects meet on a shared channel", function()
  local ch = peri.shared_channel(0)
  local t = peri.parallel(function(c)
    local got = {}
    for i = 1, 50 do
      local key, v = peri.select { v = c:recv_op(), never = peri.sleep_op(100) }
      got[i] = v
    end
    return got
  end, ch)
  for i = 1, 50 do check.equal(peri.select { s = ch:send_op(i), never = peri.sleep_op(100) }, "s") end
  local got = t:await()
  for i = 1, 50 do check.equal(got[i], i) end
end)

case("CAN-32: random cancels on both sides lose and double nothing", function()
  local ch, n = peri.shared_channel(2), 200
  local sender = peri.parallel(function(out, count)
    for i = 1, count do
      while not peri.try_timeout(0.0004, function() out:send(i) return true end) do
        if out:stats().closed then return end
      end
    end
    out:close()
  end, ch, n)
  local seen, count = {}, 0
  while true do
    local ok, v, why = peri.try_timeout(0.0003, function() return ch:recv() end)
    if ok and v == nil then break end
    if ok then
      seen[v] = (seen[v] or 0) + 1
      count = count + 1
    end
  end
  sender:await()
  local stats = ch:stats()
  check.equal(stats.sends, stats.recvs)
  check.equal(stats.recvs, count)
  for i = 1, n do check.equal(seen[i], 1) end
end)

case("DLK-07: a wait on a shared channel that nobody can end is a deadlock", function()
  local ch = peri.shared_channel(0)
  local ok, e = peri.parallel(function(c) return c:recv() end, ch):join()
  check.equal(ok, false) check.equal(e.kind, "deadlock")
end)

case("a wait that cannot suspend goes on when its budget is spent", function()
  local ch, n = peri.channel(1000), 0
  for i = 1, 1000 do ch:send(i) end
  local list = {}
  for i = 1, 100 do list[i] = i end
  table.sort(list, function(a, b)
    if n < 400 then n = n + 1 ch:recv() end
    return a > b
  end)
  check.equal(n, 400)
end)

-- The standing task waits for a call, which is no wait for a task: so the cycle is found when nothing runs any more.
case("DLK-07: a cycle of joins through peri.parallel ends, and so does a child there that joins its parent", function()
  local first
  first = peri.spawn(function() return peri.parallel(function(t) return t:await() end, first):await() end)
  local ok, e = first:join()
  check.equal(ok, false)
  check.equal(e.kind, "deadlock")
  local child
  local parent = peri.spawn(function() child = peri.parallel(function(t) return t:join() end, peri.self()) end)
  check.equal(parent:join(), true)
  ok, e = child:join()
  check.equal(ok, false)
  check.equal(e.kind, "deadlock")
end)
