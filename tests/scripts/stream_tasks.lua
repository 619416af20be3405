-- Streams and tasks: lost selects, time limits, cancellation, closing; no task is left behind, no element lost.
local peri = require "perilune"
local stream = require "perilune.stream"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local function naturals(note, name)
  local at = 0
  return stream.from(function()
    at = at + 1
    return at
  end, nil, nil, check.closer(function()
    peri.sleep(0.1)
    note(name)
  end))
end

local function other_tasks() return #peri.tasks() - 1 end
local function same(v) return v end
local function all(v) return v ~= nil end

case("ISO-11: leaving the loop closes the source, whatever stands between", function()
  local note, taken = check.trace()
  for _, through in ipairs {
    function(s) return s end, function(s) return s:map(same):filter(all) end, function(s) return s:merge({}, naturals(note, "other")) end,
    function(s) return s:buffered(3, function(v) peri.sleep(v); return v end) end, function(s) return s:chunks_timeout(2, 1) end,
    function(s) return s:flat_map(function(v) return stream.range(1, v) end) end, function(s) return s:take_until(peri.sleep_op(99)) end,
    function(s) return s:throttle(1):debounce(0) end, function(s) return s:zip(stream.range(1)):scan(0, function(n) return n + 1 end) end,
  } do
    local before = other_tasks()
    for _ in through(naturals(note, "closed")):iter() do break end
    check.contains(taken(), "closed")
    check.equal(other_tasks(), before)
  end
end)

case("ISO-11: goto, return and an error close it too, and close waits", function()
  local note, taken = check.trace()
  local function leave()
    for v in naturals(note, "returned"):iter() do return v end
  end
  check.equal(leave(), 1)
  check.raises("in the loop", function()
    for _ in naturals(note, "raised"):iter() do error("in the loop") end
  end)
  for _ in naturals(note, "jumped"):iter() do goto out end
  ::out::
  do local s <close> = naturals(note, "block") end
  check.equal(taken(), "returned raised jumped block")
end)

case("a cancelled reader closes its loop's source", function()
  local note, taken = check.trace()
  local task = peri.spawn(function()
    for _ in naturals(note, "closed"):merge(stream.interval(1)):iter() do peri.sleep(1) end
  end)
  peri.sleep(3)
  task:cancel()
  check.equal(task:join(), false)
  check.equal(taken(), "closed")
end)

-- Streams of 1 to 40 that wait now and then.
local function waiting(count)
  local at = 0
  return stream.from(function()
    if at >= count then return nil end
    at = at + 1
    return at
  end):throttle(0.35)
end

local pipelines = {
  filter = function() return waiting(40):filter(all) end,
  merge = function() return waiting(40):merge({}) end,
  buffered = function() return waiting(40):buffered(3, same) end,
  buffered_slow = function() return waiting(40):buffered(3, function(v) peri.sleep(0.5); return v end) end,
  chunks = function() return waiting(40):chunks(4):flat_map(same) end,
  chunks_timeout = function() return waiting(40):chunks_timeout(4, 0.8):flat_map(same) end,
  take_until = function() return waiting(40):take_until(peri.sleep_op(1e6)) end,
  zip = function() return waiting(40):zip(waiting(40)):map(function(pair) return pair[1] end) end,
  channel = function() return stream.from((waiting(40):to_channel(2))) end,
}

local expected = stream.range(1, 40):collect()

