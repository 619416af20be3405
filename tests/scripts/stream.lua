-- Streams: operators and sinks, one by one; ends, errors, misuse. Sources: stream_sources.lua.
local peri = require "perilune"
local stream = require "perilune.stream"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function even(v) return v % 2 == 0 end
local function add(a, b) return a + b end

-- A stream of 1, 2, ... that notes when its source is closed.
local function closing(note, name, seconds)
  local at = 0
  return stream.from(function()
    if seconds then peri.sleep(seconds) end
    at = at + 1
    return at
  end, nil, nil, check.closer(function() note(name or "closed") end))
end

local function failing(at, what)
  local n = 0
  return stream.from(function()
    n = n + 1
    if n == at then error(what, 0) end
    return n
  end)
end

case("STR-01: an ended stream gives nil for ever", function()
  local ch = peri.channel(1)
  local reopened = true
  for _, s in ipairs {
    stream.of(1, 2), stream.of(1, 2):merge({}), stream.range(1, 9):take(2), stream.from({ 1, 2 }):buffered(1, function(v) return v end),
    stream.range(1, 5):take_while(function(v) return v < 3 end), stream.from(function()
      reopened = not reopened and 7 or nil
      return nil
    end),
  } do
    while s:next() do end
    for _ = 1, 10 do check.same(table.pack(s:next()), { n = 1 }) end
    check.same(table.pack(peri.perform(s:next_op())), { n = 1 })
  end
  ch:close()
  check.equal(stream.from(ch):next(), nil)
end)

case("STR-01: a source that would go on after its nil is not asked again", function()
  local asked = 0
  local s = stream.from(function()
    asked = asked + 1
    return asked ~= 2 and asked or nil
  end)
  check.same(s:collect(), { 1 })
  check.equal(asked, 2)
end)

case("STR-02: merge does not starve the quiet one", function()
  local ch = peri.channel(0)
  peri.spawn({ daemon = true }, function() for i = 1, 5 do ch:send("quiet " .. i) end end)
  local s = stream.range(1):merge(stream.from(ch))
  local heard, asked = 0, 0
  while heard < 5 do
    asked = asked + 1
    if type(s:next()) == "string" then heard = heard + 1 end
    check.truthy(asked < 1000, "heard within a thousand elements")
  end
  s:close()
end)

case("STR-02: merge takes from each of two that are always ready", function()
  local counts = { 0, 0 }
  local s = stream.range(1):map(function() return 1 end):merge(stream.range(1):map(function() return 2 end))
  for _ = 1, 2000 do
    local from = s:next()
    counts[from] = counts[from] + 1
  end
  s:close()
  check.truthy(counts[1] > 500 and counts[2] > 500, "a quarter each")
end)

case("STR-02: merge gives all of each, in each one's order, and ends with the last", function()
  local s = stream.of(1, 2, 3):merge(closing(function() end, nil, 1):take(3):map(function(v) return 10 * v end), {}, { 100 })
  local list = s:collect()
  table.sort(list)
  check.same(list, { 1, 2, 3, 10, 20, 30, 100 })
end)

local function slow_source(times)
  local at = 0
  return stream.from(function()
    if not times[at + 1] then return nil end
    peri.sleep(times[at + 1])
    at = at + 1
    return at
  end)
end

