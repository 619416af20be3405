-- Misuse of what lua-api names: told at the caller's line, with the argument or option, what was expected and what was got.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local misuse = check.misuse

case("an option of the wrong type says what was expected and got", function()
  misuse("bad option 'name' to 'spawn' (a string expected, got 1)", function() peri.spawn({ name = 1 }, print) end)
  misuse("bad option 'labels' to 'spawn' (a table expected, got string)", function() peri.spawn({ labels = "x" }, print) end)
  misuse("bad option 'local_data' to 'spawn' (a table expected, got string)", function() peri.spawn({ local_data = "x" }, print) end)
  misuse("bad option 'timeout' to 'scope' (seconds expected, got string)", function() peri.scope({ timeout = "x" }, print) end)
  misuse("bad option 'name' to 'scope' (a string expected, got 1)", function() peri.scope({ name = 1 }, print) end)
  misuse("bad option 'policy' to 'scope' (\"fail_fast\", \"supervise\" or \"any\" expected, got boolean)", function() peri.scope({ policy = true }, print) end)
  misuse("bad option 'missed' to 'interval' (\"burst\", \"delay\" or \"skip\" expected, got string)", function() peri.interval(1, { missed = "x" }) end)
  misuse("bad option 'warn_at' to 'unbounded' (a positive integer expected, got string)", function() peri.unbounded { warn_at = "x" } end)
  misuse("bad option 'name' to 'unbounded' (a string expected, got boolean)", function() peri.unbounded { name = true } end)
end)

case("an unknown option is refused, with what was probably meant", function()
  misuse("unknown option 'nam' to 'spawn'; did you mean 'name'?", function() peri.spawn({ nam = "x" }, print) end)
  misuse("unknown option 'polic' to 'scope'; did you mean 'policy'?", function() peri.scope({ polic = "any" }, print) end)
  misuse("unknown option 'warn' to 'unbounded'", function() peri.unbounded { warn = 3 } end)
  misuse("unknown option 'mised' to 'interval'; did you mean 'missed'?", function() peri.interval(1, { mised = "skip" }) end)
  misuse("bad options to 'spawn' (names must be strings)", function() peri.spawn({ "x" }, print) end)
end)

case("SEL-11: a select without arms names itself", function()
  misuse("bad argument #1 to 'select' (no operations)", function() peri.select {} end)
  misuse("bad argument #1 to 'try_select' (no operations)", function() peri.try_select {} end)
end)

case("CHN-03: a capacity that is none says what was got", function()
  for _, capacity in ipairs { -1, 1.5, "3", {}, 2 ^ 40, 0 / 0, 1 / 0 } do
    check.raises("bad argument #1 to 'channel' (capacity must be a non-negative integer, got ", function() peri.channel(capacity) end)
  end
end)

-- All guards are one type underneath: a method asks for its kind, in isolates too.
case("a method of one kind of guard refuses those of the others", function()
  local semaphore, rwlock = peri.semaphore(2), peri.rwlock()
  local permit <close> = semaphore:acquire()
  local write <close> = rwlock:write()
  local guard <close> = peri.mutex():lock()
  for _, other in ipairs { guard, write } do
    check.raises("bad argument #1 to 'forget' (a permit expected", function() local g = { forget = permit.forget } g.forget(other) end)
    check.raises("(a permit expected", permit.split, other, 1)
    check.raises("(a permit expected", permit.merge, other, permit)
  end
  for _, other in ipairs { guard, permit } do check.raises("(a guard of a rwlock expected", write.downgrade, other) end
  check.equal(semaphore.available, 1)
end)
