-- peri.pmap: a function applied to a list on several workers. See lua-api: More cores.
local peri = require "perilune"
local checks = require "perilune.native.options"

local error, type, pcall, ipairs = error, type, pcall, ipairs
local ceil, max, min, move = math.ceil, math.max, math.min, table.move

local option_names = { "workers", "chunk" }

-- Runs on the other worker.
local function run_chunk(fn, items, count)
  for i = 1, count do items[i] = fn(items[i]) end
  return items
end

local function read_count(options, name, default)
  local value = options[name]
  if value == nil then return default end
  return checks.count(value, 1)
    or error("bad option '" .. name .. "' to 'pmap' (a positive integer expected, got " .. tostring(value) .. ")", 3)
end

local function check(list, fn, options)
  if type(list) ~= "table" then error("bad argument #1 to 'pmap' (a list expected, got " .. type(list) .. ")", 3) end
  if type(fn) ~= "function" then error("bad argument #2 to 'pmap' (a function expected, got " .. type(fn) .. ")", 3) end
  if options == nil then return {} end
  if type(options) ~= "table" then error("bad argument #3 to 'pmap' (a table of options expected, got " .. type(options) .. ")", 3) end
  local wrong = checks.problem(options, "pmap", option_names)
  if wrong then error(wrong, 3) end
  return options
end

-- Calls it there. Cut short because another chunk has failed, it ends the call, and tells when that has failed too.
local function call_on(worker, ...)
  local call = peri.parallel({ worker = worker }, ...)
  local _ <close> = peri.defer(function(e)
    if e == nil then return end
    call:cancel()
    local ok, failure = call:join()
    if not ok and failure ~= e and not peri.is_error(failure, "cancelled") then error(failure, 0) end
  end)
  return (call:await())
end

-- What does not cross is the caller's mistake, and no failure of a group.
local function raise(e)
  for _, each in ipairs(peri.is_error(e, "group") and e.errors or {}) do
    if peri.is_error(each, "transfer") then error(each, 0) end
  end
  error(e, 0)
end

return function(list, fn, options)
  options = check(list, fn, options)
  local n, all, home = list.n or #list, peri.workers(), peri.worker_id()
  local workers = read_count(options, "workers", all)
  local chunk = read_count(options, "chunk", max(1, ceil(n / (workers * 4))))
  local results, taken = { n = n }, 0
  local function feed(worker)
    while taken < n do
      local first = taken
      local count = min(chunk, n - first)
      taken = first + count
      local items = move(list, first + 1, first + count, 1, {})
      move(call_on(worker, run_chunk, fn, items, count), 1, count, first + 1, results)
    end
  end
  local ok, e = pcall(peri.scope, function(scope)
    for i = 1, min(workers, ceil(n / chunk)) do scope:spawn({ name = "pmap" }, feed, (home - 1 + i) % all + 1) end
  end)
  if not ok then raise(e) end
  return results
end