case("STR-03: chunks_timeout delivers what it has when the time is over, and at the end", function()
  local start, got = peri.now(), {}
  for chunk in slow_source({ 0, 0, 0, 0, 5, 1, 9 }):chunks_timeout(3, 2):iter() do
    got[#got + 1] = table.concat(chunk, "+") .. " at " .. math.tointeger(peri.now() - start)
  end
  check.same(got, { "1+2+3 at 0", "4 at 2", "5+6 at 7", "7 at 15" })
end)

case("STR-03: the time of a chunk begins with its first element", function()
  local s = slow_source({ 10, 1.5, 1 }):chunks_timeout(9, 2)
  check.same(s:next(), { 1, 2 })
  check.same(s:next(), { 3 })
  check.equal(s:next(), nil)
end)

case("STR-03: a cancelled reader leaves the partial chunk to the next", function()
  local s = slow_source({ 0, 0, 5, 0 }):chunks_timeout(4, 60)
  local reader = peri.spawn(s.next, s)
  peri.sleep(1)
  reader:cancel()
  reader:join()
  check.same(s:next(), { 1, 2, 3, 4 })
  s:close()
end)

case("chunks: full lists, and a shorter one at the end", function()
  check.same(stream.range(1, 7):chunks(3):collect(), { { 1, 2, 3 }, { 4, 5, 6 }, { 7 } })
  check.same(stream.range(1, 6):chunks(3):collect(), { { 1, 2, 3 }, { 4, 5, 6 } })
  check.same(stream.of():chunks(3):collect(), {})
end)

case("operators: map filter take skip take_while scan zip inspect flat_map", function()
  check.same(stream.range(1, 6):filter(even):map(function(v) return v * v end):collect(), { 4, 16, 36 })
  check.same(stream.range(1, 6):skip(2):take(3):collect(), { 3, 4, 5 })
  check.same(stream.range(1, 3):skip(9):collect(), {})
  check.same(stream.range(1, 3):take(0):collect(), {})
  check.same(stream.of(1, 2, 5, 1):take_while(function(v) return v < 3 end):collect(), { 1, 2 })
  check.same(stream.range(1, 4):scan(0, add):collect(), { 1, 3, 6, 10 })
  check.same(stream.of("a", "b", "c"):zip({ 1, 2 }):collect(), { { "a", 1 }, { "b", 2 } })
  local note, taken = check.trace()
  check.same(stream.range(1, 3):inspect(note):collect(), { 1, 2, 3 })
  check.equal(taken(), "1 2 3")
  check.same(stream.range(0, 3):flat_map(function(v) return stream.range(1, v) end):collect(), { 1, 1, 2, 1, 2, 3 })
end)

case("take does not ask for more than it gives", function()
  local ch = peri.channel(5)
  for i = 1, 5 do ch:send(i) end
  check.same(stream.from(ch):take(2):collect(), { 1, 2 })
  check.equal(ch:recv(), 3)
end)

case("throttle keeps elements apart and drops none", function()
  local start = peri.now()
  local at = stream.range(1, 3):throttle(2):map(function(v) return { v, peri.now() - start } end):collect()
  check.same(at, { { 1, 0 }, { 2, 2 }, { 3, 4 } })
end)

case("debounce gives the last of each burst, and the last of all at the end", function()
  local start = peri.now()
  local at = slow_source({ 0, 1, 1, 5, 1, 9, 0 }):debounce(2):map(function(v) return { v, peri.now() - start } end):collect()
  check.same(at, { { 3, 4 }, { 5, 10 }, { 7, 17 } })
end)

case("take_until ends with an operation, counted from the first element, or with a token", function()
  check.equal(#stream.interval(1):take_until(peri.sleep_op(3.5)):collect(), 4)
  local token = peri.token()
  peri.spawn(function()
    peri.sleep(2.5)
    token:cancel()
  end)
  check.equal(#stream.interval(1):take_until(token):collect(), 3)
  check.same(stream.range(1):take_until(token):collect(), {})
end)

case("buffered runs several at once and keeps their order, or gives them as they end", function()
  local start, running, most = peri.now(), 0, 0
  local function slow(v)
    running = running + 1
    most = math.max(most, running)
    peri.sleep(7 - v)
    running = running - 1
    return v
  end
  check.same(stream.range(1, 6):buffered(3, slow):collect(), { 1, 2, 3, 4, 5, 6 })
  check.equal(most, 3)
  check.equal(peri.now() - start, 9)
  check.same(stream.range(1, 6):buffered(6, slow, { ordered = false }):collect(), { 6, 5, 4, 3, 2, 1 })
  check.same(stream.of(function() return "a" end, function() return "b" end):buffered(2):collect(), { "a", "b" })
end)

case("what cannot be a stream is refused where it is given: results of flat_map, capacities, closing values, paths", function()
  local ok, e = pcall(function() return stream.range(1):flat_map(function() return 1 end):collect() end)
  check.equal(ok, false)
  check.equal(e, "bad result of the function of 'flat_map' (a function, list, channel, receiver or interval expected, got number)")
  check.misuse("bad argument #1 to 'to_channel' (capacity must be", function() stream.range(1):to_channel(2 ^ 60) end)
  check.misuse("bad argument #4 to 'from' (a closable value expected, got number)", function() stream.from(next, {}, nil, 1) end)
  check.misuse("bad argument #1 to 'lines' (a path holds no zero byte)", function() stream.lines("\0") end)
end)

case("sinks: each, fold, first, to_channel", function()
  local note, taken = check.trace()
  stream.range(1, 3):each(note)
  check.equal(taken(), "1 2 3")
  check.equal(stream.range(1, 4):fold(10, add), 20)
  check.equal(closing(note):first(), 1)
  check.equal(taken(), "closed")
  check.equal(stream.of():first(), nil)
  local ch = stream.range(1, 4):to_channel(1)
  local list = {}
  for v in ch:iter() do list[#list + 1] = v end
  check.same(list, { 1, 2, 3, 4 })
end)

case("to_channel: closing the channel closes the stream; a failure is the task's", function()
  local note, taken = check.trace()
  local ch, task = closing(note):to_channel()
  check.equal(ch:recv(), 1)
  ch:close()
  task:join()
  check.equal(taken(), "closed")
  ch, task = failing(2, "broken"):to_channel()
  check.equal(ch:recv(), 1)
  check.same(table.pack(ch:recv()), { nil, "closed", n = 2 })
  local ok, e = task:join()
  check.equal(ok, false)
  check.equal(e.value, "broken")
end)

case("`for v in s do` reads on where the last loop stopped; leaving s:iter() closes", function()
  local note, taken = check.trace()
  local s = closing(note)
  for v in s do if v == 3 then break end end
  for v in s do check.equal(v, 4) break end
  check.equal(taken(), "")
  for v in s:iter() do check.equal(v, 5) break end
  check.equal(taken(), "closed")
  check.equal(s:next(), nil)
end)

case("an error is raised where the next element is asked for, ends the stream and closes its source", function()
  local note, taken = check.trace()
  local value = { "any value" }
  local s = closing(note):map(function(v)
    if v == 2 then error(value) end
    return v
  end):filter(function() return true end)
  check.equal(s:next(), 1)
  local ok, e = pcall(s.next, s)
  check.equal(ok, false)
  check.equal(e, value)
  check.equal(taken(), "closed")
  check.equal(s:next(), nil)
end)

case("an error comes through every kind of stage, and through a select", function()
  local function id(v) return v end
  for _, through in ipairs {
    function(s) return s:merge({}) end, function(s) return s:chunks_timeout(9, 60) end, function(s) return s:debounce(60) end,
    function(s) return s:buffered(2, id) end, function(s) return s:take_until(peri.sleep_op(1e6)) end, function(s) return s:flat_map(function() return failing(1, "broken") end) end,
    function(s) return s:zip(stream.range(1)) end, function(s) return s:throttle(1) end,
  } do
    check.raises("broken", function() through(failing(2, "broken")):collect() end)
  end
  check.raises("broken", function() stream.of(1):buffered(1, function() error("broken") end):collect() end)
  local s = failing(2, "broken")
  check.equal(peri.perform(s:next_op()), 1)
  check.raises("broken", function() peri.select { s:next_op() } end)
  check.equal(s:next(), nil)
  local mapped = stream.of(1):map(function() error("broken") end)
  check.raises("broken", function() peri.select { mapped:next_op() } end)
  check.equal(mapped:next(), nil)
end)

case("nil is no element", function()
  check.raises("returned nil", function() stream.of(1):map(function() end):next() end)
  check.raises("given to 'map' returned nil", function() peri.perform(stream.of(1):map(function() end):next_op()) end)
  check.raises("given to 'buffered' returned nil", function() stream.of(1):buffered(1, function() end):next() end)
  check.same(stream.of(true, false):map(function(v) return not v end):collect(), { false, true })
end)

case("misuse is told at the caller's line", function()
  local s = stream.of(1, 2)
  local part = s:map(even)
  check.misuse("bad use of 'next' (the stream is part of another one)", function() s:next() end)
  check.misuse("bad use of 'take' (the stream is part of another one)", function() s:take(1) end)
  check.misuse("bad use of 'next_op' (the stream is part of another one)", function() s:next_op() end)
  check.misuse("bad use of 'iter' (the stream is part of another one)", function() s:iter() end)
  check.misuse("bad use of 'merge' (the stream is part of another one)", function() part:merge(s) end)
  check.misuse("bad argument #1 to 'map' (a function expected, got nil)", function() stream.of():map() end)
  check.misuse("bad argument #2 to 'fold' (a function expected, got number)", function() stream.of():fold(1, 2) end)
  check.misuse("bad argument #1 to 'take' (an integer of at least 0 expected, got -1)", function() stream.of():take(-1) end)
  check.misuse("bad argument #1 to 'chunks' (an integer of at least 1 expected, got 0)", function() stream.of():chunks(0) end)
  check.misuse("bad argument #2 to 'chunks_timeout' (seconds", function() stream.of():chunks_timeout(1, 0 / 0) end)
  check.misuse("bad argument #1 to 'throttle' (seconds", function() stream.of():throttle(-1) end)
  check.misuse("bad argument #1 to 'take_until' (an operation or a token expected, got number)", function() stream.of():take_until(3) end)
  check.misuse("bad argument #1 to 'from' (a function, list, channel", function() stream.from(5) end)
  check.misuse("bad argument #1 to 'merge' (a function, list, channel", function() stream.of():merge(5) end)
  check.misuse("bad argument #1 to 'interval' (seconds must be more than 0", function() stream.interval(0) end)
  check.misuse("bad argument #2 to 'of' (nil is no element)", function() stream.of(1, nil, 2) end)
  check.misuse("bad argument #3 to 'range' (a step that is not 0", function() stream.range(1, 2, 0) end)
  check.misuse("unknown option 'orderd'", function() stream.of():buffered(1, { orderd = false }) end)
  check.misuse("(a stream expected, got table)", function() s.next({}) end)
end)

case("two tasks cannot read one stream at once", function()
  local s = closing(function() end, nil, 1)
  local other = peri.spawn(s.next, s)
  peri.yield()
  check.misuse("another task reads the stream", function() s:next() end)
  other:join()
  check.equal(s:next(), 2)
  s:close()
end)
