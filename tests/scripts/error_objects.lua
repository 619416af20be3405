-- What an error object says, field by field, for each kind of failure that leaves a task.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local here = debug.getinfo(1, "S").short_src

-- Fails in a task of its own, named after the kind. Returns the error object and the task.
local function failure_of(name, fn, ...)
  local task = peri.spawn({ name = name }, fn, ...)
  local ok, e = task:join()
  check.equal(ok, false)
  return e, task
end

-- What holds for a failure of every kind.
local function check_fields(e, task, kind)
  check.kind(e, kind)
  check.equal(e.kind, kind)
  check.same(e.task, { id = task.id, name = task.name })
  check.contains(e.spawned_at, here .. ":")
  local verb = kind == "cancelled" and "was cancelled" or "failed: "
  check.equal(tostring(e):sub(1, #("task %d (%s) %s"):format(task.id, task.name, verb)), ("task %d (%s) %s"):format(task.id, task.name, verb))
  check.equal(type(e.message), "string")
  check.contains(tostring(e), e.message)
  check.lacks(e.message, "task " .. task.id)
end

local failures = {
  error = function() error({ code = 7 }) end,
  timeout = function() peri.timeout(0.01, peri.sleep, 1) end,
  group = function() peri.scope(function(s) s:spawn(error, "of a member", 0) end) end,
  deadlock = function() peri.channel(0):recv() end,
  io = function() peri.fs.read("/no/such/file") end,
  process = function() peri.process.run { sh = "exit 3", check = true } end,
}

for kind, fail in pairs(failures) do
  case("JOIN-05: a failure of kind " .. kind .. " names its task", function()
    local e, task = failure_of("of " .. kind, fail)
    check_fields(e, task, kind)
    check.contains(e.traceback, here)
    check.equal(e.during_cancel, false)
    check.equal(e.suppressed, nil)
    check.equal(e.reason, nil)
  end)

  case("a failure of kind " .. kind .. " is the same object along a chain of tasks", function()
    local first
    local e = failure_of("last", function()
      peri.spawn({ name = "middle" }, function()
        first = peri.spawn({ name = "first" }, fail)
        first:await()
      end):await()
    end)
    check.equal(e, select(2, first:join()))
    check_fields(e, first, kind)
    check.contains(e.traceback, "awaited by:")
  end)

  case("closers see a failure of kind " .. kind .. " itself, and their own errors are suppressed by it", function()
    local seen = {}
    local function note(_, e) seen[#seen + 1] = e error("closer " .. #seen, 0) end
    local e = failure_of("closing", function()
      local _ <close> = check.closer(note)
      local _ <close> = check.closer(note)
      return (fail())
    end)
    check.equal(seen[1], seen[2])
    check.same(e.suppressed, { "closer 1", "closer 2" })
    if peri.is_error(seen[1]) then check.equal(seen[1], e) else check.equal(seen[1], e.value) end
  end)
end

case("e.value is the very value that was raised", function()
  local value = { code = 7 }
  check.equal(failure_of("table", error, value).value, value)
  check.equal(failure_of("text", error, "plain", 0).value, "plain")
  check.equal(failure_of("text", error, "plain", 0).message, "plain")
  check.equal(failure_of("nil", error, nil).value, nil)
  check.contains(failure_of("nil", error, nil).message, "(nil)")
end)

case("kind io has the code of the system", function()
  check.equal(failure_of("io", failures.io).code, "ENOENT")
end)

case("kind group has one entry per failure, each with its task", function()
  local first, second
  local e = failure_of("group", function()
    peri.scope(function(s)
      first = s:spawn({ name = "a" }, function() peri.sleep(0.01) error("one", 0) end)
      second = s:spawn({ name = "b" }, function() peri.shield(peri.sleep, 0.02) error("two", 0) end)
    end)
  end)
  check.equal(#e.errors, 2)
  check.same({ e.errors[1].task, e.errors[2].task }, { { id = first.id, name = "a" }, { id = second.id, name = "b" } })
  check.same({ e.errors[1].value, e.errors[2].value }, { "one", "two" })
end)

case("JOIN-06: kind cancelled says why and who asked", function()
  local task = peri.spawn({ name = "victim" }, peri.sleep, 10)
  peri.yield()
  task:cancel("enough")
  local _, e = task:join()
  check_fields(e, task, "cancelled")
  check.equal(e.value, nil)
  check.equal(e.reason, "enough")
  check.equal(e.by.kind, "cancel")
  check.equal(e.by.id, peri.self().id)
  check.equal(e.by.name, peri.self().name)
end)

case("CAN-15: an error that replaced a cancellation says so, of whatever kind it is", function()
  for kind, fail in pairs { error = failures.error, timeout = function() peri.shield(failures.timeout) end, io = failures.io } do
    local task = peri.spawn({ name = "victim" }, function()
      local _ <close> = check.closer(fail == failures.io and function() peri.shield(fail) end or fail)
      peri.sleep(10)
    end)
    peri.yield()
    task:cancel()
    local ok, e = task:join()
    check.equal(ok, false)
    check_fields(e, task, kind)
    check.equal(e.during_cancel, true)
  end
end)

case("an error of the runtime that is caught where it happened names no other task", function()
  local ok, e = pcall(failures.timeout)
  check.equal(ok, false)
  check.equal(e.task, nil)
  check.equal(tostring(e), "timed out")
end)

native.reports() -- of the deadlocks above
