-- Random pipelines of streams against the same functions on lists, over sources that wait and sources that do not, read by
-- next, by select and under time limits.
local peri = require "perilune"
local stream = require "perilune.stream"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local lists = {}

function lists.map(list, fn)
  local made = {}
  for i, v in ipairs(list) do made[i] = fn(v) end
  return made
end

function lists.filter(list, fn)
  local made = {}
  for _, v in ipairs(list) do if fn(v) then made[#made + 1] = v end end
  return made
end

function lists.take(list, n) return table.move(list, 1, math.min(n, #list), 1, {}) end

function lists.skip(list, n) return table.move(list, n + 1, #list, 1, {}) end

function lists.take_while(list, fn)
  local made = {}
  for i, v in ipairs(list) do
    if not fn(v) then break end
    made[i] = v
  end
  return made
end

function lists.scan(list, sum, fn)
  return lists.map(list, function(v)
    sum = fn(sum, v)
    return sum
  end)
end

function lists.chunks(list, n)
  local made = {}
  for i = 1, #list, n do made[#made + 1] = table.move(list, i, math.min(i + n - 1, #list), 1, {}) end
  return made
end

function lists.flat_map(list, fn)
  local made = {}
  for _, v in ipairs(list) do
    for _, inner in ipairs(fn(v)) do made[#made + 1] = inner end
  end
  return made
end

function lists.zip(list, other)
  local made = {}
  for i = 1, math.min(#list, #other) do made[i] = { list[i], other[i] } end
  return made
end

lists.buffered = function(list, _, fn) return lists.map(list, fn) end
lists.inspect = function(list) return list end
lists.throttle, lists.take_until, lists.to_channel, lists.merge = lists.inspect, lists.inspect, lists.inspect, lists.inspect

local function count(v) return type(v) == "table" and #v or v end
local function small(v) return count(v) % 7 < 5 end
local function double(v) return 2 * count(v) end
local function some(v) return stream.range(1, count(v) % 4):collect() end

-- A stage: its name and arguments.
local stages = {
  function() return "map", double end,
  function() return "filter", small end,
  function() return "take", math.random(0, 30) end,
  function() return "skip", math.random(0, 5) end,
  function() return "take_while", function(v) return count(v) < 60 end end,
  function() return "scan", 0, function(sum, v) return sum + count(v) end end,
  function() return "chunks", math.random(1, 5) end,
  function() return "flat_map", some end,
  function() return "zip", stream.range(1, math.random(0, 30)):collect() end,
  function() return "inspect", count end,
  function() return "throttle", math.random() end,
  function() return "merge", {} end,
  function() return "take_until", peri.until_op(math.huge) end,
  function() return "buffered", math.random(1, 4), double end,
  function()
    return "buffered", math.random(1, 4), function(v)
      peri.sleep(count(v) % 3 / 4)
      return double(v)
    end
  end,
}

local function from_list(list)
  local way = math.random(4)
  if way == 1 then return stream.from(list) end
  local at = 0
  local s = stream.from(function()
    at = at + 1
    return list[at]
  end)
  if way == 2 then return s end
  if way == 3 then return s:throttle(0.2) end
  return stream.from((s:to_channel(math.random(0, 3))))
end

local readers = {}

function readers.next(s)
  local list = {}
  for v in s do list[#list + 1] = v end
  return list
end

function readers.select(s)
  local list = {}
  while true do
    local key, v = peri.select { peri.sleep_op(math.random()), s:next_op() }
    if key == 2 then
      if v == nil then return list end
      list[#list + 1] = v
    end
  end
end

-- Functions that wait are left out here: cancelled, they have had their element.
function readers.limits(s)
  local list = {}
  while true do
    local ok, v = peri.try_timeout(0.05 + math.random(), s.next, s)
    if ok then
      if v == nil then return list end
      list[#list + 1] = v
    end
  end
end

local function pipeline(list)
  local s, model, names = from_list(list), list, {}
  for _ = 1, math.random(0, 6) do
    local call = table.pack(stages[math.random(#stages)]())
    local name = call[1]
    names[#names + 1] = name
    model = lists[name](model, table.unpack(call, 2, call.n))
    s = s[name](s, table.unpack(call, 2, call.n))
  end
  return s, model, table.concat(names, " ")
end

for how, read in check.by_name(readers) do
  case("pipelines agree with functions on lists, read by " .. how, function()
    for seed = 1, 150 do
      math.randomseed(seed)
      local list = {}
      for i = 1, math.random(0, 40) do list[i] = math.random(0, 50) end
      local s, model, names = pipeline(list)
      local ok, e = pcall(check.same, read(s), model)
      if not ok then error(("seed %d, %s: %s"):format(seed, names, e), 0) end
      check.equal(s:next(), nil)
    end
  end)

  case("closing in the middle leaves nothing running, read by " .. how, function()
    for seed = 1, 60 do
      math.randomseed(seed)
      local s, model = pipeline(stream.range(1, 40):collect())
      local stop = math.random(0, 10)
      check.same(read(s:take(stop)), lists.take(model, stop))
    end
  end)
end

case("merged streams give all of each in its own order", function()
  for seed = 1, 100 do
    math.randomseed(seed)
    local parts, total = {}, 0
    for which = 1, math.random(2, 5) do
      local list = {}
      for i = 1, math.random(0, 15) do list[i] = which * 100 + i end
      total = total + #list
      parts[which] = from_list(list)
    end
    local seen, last = 0, {}
    for v in parts[1]:merge(table.unpack(parts, 2)) do
      seen = seen + 1
      check.equal(v % 100, (last[v // 100] or 0) + 1)
      last[v // 100] = v % 100
    end
    check.equal(seen, total)
  end
end)

case("chunks_timeout loses nothing and keeps to its limits", function()
  for seed = 1, 100 do
    math.randomseed(seed)
    local size, seconds, list = math.random(1, 5), math.random(), {}
    local born = {}
    local s = from_list(stream.range(1, 30):collect()):inspect(function(v)
      born[v] = peri.now()
      if math.random(3) == 1 then peri.sleep(math.random()) end
    end)
    for chunk in s:chunks_timeout(size, seconds) do
      check.truthy(#chunk >= 1 and #chunk <= size, "1 to size elements")
      check.truthy(peri.now() - born[chunk[1]] <= seconds + 1 + 1e-6, "not later than the time says")
      table.move(chunk, 1, #chunk, #list + 1, list)
    end
    check.same(list, stream.range(1, 30):collect())
  end
end)
