-- Sources of streams: lists, ranges, iterators, channels, intervals, files, receivers of broadcasts and watches.
local peri = require "perilune"
local stream = require "perilune.stream"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

case("sources: lists, ranges, iterators, streams", function()
  check.same(stream.from({ "a", false, "b" }):collect(), { "a", false, "b" })
  check.same(stream.range(1, 2, 0.25):collect(), { 1, 1.25, 1.5, 1.75, 2 })
  check.same(stream.range(3, 1, -1):collect(), { 3, 2, 1 })
  check.same(stream.range(3, 1):collect(), {})
  check.same(stream.range(5):take(2):collect(), { 5, 6 })
  check.same(stream.from(("a b c"):gmatch("%a")):collect(), { "a", "b", "c" })
  check.same(stream.from(ipairs({ 7, 8, 9 })):collect(), { 1, 2, 3 })
  local co = coroutine.wrap(function() for i = 1, 3 do peri.sleep(1); coroutine.yield(i) end end)
  check.same(stream.from(co):collect(), { 1, 2, 3 })
  local s = stream.of(1)
  check.equal(stream.from(s), s)
  check.equal(stream.is_stream(s), true)
  check.equal(stream.is_stream({}), false)
  s:close()
end)

case("sources: a channel, until it is closed; the stream does not close it", function()
  local ch = peri.channel(2)
  ch:send(1)
  ch:send(2)
  check.same(stream.from(ch):take(1):collect(), { 1 })
  ch:close()
  check.same(stream.from(ch):collect(), { 2 })
end)

case("sources: intervals", function()
  local start = peri.now()
  local ticks = stream.interval(2):take(3):map(function(at) return at - start end):collect()
  check.same(ticks, { 0, 2, 4 })
  local iv <close> = peri.interval(1)
  check.equal(#stream.from(iv):take(4):collect(), 4)
  iv:tick()
end)

case("sources: the lines of a file, which is closed when the loop is left", function()
  local dir = peri.fs.temp_dir()
  local path = dir .. "/lines"
  peri.fs.write(path, "one\ntwo\nthree\n")
  check.same(stream.lines(path):collect(), { "one", "two", "three" })
  for line in stream.lines(path):filter(function(l) return #l == 3 end):iter() do
    check.equal(line, "one")
    break
  end
  check.raises("No such file", function() stream.lines(dir .. "/none"):collect() end)
  peri.fs.remove(dir, { recursive = true })
end)

-- A receiver of broadcasts: a channel in which a table stands for messages that were lost.
local function lagging(...)
  local ch = peri.channel(9)
  for _, v in ipairs { ... } do ch:send(v) end
  ch:close()
  local function told(v)
    if type(v) == "table" then return nil, "lagged", v[1] end
    return v
  end
  return setmetatable({ recv_op = function() return ch:recv_op():wrap(told) end }, {})
end

case("BRO-02: a receiver that lagged fails the stream, or tells how much was lost", function()
  local s = stream.from(lagging(1, { 3 }, 2))
  check.equal(s:next(), 1)
  check.raises("3 messages lost", function() s:next() end)
  check.equal(s:next(), nil)
  local note, taken = check.trace()
  check.same(stream.from(lagging(1, { 3 }, 2), { on_lag = note }):merge({}):collect(), { 1, 2 })
  check.equal(taken(), "3")
  check.misuse("bad argument #2 to 'from' ({on_lag = function} expected)", function() stream.from(peri.channel(1), 5) end)
end)

case("sources: receivers of a broadcast and of a watch", function()
  local b = peri.broadcast(2)
  local r = b:subscribe()
  for i = 1, 5 do b:send(i) end
  b:close()
  local note, taken = check.trace()
  check.same(stream.from(r, { on_lag = note }):collect(), { 4, 5 })
  check.equal(taken(), "3")
  local w = peri.watch(0)
  peri.spawn(function()
    for i = 1, 6 do
      w:set(i)
      if i % 2 == 0 then peri.sleep(1) end
    end
    w:close()
  end)
  check.same(stream.from(w:subscribe()):collect(), { 2, 4, 6 })
end)
