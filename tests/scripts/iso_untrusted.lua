-- A VM whose code is not trusted: what there is in it, and that nothing leads out.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")

local case <close> = check.cases()

local function untrusted(options)
  options = options or {}
  options.profile = "untrusted"
  return peri.isolate(options)
end

-- Everything that can be reached from the globals, by any way a script has: names of what is found.
local walk = [[
  local peri, path = require "perilune", {}
  local seen, found = {}, {}
  local function visit(value, name, depth)
    local kind = type(value)
    if depth > 6 or (kind ~= "table" and kind ~= "userdata" and kind ~= "function") or seen[value] then return end
    seen[value] = true
    found[#found + 1] = name
    local meta = getmetatable(value)
    if type(meta) == "table" then visit(meta, name .. ".(metatable)", depth + 1) end
    if kind ~= "table" then return end
    for key, each in pairs(value) do
      visit(key, name .. ".(key)", depth + 1)
      visit(each, name .. "." .. tostring(key), depth + 1)
    end
  end
  visit(_G, "_G", 0)
  visit(getmetatable(""), "string", 0)
  for _, name in ipairs { "error", "channel", "token", "mutex" } do
    local made = peri[name] and name ~= "error" and peri[name](1)
    if made then visit(made, name, 0) end
  end
  local _, e = pcall(error, "x")
  visit(e, "error", 0)
  visit(select(2, peri.spawn(error, {}):join()), "failure", 0)
  visit(peri, "peri", 0)
  return found
]]

case("ISO-15: by allow-list: the names that there are, and no others", function()
  local vm <close> = untrusted()
  local names = {}
  for _, name in ipairs(vm:run(walk):await()) do names[name] = true end
  for name in pairs(names) do
    local part = name:match("[^.]+$")
    for _, forbidden in ipairs { "dump", "io", "package", "getenv", "execute", "exit", "popen", "loadfile", "dofile", "sethook", "getinfo",
      "getregistry", "getupvalue", "setupvalue", "upvalueid", "getlocal", "loadlib", "searchers", "blocking", "parallel", "isolate", "thread",
      "process", "fs", "net", "env", "db", "tasks", "resources", "shared_channel", "(metatable)", "tmpname", "remove_", "rename" } do
      check.equal(part == forbidden, false, name)
    end
  end
  for _, name in ipairs { "_G.string", "_G.string.gsub", "_G.os.time", "_G.debug.traceback", "peri.spawn" } do check.equal(names[name], true, name) end
  check.same(vm:run([[
    local names = {}
    for _, t in ipairs { os, debug } do for name in pairs(t) do names[#names + 1] = name end end
    table.sort(names)
    return names
  ]]):await(), { "clock", "date", "difftime", "time", "traceback" })
end)

-- Each is a text that must fail, or return false or nil; what it says is the second.
local escapes = {
  { "string.rep = nil", "read-only" }, { "string.new = 1", "read-only" }, { "rawset(string, 'rep', 1)", "read-only" },
  { "table.insert(string, 1)", "read-only" }, { "require('perilune').spawn = 1", "read-only" }, { "math.pi = 3", "read-only" },
  { "setmetatable(string, nil)", "protected" }, { "rawset(require 'perilune', 'spawn', 1)", "read-only" },
  { "for _, t in pairs { pairs(string) } do if type(t) == 'table' then rawset(t, 'rep', 1) end end", "read-only" },
  { "getmetatable('').__index = {}", "index a boolean" }, { "setmetatable({}, { __gc = print })", "__gc" },
  { "local m = setmetatable({}, {}) setmetatable(m, setmetatable({ __gc = false }, {}))", "__gc" },
  { "require 'io'", "not available" }, { "require 'os.execute'", "not available" }, { "require 'perilune.fs'", "not available" },
  { "require 'perilune.native.fs'", "not available" }, { "require 'perilune.inspect'", "not available" }, { "require 'perilune.loader'", "not available" },
  { "require 'package'", "not available" }, { "require 'perilune.remote'", "not available" }, { "require 'perilune.native.groups'", "not available" },
  { "assert(load(string.dump(print)))", "nil value" }, { "assert(load('\\27Lua', 'x', 'b'))", "binary" }, { "assert(load('\\27Lua'))", "binary" },
  { "assert(load(function() return '\\27Lua' end))", "binary" }, { "assert(load('\\27Lua', 'x', 'bt'))", "binary" },
  { "collectgarbage 'stop'", "belongs to the host" }, { "collectgarbage('generational')", "belongs to the host" },
  { "require('perilune').fs.read('/etc/passwd')", "nil value" }, { "require('perilune').process.run {}", "nil value" },
  { "require('perilune').parallel(print)", "nil value" }, { "require('perilune').blocking(print)", "nil value" },
  { "require('perilune').isolate { profile = 'trusted' }", "nil value" }, { "require('perilune').dump()", "nil value" },
  { "return debug.getmetatable, debug.getregistry, debug.sethook, os.getenv, os.execute, io, package, dofile, loadfile, string.dump" },
  { "return _ENV.confined_require, _G.environment, _G.arg, _G.native" },
  { "local _, e = pcall(error) return getmetatable(e)" },
  { "local e = select(2, require('perilune').spawn(error):join()) local m = getmetatable(e) return type(m) == 'table'" },
  { "local e = select(2, require('perilune').spawn(error):join()) e.kind = 'x'", "index" },
  { "return getmetatable(require('perilune').channel(1)).__index" },
  { "local t = require('perilune').self() return type(getmetatable(t)) == 'table'" },
  { "coroutine.close(coroutine.running())", "task" },
  { "coroutine.resume(select(1, coroutine.running())) coroutine.wrap(function(co) assert(coroutine.resume(co)) end)(coroutine.running())", "task" },
  { "return (load('return string.dump', 'x', 't', _G))()" },
  { "local env = setmetatable({}, { __index = function(_, k) return _G[k] end }) return load('return io', 'x', 't', env)()" },
  { "local x <close> = setmetatable({}, { __close = function() return io.open end }) error('out')", "" },
}

case("ISO-15: nothing leads out, by no way that we could think of", function()
  local vm <close> = untrusted { fuel = 1e6 }
  for _, each in ipairs(escapes) do
    local r = table.pack(vm:run(each[1]):join())
    if each[2] then
      check.equal(r[1], false, each[1])
      check.contains(tostring(r[2]), each[2], each[1])
    else
      check.equal(r[1], true, each[1] .. tostring(r[2]))
      for i = 2, r.n do check.equal(r[i] or false, false, each[1]) end
    end
  end
  check.equal(vm:run("return getmetatable('')"):await(), false)
end)

case("ISO-15: functions, libraries and globals do not come out; plain values and errors do", function()
  local vm <close> = untrusted()
  for body, what in pairs {
    ["return print"] = "results[1] is a function of a VM that is not trusted",
    ["return { f = function() end }"] = "results[1].f is a function of a VM that is not trusted",
    ["return _G"] = "results[1] is the globals of a VM that is not trusted",
    ["return string"] = "results[1] is a library of a VM that is not trusted",
    ["return setmetatable({}, {})"] = "results[1] is a table with a metatable",
    ["return coroutine.create(print)"] = "results[1] is a coroutine",
  } do
    local ok, e = vm:run(body):join()
    check.equal(ok, false) check.equal(e.kind, "transfer") check.contains(e.message, what)
  end
  local ok, e = vm:run("error { code = 3, f = print }"):join()
  check.equal(ok, false) check.equal(e.kind, "error") check.equal(type(e.value), "nil")
  ok, e = vm:run("error { code = 3 }"):join()
  check.equal(e.value.code, 3)
end)

case("ISO-15: what it says goes nowhere else: its channels may carry no functions", function()
  local vm <close> = untrusted()
  local ch = peri.shared_channel(2)
  local ok, e = vm:run("local ch = ... ch:send(1) ch:send(print)", ch):join()
  check.equal(ok, false) check.equal(e.kind, "transfer")
  check.equal(ch:try_recv(), 1)
end)

case("ISO-15: a function sent there finds the globals there, and what is not there is told", function()
  local vm <close> = untrusted()
  check.equal(vm:run(function() return io, os.execute, (string.find("abc", "b")) end):await(), nil)
  check.equal(vm:run(function(f) return f("abc", "b") end, string.find):await(), 2)
  local ok, e = vm:run(function(f) return f end, os.execute):join()
  check.equal(ok, false) check.contains(tostring(e), "execute")
end)

case("ISO-15: poisoned globals do not reach the shipped modules", function()
  local vm <close> = untrusted()
  check.equal(vm:run([[
    local peri = require "perilune"
    for _, name in ipairs { "setmetatable", "type", "error", "pcall", "require", "next", "getmetatable", "select", "ipairs", "tostring" } do
      _G[name] = function() return nil end
    end
    local results = peri.all { function() return 1 end, function() return 2 end }
    local first = peri.race { function() return "won" end, function() peri.sleep(1) end }
    return results[1][1] + results[2][1] + first + peri.retry({ attempts = 2 }, function() return 10 end)
  ]]):await(), 14)
end)

case("ISO-15: it has tasks, channels, scopes and streams", function()
  local vm <close> = untrusted()
  local function work()
    local peri = require "perilune"
    local ch, sum = peri.channel(1), 0
    peri.scope(function(s)
      s:spawn(function() for i = 1, 5 do ch:send(i) peri.sleep(1) end ch:close() end)
      for v in ch:iter() do sum = sum + v end
    end)
    return sum, peri.stream.range(1, 4):map(function(x) return x * x end):collect(), peri.try_timeout(1, peri.sleep, 5)
  end
  local sum, list, ok, word = vm:run(work):await()
  check.equal(sum, 15) check.same(list, { 1, 4, 9, 16 }) check.equal(ok, nil) check.equal(word, "timeout")
end)

case("ISO-15: modules that are named are there, and what they need; others are unknown at once", function()
  local vm <close> = untrusted { modules = { "perilune.json", "perilune.shared_channel", "io" } }
  check.equal(vm:run("return require('perilune').json.encode { 1, 2 }"):await(), "[1,2]")
  check.equal(vm:run("return require('perilune.json').decode('[7]')[1]"):await(), 7)
  check.equal(vm:run("return io.open ~= nil and require('perilune').shared_channel(1).capacity"):await(), 1)
  check.equal(vm:run("return require('perilune').fs"):await(), nil)
  check.misuse("bad option 'modules' to 'isolate' (no module 'perilune.jason')", function() peri.isolate { modules = { "perilune.jason" } } end)
end)

case("ISO-15: modules of its own are Lua text by name, for this isolate alone; they hide none of ours", function()
  local modules = { "perilune.json", rules = "local name = ... ; return { name = name, limit = #require('perilune.json').encode { 1 } }",
    broken = "return return", failing = "error 'no rules today'" }
  for _, profile in ipairs { "untrusted", "tool", "trusted" } do
    local vm <close> = peri.isolate { profile = profile, modules = modules }
    check.same({ vm:run("local r = require 'rules' return r.name, r.limit, r == require 'rules'"):await() }, { "rules", 3, true })
    check.contains(tostring(select(2, vm:run("require 'broken'"):join())), "broken:1:")
    check.contains(tostring(select(2, vm:run("require 'failing'"):join())), "failing:1: no rules today")
  end
  local other <close> = untrusted()
  check.contains(tostring(select(2, other:run("require 'rules'"):join())), "module 'rules' is not available here")
  check.misuse("bad option 'modules' to 'isolate' (there is already a module 'perilune.fs')",
    function() peri.isolate { modules = { ["perilune.fs"] = "return {}" } } end)
  check.misuse("bad option 'modules' to 'isolate' (names, or Lua text by name", function() peri.isolate { modules = { rules = print } } end)
end)

case("ISO-15: what takes as long as the stack is deep is charged, or shortened", function()
  local vm <close> = untrusted { fuel = 1e6 }
  local work = [[
    failures = 0
    local function deep(depth)
      if depth > 0 then return 1 + deep(depth - 1) end
      while true do
        pcall(error)
        failures = failures + 1
      end
    end
    deep(10000)]]
  local ok, e = vm:run(work):join()
  check.equal(ok, false) check.contains(e.message, "out of fuel")
  check.truthy(vm:run("return failures"):await() < 150, "caught errors")
  local function guarded(depth) return depth > 0 and 1 + guarded(depth - 1) or pcall(error) and 1 or 0 end
  check.equal(vm:run(guarded, 15000):await(), 15000)
  check.contains(select(2, vm:run(guarded, 25000):join()).message, "stack overflow (protected calls end at a depth of 20000)")
  local function trace(depth) return depth > 0 and trace(depth - 1) .. "" or debug.traceback("here") end
  check.contains(vm:run(trace, 10):await(), "in upvalue 'trace'")
  check.contains(vm:run(trace, 5000):await(), "here\nstack traceback:\n\t")
  check.contains(vm:run(trace, 5000):await(), "and more than 1000 calls around these")
  check.equal(vm:run("local t = {} return debug.traceback(t) == t"):await(), true)
  check.contains(vm:run("local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) return debug.traceback(co, 'in it')"):await(),
    "in it\nstack traceback:\n\t[C]: in field 'yield'")
end)

case("ISO-15: a tool has files and processes, and neither the end of the program nor native code", function()
  local vm <close> = peri.isolate { profile = "tool" }
  check.equal(vm:run("return require('perilune').fs ~= nil and require('perilune').process ~= nil and io.open ~= nil"):await(), true)
  for _, name in ipairs { "os.exit", "os.execute", "io.popen", "debug.sethook", "debug.getregistry", "package", "loadfile", "string.dump",
    "require('perilune').parallel", "require('perilune').isolate", "require('perilune').blocking", "require('perilune').tasks" } do
    check.equal(vm:run("return " .. name):await(), nil, name)
  end
  check.contains(tostring(select(2, vm:run("setmetatable({}, { __gc = print })"):join())), "__gc")
  check.contains(tostring(select(2, vm:run("require 'perilune.native.fs'"):join())), "not available")
  check.equal(vm:run("return getmetatable(io.stdout)"):await(), false)
end)
