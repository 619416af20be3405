-- Isolates: what a VM has beside its Lua state counts to its memory, too: buffers, values on their way, shared ones.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()
local MB = 1024 * 1024

local function tool() return peri.isolate { profile = "tool", memory = "4MB" } end

local function fails_for_memory(vm, text, ...)
  local ok, e = vm:run(text, ...):join()
  check.equal(ok, false)
  check.equal(e.kind, "limit")
  check.contains(tostring(e), "not enough memory")
end

-- What is in use when all garbage is gone.
local function settled(vm)
  vm:run("collectgarbage()"):await()
  return vm.memory_used
end

case("ISO-13: memory: no buffer is larger than the cap, made at once or grown; a script may catch it", function()
  local vm <close> = tool()
  fails_for_memory(vm, "return #require 'perilune'.buffer(64 * 1024 * 1024)")
  fails_for_memory(vm, [[
    local b = require "perilune".buffer()
    local piece = ("x"):rep(100000)
    while true do b:append(piece) end
  ]])
  fails_for_memory(vm, [[
    local b = require "perilune".buffer "x"
    while true do b:write(#b + 1, b) end
  ]])
  fails_for_memory(vm, [[
    local peri, kept = require "perilune", {}
    while true do kept[#kept + 1] = peri.buffer(1000) end
  ]])
  check.same({ vm:run([[
    local peri = require "perilune"
    local ok, e = pcall(peri.buffer, 64 * 1024 * 1024)
    return ok, peri.is_error(e, "limit"), #peri.buffer(2000000)
  ]]):await() }, { false, true, 2000000 })
  check.equal(vm:run "return #require 'perilune'.buffer(2000000)":await(), 2000000)
end)

case("ISO-13: memory: buffers that are garbage make room for others", function()
  local vm <close> = tool()
  check.equal(vm:run([[
    local peri, sum = require "perilune", 0
    for _ = 1, 100 do sum = sum + #peri.buffer(1000000) end
    return sum
  ]]):await(), 100000000)
end)

case("ISO-13: memory: values that wait in a shared channel are the sender's until they are received", function()
  local vm <close> = tool()
  local channel = peri.shared_channel(1000)
  fails_for_memory(vm, [[
    local channel, text = ...
    for i = 1, 64 do channel:send(text .. i) end
  ]], channel, ("x"):rep(MB))
  local sent = #channel
  check.equal(sent >= 1 and sent <= 4, true)
  check.equal(vm.memory_used > sent * MB, true)
  fails_for_memory(vm, "local channel = ... while true do channel:send {} end", peri.shared_channel(1000000))
  while channel:try_recv() do end
  collectgarbage()
  check.equal(settled(vm) < MB, true)
  check.equal(vm:run("local channel, text = ... for i = 1, 2 do channel:send(text) end return #channel", channel, ("x"):rep(MB)):await(), 2)
end)

case("ISO-13: memory: a text that is in a value many times counts each time it is copied", function()
  local vm <close> = tool()
  fails_for_memory(vm, [[
    local text, list = ("x"):rep(100000), {}
    for i = 1, 500 do list[i] = text end
    return list
  ]])
  fails_for_memory(vm, [[
    local text, list = ("x"):rep(100000), {}
    for i = 1, 500 do list[i] = text end
    return require "perilune".shared(list)
  ]])
  fails_for_memory(vm, [[
    local list = {}
    for i = 1, 50000 do list[i] = i end
    local kept = {}
    while true do kept[#kept + 1] = require "perilune".shared(list) end
  ]])
end)

case("ISO-13: memory: what is given away does not count any more, but to who has it", function()
  local vm <close> = tool()
  local other <close> = tool()
  local kept = {}
  for i = 1, 20 do kept[i] = vm:run "return require 'perilune'.buffer(1500000)":await() end
  check.equal(settled(vm) < MB, true)
  check.equal(other:run("kept = ... return #kept", kept[1]):await(), 1500000)
  check.equal(settled(other) > 1500000, true)
  local ok, e = other:run("return #...", kept[2]):join()
  check.equal(ok, true) check.equal(e, 1500000)
  ok, e = other:run("local a, b = ... return #a + #b", kept[3], kept[4]):join()
  check.equal(ok, false) check.equal(e.kind, "limit")
  other:run "kept = nil":await()
  check.equal(settled(other) < MB, true)
end)

case("ISO-13: memory: nothing stays in the count, whichever way the values go", function()
  local vm <close> = tool()
  local channel = peri.shared_channel(10)
  local function round()
    vm:run([[
      local channel, text = ...
      local peri = require "perilune"
      channel:send { text, peri.buffer(text), peri.shared { text } }
      channel:try_send(peri.buffer(1000))
      pcall(channel.send, channel, { peri.buffer(1000), function() end })
      peri.try_timeout(0, channel.recv, channel)
      return peri.buffer(1000), text
    ]], channel, ("x"):rep(10000)):await()
    while channel:try_recv() do end
    collectgarbage()
  end
  for _ = 1, 5 do round() end
  local before = settled(vm)
  for _ = 1, 100 do round() end
  collectgarbage()
  local after = settled(vm)
  check.equal(after - before < 10000, true)
end)

case("ISO-13: memory: an isolate is closed while others still have its values", function()
  local vm = tool()
  local channel = peri.shared_channel(10)
  local buffer = vm:run("local channel = ... channel:send(('x'):rep(1000000)) return require 'perilune'.buffer(1000000)", channel):await()
  vm:close()
  collectgarbage()
  check.equal(#channel:recv(), 1000000)
  buffer:append "y"
  check.equal(#buffer, 1000001)
end)
