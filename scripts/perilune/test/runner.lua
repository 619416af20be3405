-- Runs what a test file has registered, in the VM that has loaded it, and leaves one result for each test with the program.
-- The main task runs the tests one after the other; each is a task of its own.
local peri = require "perilune"
local json = require "perilune.json"
local cancel = require "perilune.test.cancel"
local leaks = require "perilune.test.leaks"
local test = require "perilune.test"
local native = package.loaded["perilune.native.test"]

local runner = {}

local default_timeout = 1e6 -- seconds of the clock: more than any test sleeps that is meant to end
local patience = 60         -- seconds of real time

local entries, skipped = test.__entries()

local function matches(name, filter)
  if filter == "" or name:find(filter, 1, true) then return true end
  local ok, found = pcall(string.find, name, filter)
  return ok and found ~= nil
end

local function chosen(filter)
  local list = {}
  for _, entry in ipairs(entries) do
    if matches(entry.name, filter) then list[#list + 1] = entry end
  end
  return list
end

local function shuffle(list, seed)
  math.randomseed(seed)
  for i = #list, 2, -1 do
    local j = math.random(i)
    list[i], list[j] = list[j], list[i]
  end
end

-- The test with the hooks of its groups around it, outermost first. `after` runs however the inside ends.
local function run_inside(groups, i, t, fn)
  local group = groups[i]
  if not group then
    fn(t)
    return
  end
  local _ <close> = peri.defer(function()
    for k = #group.after, 1, -1 do group.after[k](t) end
  end)
  for _, hook in ipairs(group.before) do hook(t) end
  run_inside(groups, i + 1, t, fn)
end

-- The last first, and each of them whatever the others do.
local function run_cleanups(cleanups, last)
  if last == 0 then return end
  local _ <close> = peri.defer(function() run_cleanups(cleanups, last - 1) end)
  cleanups[last]()
end

local function body(entry, seed)
  local t = { name = entry.name, seed = seed, began = native.now_ns(), cleanups = {}, tasks_before = leaks.now() }
  local groups, group = {}, entry.group
  while group do
    table.insert(groups, 1, group)
    group = group.parent
  end
  test.__enter(t)
  local _ <close> = peri.defer(function() run_cleanups(t.cleanups, #t.cleanups) end)
  run_inside(groups, 1, t, entry.fn)
end

-- Texts of failures ---------------------------------------------------------------------------------------------------

local function is_own(line) return line:find("perilune.test", 1, true) or line:find(" at runner:", 1, true) end

local function without_own_frames(traceback)
  local kept = {}
  for line in traceback:gmatch("[^\n]+") do
    if not is_own(line) then kept[#kept + 1] = line end
  end
  return table.concat(kept, "\n")
end

local function add_failure(out, e, told)
  if told[e] then return end
  told[e] = true
  if not peri.is_error(e) then
    out[#out + 1] = tostring(e)
    return
  end
  out[#out + 1] = e.message
  if e.traceback then out[#out + 1] = without_own_frames(e.traceback) end
  for _, inner in ipairs(e.errors or {}) do add_failure(out, inner, told) end
  for _, inner in ipairs(e.suppressed or {}) do
    out[#out + 1] = "and then:"
    add_failure(out, inner, told)
  end
end

local function failure_text(e)
  local out = {}
  add_failure(out, e, setmetatable({}, { __mode = "k" }))
  return table.concat(out, "\n")
end

local function limit_text(e, elapsed, limit)
  local stopped = peri.is_error(e, "cancelled") and e.by and e.by.name == "time limit"
  if elapsed > limit then return ("took longer than %g s of the clock"):format(limit) end
  if stopped then return ("ran longer than %g s of real time"):format(patience) end
end

local function deadlock_text(stalls)
  local lines = {}
  for line in table.concat(stalls, "\n"):gmatch("[^\n]+") do
    line = line:gsub(", spawned at runner:%d+$", "")
    if not is_own(line) then lines[#lines + 1] = line end
  end
  return "deadlock: nothing could run any more:\n" .. table.concat(lines, "\n")
end

-- Running one ---------------------------------------------------------------------------------------------------------

-- Failures that nobody looks at any more are reported.
local function take_reports()
  collectgarbage()
  collectgarbage()
  return native.take_reports()
end

-- What is there besides the outcome to hold against the test; nil when nothing is.
local function aftermath(before)
  native.advance(0)
  local left = leaks.since(before)
  if left then
    left = "left behind: " .. left
    if not leaks.clear(before) then left = left .. "\nand they do not end" end
  end
  local problems = take_reports()
  if left then table.insert(problems, 1, left) end
  if #problems > 0 then return table.concat(problems, "\n") end
end

-- Returns "passed", "skipped" or "failed", and why.
local function attempt(entry, seed, limit)
  if entry.skip then return "skipped", entry.skip end
  local before, began = leaks.now(), peri.now()
  native.seed(seed)
  math.randomseed(seed)
  local task = peri.spawn({ name = entry.name }, body, entry, seed)
  native.limit(task, limit, patience)
  local ok, e = task:join()
  local late = limit_text(not ok and e, peri.now() - began, limit)
  local stalls = native.take_stalls()
  local after = aftermath(before)
  test.__enter(nil)
  if not ok and getmetatable(e.value) == skipped then return "skipped", e.value.reason end
  local why = {}
  if late then
    why[1] = late
  elseif not ok then
    why[1] = failure_text(e)
    if stalls[1] then why[2] = deadlock_text(stalls) end
  end
  why[#why + 1] = after
  if #why == 0 then return "passed" end
  return "failed", table.concat(why, "\n")
end

-- Once more for each suspension point. Returns "passed", or "failed" and why.
local function cancel_here(entry, seed)
  local function once() body(entry, seed) end
  local n = 0
  repeat
    n = n + 1
    native.seed(seed)
    math.randomseed(seed)
    local point, problem = cancel.at(n, once)
    test.__enter(nil)
    if problem then
      return "failed", ("cancelled at suspension %d, in %s: %s"):format(n, point or "none", failure_text(problem))
    end
  until not point
  take_reports() -- of rounds whose onlookers were cancelled: nothing to hold against the next test
  return "passed"
end

-- Each test has a seed of its own, and the same one whether it runs alone or with others.
local function seed_for(entry, seed)
  for i = 1, #entry.name do seed = seed * 31 + entry.name:byte(i) & 0xffffffffffff end
  return seed
end

local function run_one(entry, seed, limit, shuffled, cancelling)
  native.shuffle(shuffled and not entry.ordered)
  native.advance(-peri.now() % 1) -- begins at a whole second, and with a round of its own
  local began, real = peri.now(), peri.clock()
  local status, why = attempt(entry, seed, limit)
  if status == "passed" and cancelling then status, why = cancel_here(entry, seed) end
  native.add_result(json.encode {
    name = entry.name, file = entry.file, line = entry.line, status = status, why = why,
    seconds = peri.now() - began, real_seconds = peri.clock() - real,
  })
end

-- Called by the program, with texts; a flag is "yes" or "".
function runner.run(_, seed_text, filter, shuffled, cancelling, listing, timeout)
  local seed = math.tointeger(tonumber(seed_text))
  local list = chosen(filter)
  if shuffled == "yes" then shuffle(list, seed) end
  native.take_stalls()
  for _, entry in ipairs(list) do
    if listing == "yes" then
      native.add_result(json.encode { name = entry.name, file = entry.file, line = entry.line, status = "listed" })
    else
      local limit = entry.timeout or tonumber(timeout) or default_timeout
      run_one(entry, seed_for(entry, seed), limit, shuffled == "yes", cancelling == "yes")
    end
  end
end

return runner