for name, make in check.by_name(pipelines) do
  case("BRO-11: a select that a stream loses loses nothing: " .. name, function()
    local s, list = make(), {}
    while true do
      local key, v = peri.select { got = s:next_op(), other = peri.sleep_op(math.random() * 0.4) }
      if key == "got" then
        if v == nil then break end
        list[#list + 1] = v
      end
    end
    check.same(list, expected)
  end)

  case("a time limit around next loses nothing: " .. name, function()
    local s, list = make(), {}
    while true do
      local ok, v = peri.try_timeout(0.05 + math.random() * 0.4, s.next, s)
      if ok then
        if v == nil then break end
        list[#list + 1] = v
      end
    end
    check.same(list, expected)
  end)

  case("select and time limits by turns, and readers that are cancelled: " .. name, function()
    local s, list = make(), {}
    while #list < 40 do
      local way = math.random(3)
      local ok, v
      if way == 1 then
        ok, v = peri.try_timeout(math.random() * 0.5, s.next, s)
      elseif way == 2 then
        ok, v = peri.select({ s:next_op(), peri.sleep_op(math.random() * 0.5) })
        ok = ok == 1
      else
        local reader = peri.spawn(s.next, s)
        peri.sleep(math.random() * 0.5)
        reader:cancel()
        ok, v = reader:join()
      end
      if ok then list[#list + 1] = v end
    end
    check.equal(s:next(), nil)
    check.same(list, expected)
  end)
end

case("a stream that was never read starts nothing", function()
  local before = other_tasks()
  local s = naturals(function() end, ""):buffered(3, same):merge(stream.interval(1)):chunks_timeout(2, 1):take_until(peri.sleep_op(1))
  peri.yield()
  check.equal(other_tasks(), before)
  s:close()
  s:close()
end)

case("stages that only pull need no task, nor do sources in a select", function()
  local before = other_tasks()
  local s = stream.range(1, 9):map(same):filter(all):skip(1):take(5):chunks(2)
  for _ = 1, 3 do
    s:next()
    check.equal(other_tasks(), before)
  end
  local merged = stream.from(peri.channel(1)):merge(stream.range(1), stream.interval(1))
  merged:next()
  check.equal(other_tasks(), before)
  merged:close()
  s:close()
end)

case("tasks of a stream are daemons of the one that reads it", function()
  local before = other_tasks()
  local task = peri.spawn(function()
    local s = stream.from(function() return peri.sleep(1) or 1 end):merge(stream.range(1, 2))
    return s:next()
  end)
  check.equal(task:await(), 1)
  check.equal(other_tasks(), before)
end)

case("they outlive a scope around one reading, but not inside a shield of a task that is cancelled", function()
  local s = waiting(5):filter(all)
  peri.scope(function() peri.perform(s:next_op()) end)
  check.same(s:collect(), { 2, 3, 4, 5 })
  local rest = waiting(5):buffered(2, same):merge({})
  local task
  task = peri.spawn(function()
    peri.self():cancel()
    return peri.shield(function() return rest:collect() end)
  end)
  local ok, list = task:join()
  check.truthy(ok, tostring(list))
  check.same(list, { 1, 2, 3, 4, 5 })
end)

case("two tasks wait with next_op, and the one that started the reading ahead is cancelled before it began", function()
  local s = waiting(3):filter(all)
  local one = peri.spawn(function() return peri.perform(s:next_op()) end)
  local two = peri.spawn(function() return peri.perform(s:next_op()) end)
  peri.spawn(function() one:cancel() end)
  check.equal(two:await(), 1)
  check.same(s:collect(), { 2, 3 })
end)

case:ordered("close ends the elements that are being worked on, and waits for their closers", function()
  local note, taken = check.trace()
  local s = stream.range(1):buffered(3, function(v)
    local _ <close> = peri.defer(function()
      peri.sleep(1)
      note("left " .. v)
    end)
    peri.sleep(v == 1 and 1 or 100)
    return v
  end)
  check.equal(s:next(), 1)
  s:close()
  check.equal(taken(), "left 1 left 2 left 3")
end)

case("close wakes the task that waits in next, which sees the end, wherever it waits; nothing is lost below", function()
  local ch = peri.channel(0)
  local makers = {
    function() return stream.from(ch) end,
    function() return stream.from(ch):map(same):filter(all) end,
    function() return stream.from(ch):merge(stream.from(peri.channel(1))) end,
    function() return stream.from(ch):buffered(2, same) end,
    function() return stream.from(ch):chunks_timeout(2, 50) end,
    function() return stream.from(function() return peri.sleep(50) end) end,
    function() return stream.interval(50):skip(1) end,
  }
  for i, make in ipairs(makers) do
    local s, start = make(), peri.now()
    local waiting = peri.spawn(function() return "end", s:next() end)
    local looping = peri.spawn(function()
      peri.sleep(2)
      for _ in s:iter() do end
      return "ended"
    end)
    peri.sleep(1)
    s:close()
    check.same(table.pack(waiting:await()), { "end", n = 2 }, "maker " .. i)
    check.equal(peri.now(), start + 1)
    check.equal(s:next(), nil)
    check.equal(looping:await(), "ended")
    check.equal(ch:stats().waiting_receivers, 0)
  end
end)

case("close waits until the task in next has left its closers", function()
  local note, taken = check.trace()
  local s = stream.from(function()
    local _ <close> = peri.defer(function()
      peri.sleep(1)
      note("left")
    end)
    peri.sleep(100)
  end)
  local waiting = peri.spawn(function()
    s:next()
    note("end")
  end)
  peri.yield()
  s:close()
  check.contains(taken(), "left")
  waiting:await()
end)

case:ordered("the first failure of buffered ends the others", function()
  local note, taken = check.trace()
  local s = stream.range(1, 3):buffered(3, function(v)
    local _ <close> = check.closer(function() note(v) end)
    peri.sleep(v == 2 and 1 or 100)
    error("broken " .. v)
  end, { ordered = false })
  check.raises("broken 2", function() s:next() end)
  check.equal(taken(), "2 1 3")
  check.equal(s:next(), nil)
end)

case("two selects over the same two streams, in two tasks, share the elements", function()
  local a, b = waiting(20):filter(all), waiting(20):filter(all)
  local sum = 0
  local function read()
    local open = { a = true, b = true }
    while next(open) do
      local key, v = peri.select { open.a and a:next_op() or b:next_op(), open.b and b:next_op() or a:next_op() }
      if v == nil then return end
      sum = sum + v
      if key == nil then return end
    end
  end
  local one, two = peri.spawn(read), peri.spawn(read)
  one:await()
  two:await()
  for v in a:merge(b) do sum = sum + v end
  check.equal(sum, 420)
end)
