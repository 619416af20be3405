-- What every call takes alike: a whole number is an integer however it was computed, whatever can be called is a function, and an
-- iterator is a function.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function double(n) return n * 2 end

case("whole floats are counts", function()
  check.equal(peri.channel(4 / 2).capacity, 2)
  check.equal(peri.semaphore(4 / 2).available, 2)
  check.equal(peri.shared_channel(1e1).capacity, 10)
  local ch = peri.unbounded { warn_at = 1e3 }
  for i = 1, 3 do ch:send(i) end
  check.same(ch:recv_many(1e6), { 1, 2, 3 })
  local permit <close> = peri.semaphore(3):acquire(6 / 2)
  local part <close> = permit:split(2.0)
  check.equal(part.count, 2)
  check.equal(peri.barrier(1.0):wait(), true)
  local group = peri.wait_group()
  group:add(2.0)
  group:done()
  group:done()
  group:wait()
  check.same(peri.map({ 1, 2 }, double, { concurrency = 1e3 }), { 2, 4, n = 2 })
  check.same(peri.pmap({ 1, 2 }, double, { chunk = 1.0, workers = 1.0 }), { 2, 4, n = 2 })
  check.equal(peri.retry({ attempts = 2.0 }, double, 2), 4)
  check.equal(peri.parallel({ worker = 1.0 }, double, 3):await(), 6)
  check.same(peri.stream.of(1, 2, 3):take(2.0):collect(), { 1, 2 })
  check.equal(peri.json.encode({ 1 }, { indent = 2.0 }), "[\n  1\n]")
end)

case("numbers that are not whole, or too small, are none, and are shown", function()
  check.misuse("(max must be a non-negative integer, got 1.5)", function() peri.channel(1):recv_many(1.5) end)
  check.misuse("(permits must be a positive integer, got 0)", function() peri.semaphore(1):acquire(0) end)
  check.misuse("(permits must be a positive integer, got inf)", function() peri.semaphore(1):acquire(1 / 0) end)
  check.misuse("(tasks must be a positive integer, got nan)", function() peri.barrier(0 / 0) end)
  check.misuse("(a non-negative integer expected, got -1)", function() peri.wait_group():add(-1) end)
  check.misuse("bad option 'warn_at' to 'unbounded' (a positive integer expected, got 0)", function() peri.unbounded { warn_at = 0 } end)
  check.misuse("bad option 'worker' to 'parallel' (a worker from 1 to 1 expected, got 7)", function() peri.parallel({ worker = 7 }, double) end)
end)

case("whatever can be called is a function", function()
  local callable = setmetatable({}, { __call = function(_, ...) return "called", ... end })
  local function called(...) check.same(table.pack(...), table.pack("called")) end
  called(peri.spawn(callable):await())
  called((peri.scope({}, callable))) -- it is given the scope, too
  called((peri.scope(callable)))
  called(peri.timeout(1, callable))
  called(select(2, peri.try_timeout(1, callable)))
  called(peri.shield(callable))
  called(peri.critical(callable))
  called(peri.once(callable):get())
  called(peri.mutex():with(callable))
  called(select(2, peri.race { callable }))
  called(peri.perform(peri.sleep_op(0):wrap(callable)))
  local told
  peri.on_unobserved(setmetatable({}, { __call = function(_, _, e) told = e.value end }))
  peri.spawn(error, "unseen", 0)
  peri.sleep(1)
  collectgarbage()
  peri.sleep(1)
  peri.on_unobserved(nil)
  check.equal(told, "unseen")
end)

case("what cannot be called is told as such", function()
  check.misuse("bad argument #1 to 'critical' (a function expected, got number)", function() peri.critical(1) end)
  check.misuse("bad argument #1 to 'critical' (a function expected, got no value)", function() peri.critical() end)
  check.misuse("bad argument #1 to 'scope' (a function expected, got nil)", function() peri.scope(nil) end)
  check.misuse("bad argument #1 to 'wrap' (a function expected, got table)", function() peri.sleep_op(0):wrap({}) end)
end)

case("iterators can be called by hand", function()
  local ch = peri.channel(3)
  for i = 1, 3 do ch:send(i) end
  ch:close()
  local values = ch:iter()
  check.same({ values(), values(), values() }, { 1, 2, 3 })
  check.equal(values(), nil)

  local shared = peri.shared_channel(1)
  shared:send("x")
  check.equal(shared:iter()(), "x")

  local set = peri.join_set()
  set:spawn(function() return "first" end)
  local ends = set:results()
  check.same({ select(2, ends()) }, { true, "first" })
  check.equal(ends(), nil)
end)

case("options of select are checked", function()
  local ready = peri.sleep_op(0)
  check.misuse("unknown option 'biasd' to 'select'; did you mean 'biased'?", function() peri.select({ ready }, { biasd = true }) end)
  check.misuse("unknown option 'fair' to 'try_select'", function() peri.try_select({ ready }, { fair = true }) end)
end)
