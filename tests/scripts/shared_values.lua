-- workers: 2
-- Values without a copy: peri.shared, which all VMs read, and peri.buffer, whose bytes move.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

local function far(fn, ...) return peri.parallel({ worker = 2 }, fn, ...) end

case("a shared value reads like the table it was made from", function()
  local part = { "x", "y" }
  local t = { 10, 20, 30, name = "n", part = part, again = part, [2.5] = "half", [true] = false, empty = {} }
  t.me = t
  local s = peri.shared(t)
  check.equal(#s, 3) check.equal(s[1], 10) check.equal(s[3], 30) check.equal(s[4], nil) check.equal(s.name, "n")
  check.equal(s[1.0], 10) check.equal(s[2.5], "half") check.equal(s[true], false) check.equal(s[0 / 0], nil) check.equal(s[print], nil)
  check.equal(#s.part, 2) check.equal(s.part[2], "y") check.equal(s.part == s.again, true) check.equal(s.me == s, true)
  check.equal(#s.empty, 0) check.equal(next({}), nil)
  local seen, count = {}, 0
  for k, v in pairs(s) do seen[k] = v count = count + 1 end
  check.equal(count, 10) check.equal(seen[2], 20) check.equal(seen.name, "n") check.equal(seen[2.5], "half")
  local list = {}
  for i, v in ipairs(s) do list[i] = v end
  check.equal(table.concat(list, " "), "10 20 30")
  check.equal(table.concat(s.part, "+"), "x+y")
  check.equal(select("#", table.unpack(s)), 3)
  t.name = "changed"
  check.equal(s.name, "n")
  check.equal(peri.shared(s) == s, true)
  check.equal(peri.shared("text"), "text")
end)

case("nobody can change it, in no VM", function()
  local s = peri.shared { a = { 1 } }
  check.raises("a shared value cannot be changed", function() s.b = 1 end)
  check.raises("a shared value cannot be changed", function() s.a[1] = 2 end)
  check.equal(far(function(v) return pcall(function() v.a[2] = 1 end) end, s):await(), false)
end)

case("it goes to other VMs by reference, in calls, channels, tables and upvalues", function()
  local big = {}
  for i = 1, 10000 do big[i] = { id = i, name = "item " .. i } end
  local s = peri.shared(big)
  local ch = peri.shared_channel(1)
  ch:send { list = s }
  local sum, same, back = far(function(c)
    local got = c:recv().list
    local total = 0
    for _, item in ipairs(got) do total = total + item.id end
    return total, got == s, got[77]
  end, ch):await()
  check.equal(sum, 50005000) check.equal(same, true)
  check.equal(back == s[77], true) check.equal(back.name, "item 77")
  check.equal(peri.blocking(function() return #s + s[5].id end):await(), 10005)
  local nested = peri.shared { inner = s[3], list = { s } }
  s, big = nil, nil
  collectgarbage()
  check.equal(far(function(v) return v.inner.name .. #v.list[1] end, nested):await(), "item 310000")
end)

case("only data can be shared, and what cannot is named", function()
  local function refused(text, v)
    local ok, e = pcall(peri.shared, v)
    check.equal(ok, false) check.equal(e.kind, "transfer") check.equal(e.message, "cannot be shared: " .. text)
  end
  refused(".cb is a function", { cb = print })
  refused(".list[2].f is a function", { list = { 1, { f = function() end } } })
  refused(".co is a coroutine", { co = coroutine.create(print) })
  refused(".t is a table with a metatable", { t = setmetatable({}, {}) })
  refused(".ch is a userdata (perilune.shared_channel)", { ch = peri.shared_channel(1) })
  check.misuse("bad argument #1 to 'shared' (a table, string, number or boolean expected, got nil)", function() peri.shared(nil) end)
end)

case("a buffer holds bytes that can be changed", function()
  local b = peri.buffer(4)
  check.equal(#b, 4) check.equal(b:len(), 4) check.equal(b:get(1), 0) check.equal(b:sub(), "\0\0\0\0")
  b:set(1, 65) b:set(-1, 255)
  check.equal(tostring(b), "A\0\0\xFF") check.equal(b:get(-1), 255)
  check.equal(b:fill(66, 2, 3), b)
  check.equal(b:sub(1, 3), "ABB") check.equal(b:sub(-2), "B\xFF") check.equal(b:sub(3, 2), "") check.equal(b:sub(2, 99), "BB\xFF")
  b:write(2, "xy")
  check.equal(b:sub(1, 3), "Axy")
  b:write(4, "longer")
  check.equal(tostring(b), "Axylonger")
  check.equal(b:append("!", 5, peri.buffer("?")), b)
  check.equal(tostring(b), "Axylonger!5?")
  b:append(b)
  check.equal(#b, 24)
  check.equal(#peri.buffer(), 0)
  check.misuse("bad argument #1 to 'get' (a position from 1 to 24 expected, got 25)", function() b:get(25) end)
  check.misuse("bad argument #2 to 'set' (a byte from 0 to 255 expected, got 256)", function() b:set(1, 256) end)
  check.misuse("bad argument #1 to 'write' (a position from 1 to 25 expected, got 27)", function() b:write(27, "x") end)
  check.misuse("bad argument #1 to 'buffer' (a size, a non-negative integer, or a string expected, got -1)", function() peri.buffer(-1) end)
end)

case("SND-03: its bytes move: the sender's handle is dead, and says so", function()
  local b = peri.buffer(("x"):rep(1000000))
  local t = far(function(got) got:append("!") return got, #got end, b)
  check.raises("the buffer has moved to another VM", function() b:len() end)
  check.equal(tostring(b), "buffer (moved)")
  check.raises("cannot cross VMs: args[1] is a buffer that has moved to another VM", function() far(print, b) end)
  local back, n = t:await()
  check.equal(n, 1000001) check.equal(#back, 1000001) check.equal(back:get(-1), 33)
  local ch = peri.shared_channel(1)
  check.equal(ch:send { bytes = back }, true)
  check.raises("the buffer has moved to another VM", function() back:get(1) end)
  check.equal(#ch:recv().bytes, 1000001)
end)

case("CHN-14: a buffer that was not sent stays with its sender", function()
  local ch = peri.shared_channel(1)
  ch:send("full")
  local b = peri.buffer("abc")
  check.equal(select(2, ch:try_send(b)), "full")
  check.equal(tostring(b), "abc")
  local key = peri.select { s = ch:send_op(b), t = peri.sleep_op(0.001) }
  check.equal(key, "t") check.equal(tostring(b), "abc")
  check.equal(pcall(ch.send, ch, { b, print, coroutine.create(print) }), false)
  check.equal(tostring(b), "abc")
  local waiting = peri.spawn(function() return ch:send(b) end)
  peri.yield()
  check.equal(tostring(b), "buffer (moved)")
  waiting:cancel()
  waiting:join()
  check.equal(tostring(b), "abc")
  ch:close()
  check.equal(select(2, ch:send(b)), "closed")
  check.equal(tostring(b), "abc")
end)
