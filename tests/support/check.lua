-- What the project's own Lua tests add to perilune.test: cases, which are tests, and assertions about what only we promise.
--
--   local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
--   local case <close> = check.cases()
--   case("CHN-01: a full channel holds back the sender", function() check.equal(1 + 1, 2) end)
--
-- Under `perilune test` a case is a test. Elsewhere (in script_host, which has natives of its own, and on the real clock) it
-- runs at once, as a task, and a failed case fails the script at its end.
local peri = require "perilune"
local test = require "perilune.test"
local show = require "perilune.test.show"
local check = setmetatable({}, { __index = test })

local function fail(what) error(what, 3) end

-- As raises, for a function written on one line: the text must begin with that line and be one line itself.
function check.misuse(part, fn)
  local ok, e = pcall(fn)
  if ok then fail("expected an error with " .. show.value(part) .. ", got none") end
  local info = debug.getinfo(fn, "S")
  local place = info.short_src .. ":" .. info.linedefined .. ": "
  local text = tostring(e)
  if text:sub(1, #place) ~= place or not text:find(part, 1, true) or text:find("\n", 1, true) then
    fail("expected one line, " .. show.value(place .. "..." .. part) .. ", got " .. show.value(text))
  end
end

-- A recorder: call it to note a word, `taken()` gives what was noted, as one text, and starts anew.
function check.trace()
  local words = {}
  local function note(word) words[#words + 1] = tostring(word) end
  local function taken()
    local text = table.concat(words, " ")
    for i = #words, 1, -1 do words[i] = nil end
    return text
  end
  return note, taken
end

-- What was reported since the last call: failures that nobody looked at, warnings, killed tasks.
check.reports = native and native.reports or test.reports

-- As pairs, in the order of the names: what is registered in a loop is in the same order in every run.
function check.by_name(list)
  local names = {}
  for name in pairs(list) do names[#names + 1] = name end
  table.sort(names)
  local i = 0
  return function()
    i = i + 1
    if names[i] then return names[i], list[names[i]] end
  end
end

-- A closable that calls `fn` when it is closed.
function check.closer(fn) return setmetatable({}, { __close = fn }) end

-- The error of a task that runs `fn` and fails.
function check.failure_of(fn, ...)
  local ok, e = peri.spawn(fn, ...):join()
  test.equal(ok, false)
  return e
end

-- Spawns `fn`, lets it run for `after` seconds, cancels it, joins it.
function check.cancelled(fn, after, reason)
  local task = peri.spawn(fn)
  peri.sleep(after or 1)
  task:cancel(reason)
  return task, task:join()
end

-- The error of a task that is cancelled where `fn` first lets the others run.
function check.cancelled_while(fn, ...)
  local task = peri.spawn(fn, ...)
  peri.yield()
  task:cancel("stop")
  local ok, e = task:join()
  test.equal(ok, false)
  return e
end

-- A task that takes a lock with `lock`, notes its name, and keeps the lock for a while.
function check.holder(note, lock, name, seconds)
  return peri.spawn({ name = name }, function()
    local g <close> = lock()
    note(name)
    peri.sleep(seconds or 0)
  end)
end

-- Waits on the real clock until `what` says that it is so, 20 seconds at most.
function check.wait_until(what)
  for _ = 1, 2000 do
    if what() then return end
    peri.sleep(0.01)
  end
  fail("it did not come to that")
end

-- Whether a process runs, or could.
function check.alive(pid)
  local file = io.open("/proc/" .. pid .. "/stat")
  if not file then return false end
  local state = file:read("a"):match("%) (%a)")
  file:close()
  return state ~= "Z" and state ~= "X"
end

local function leftovers()
  local me, left = peri.self().id, {}
  for _, task in ipairs(peri.tasks()) do
    if task.id ~= me then left[#left + 1] = ("task %d (%s) %s"):format(task.id, task.name or "?", task.state) end
  end
  return table.concat(left, ", ")
end

local cases = {}
cases.__index = cases

function cases:__call(name, body, ...)
  self.count = self.count + 1
  local task
  if self.limit then
    task = peri.spawn({ name = name }, peri.timeout, self.limit, body, ...)
  else
    task = peri.spawn({ name = name }, body, ...)
  end
  local ok, e = task:join()
  local left = leftovers()
  if ok and left == "" then return end
  self.failed = self.failed + 1
  local why = ok and "left behind: " .. left or tostring(e) .. "\n" .. tostring(e.traceback)
  for _, inner in ipairs(not ok and e.errors or {}) do why = why .. "\n" .. tostring(inner) .. "\n" .. tostring(inner.traceback) end
  io.stderr:write("FAILED ", name, "\n  ", (why:gsub("\n", "\n  ")), "\n")
end

function cases:__close(e)
  if e == nil and self.failed > 0 then error(("%d of %d cases failed"):format(self.failed, self.count), 0) end
  if e == nil and self.count == 0 then error("no cases", 0) end
end

-- A case about the order in which ready tasks take their turns: in a shuffled run, too, they do.
function cases:ordered(name, body, ...) self(name, body, ...) end

-- The same under `perilune test`, which does all the rest. Tail calls: a test stands where the file calls.
local function register(options, name, body, ...)
  local arguments = table.pack(...)
  return test(name, options, function() body(table.unpack(arguments, 1, arguments.n)) end)
end

local registering = {
  __call = function(self, name, body, ...) return register({ timeout = self.limit }, name, body, ...) end,
  __close = function() end,
}
registering.__index = { ordered = function(_, name, body, ...) return register({ ordered = true }, name, body, ...) end }

-- `limit`: seconds that each may take, where what does not come to its end is to fail and not to hang.
function check.cases(limit)
  if package.loaded["perilune.native.test"] then return setmetatable({ limit = limit }, registering) end
  return setmetatable({ count = 0, failed = 0, limit = limit }, cases)
end

return check
