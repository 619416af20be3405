-- Cancellation and coroutines: what unwinds through them, and a task's own coroutine in foreign hands.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local cancelled_while = check.cancelled_while

local passages = {
  pcall = function(fn) return pcall(fn) end,
  xpcall = function(fn) return xpcall(fn, function() error "the message function saw a cancellation" end) end,
  resume = function(fn) return coroutine.resume(coroutine.create(fn)) end,
  wrap = function(fn) return pcall(coroutine.wrap(fn)) end,
  nested = function(fn) return pcall(coroutine.wrap(function() return xpcall(fn, debug.traceback) end)) end,
}

for _, name in ipairs { "pcall", "xpcall", "resume", "wrap", "nested" } do
  case("CAN-10: a cancellation unwinds through " .. name, function()
    local note, taken = check.trace()
    local e = cancelled_while(function()
      local _ <close> = check.closer(function() note("outer") end)
      passages[name](function()
        local _ <close> = check.closer(function() note("inner") end)
        peri.sleep(60)
      end)
      note("swallowed")
    end)
    check.kind(e, "cancelled")
    check.equal(taken(), "inner outer")
  end)
end

case("CAN-18: closers of a coroutine that waits run when its task is cancelled", function()
  local note, taken = check.trace()
  local task = peri.spawn(function()
    local next_value = coroutine.wrap(function()
      local _ <close> = peri.defer(function(e) note(e.kind) end)
      coroutine.yield(1)
      peri.sleep(60)
    end)
    note(next_value())
    next_value()
  end)
  peri.yield()
  task:cancel()
  check.equal(task:join(), false)
  check.equal(taken(), "1 cancelled")
end)

case("CAN-36: coroutine.close on a task's own coroutine is refused with an explanation", function()
  local thread
  local task = peri.spawn(function()
    thread = coroutine.running()
    peri.sleep(1)
    return "unharmed"
  end)
  peri.yield()
  local e = check.raises("task", coroutine.close, thread)
  check.contains(tostring(e), "cancel")
  check.same(table.pack(task:join()), table.pack(true, "unharmed"))
end)

case("CAN-36: coroutine.resume and wrap do not drive a task either", function()
  local thread
  local task = peri.spawn(function()
    thread = coroutine.running()
    peri.sleep(1)
    return "unharmed"
  end)
  peri.yield()
  local ok = pcall(function() assert(coroutine.resume(thread)) end)
  check.equal(ok, false)
  check.same(table.pack(task:join()), table.pack(true, "unharmed"))
end)
