-- peri.all, settle, race and map: functions run as children of the calling task, and what they return as one result.
--
-- They are scopes: who is cancelled, who is waited for and what is raised is decided there, not here.
local peri = require "perilune"
local native = require "perilune.native.groups"
local options = require "perilune.native.options"

local scope, join_set, channel = peri.scope, peri.join_set, peri.channel
local callable, count = options.callable, options.count
local error, next, setmetatable, tostring, type = error, next, setmetatable, tostring, type
local pack, huge = table.pack, math.huge

local groups = {}

-- The number of functions in the list; misuse is told at the line that called `call`.
local function count_functions(list, call)
  local function refuse(what) error(("bad argument #1 to '%s' (%s)"):format(call, what), 4) end
  if type(list) ~= "table" then refuse("a list of functions expected, got " .. type(list)) end
  local n = count(list.n, 0) or #list
  for i = 1, n do
    if not callable(list[i]) then refuse(("a list of functions expected, its item %d is a %s"):format(i, type(list[i]))) end
  end
  for key in next, list do
    local listed = key == "n" or count(key, 1) and key <= n
    if not listed then refuse("a list of functions expected, it has the key " .. tostring(key)) end
  end
  return n
end

-- A child that was cancelled on its own has no result to give.
local function raise_cancelled(e)
  error(native.failure("group", { errors = { e }, message = "one task of the group was cancelled" }), 0)
end

function groups.all(functions)
  local n = count_functions(functions, "all")
  local tasks, results = {}, { n = n }
  scope(function(s)
    for i = 1, n do tasks[i] = s:spawn(functions[i]) end
  end)
  local function keep(i, ok, ...)
    if not ok then raise_cancelled(...) end
    results[i] = pack(...)
  end
  for i = 1, n do keep(i, tasks[i]:join()) end
  return results
end

function groups.settle(functions)
  local n = count_functions(functions, "settle")
  local tasks, results = {}, { n = n }
  scope({ policy = "supervise" }, function(s)
    for i = 1, n do tasks[i] = s:spawn(functions[i]) end
  end)
  for i = 1, n do results[i] = pack(tasks[i]:join()) end
  return results
end

local function indexed(i, fn) return i, fn() end

function groups.race(functions)
  local n = count_functions(functions, "race")
  if n == 0 then error("bad argument #1 to 'race' (no functions)", 2) end
  return scope({ policy = "any" }, function(s)
    for i = 1, n do s:spawn(indexed, i, functions[i]) end
  end)
end

local map_options = { "concurrency", "ordered" }

local function check_map(list, fn, opts)
  local function refuse(what) error(what, 4) end
  if type(list) ~= "table" then refuse(("bad argument #1 to 'map' (a list expected, got %s)"):format(type(list))) end
  if not callable(fn) then refuse(("bad argument #2 to 'map' (a function expected, got %s)"):format(type(fn))) end
  if opts == nil then return huge, true end
  if type(opts) ~= "table" then refuse(("bad argument #3 to 'map' (a table of options expected, got %s)"):format(type(opts))) end
  local problem = options.problem(opts, "map", map_options)
  if problem then refuse(problem) end
  local limit = (opts.concurrency == nil or opts.concurrency == huge) and huge or count(opts.concurrency, 1)
  if not limit then
    refuse(("bad option 'concurrency' to 'map' (a positive integer expected, got %s)"):format(tostring(opts.concurrency)))
  end
  if opts.ordered ~= nil and type(opts.ordered) ~= "boolean" then
    refuse(("bad option 'ordered' to 'map' (a boolean expected, got %s)"):format(type(opts.ordered)))
  end
  return limit, opts.ordered ~= false
end

-- Calls `fn` for every item, at most `limit` at a time; `give(i, value)` takes each result, in the item's task.
local function map_items(list, n, fn, limit, give)
  local slots = channel(limit < n and limit or n)
  local slot = setmetatable({}, { __close = function() slots:try_recv() end })
  local cancelled
  local function run(i)
    local _ <close> = slot
    give(i, (fn(list[i])))
  end
  local tasks = {}
  scope(function(s)
    for i = 1, n do
      slots:send(i)
      tasks[i] = s:spawn(run, i)
    end
  end)
  for i = 1, n do
    local ok, e = tasks[i]:join()
    if not ok then cancelled = cancelled or e end
  end
  if cancelled then raise_cancelled(cancelled) end
end

-- An iterator over value, index in the order in which they are there. A task of its own feeds it, and ends with the loop.
local function map_unordered(list, n, fn, limit)
  local results = channel(0)
  local set = join_set()
  local feeder = set:spawn(function()
    local _ <close> = results
    map_items(list, n, fn, limit, function(i, value)
      if value == nil then value = false end
      results:send({ i, value })
    end)
  end)
  local function following()
    local result = results:recv()
    if result then return result[2], result[1] end
    feeder:await()
    return nil
  end
  return following, nil, nil, set
end

function groups.map(list, fn, opts)
  local limit, ordered = check_map(list, fn, opts)
  local n = count(list.n, 0) or #list
  if not ordered then return map_unordered(list, n, fn, limit) end
  local results = { n = n }
  map_items(list, n, fn, limit, function(i, value) results[i] = value end)
  return results
end

return groups
