-- Calls everything that scripts can call, with whatever comes to hand: perilune run api.lua SEED CALLS
-- Every call is a task with a time limit. The program must come to its end, and what goes wrong must be said in words for
-- whoever called: a line of a module of ours in front of a message, or the name of a C++ type in it, is a fault.
--
-- Run it in an empty folder: files are written.
local peri = require "perilune"
local seed, calls = tonumber(arg[1]) or 1, tonumber(arg[2]) or 3000
math.randomseed(seed)

local modules = { "process", "fs", "net", "http", "tls", "signal", "json", "toml", "env", "hash", "log", "trace", "stream", "test", "db", "pipeline" }
local most_kept <const> = 400

-- Functions by their names, and the objects that they gave, which the following calls use.
local functions, objects = {}, {}

local function collect(prefix, library)
  for name, value in pairs(library) do
    if type(value) == "function" and not tostring(name):find "^__" then
      functions[#functions + 1] = { name = prefix .. "." .. name, call = value }
    end
  end
end

local left_out = { ["fs.walk"] = true, ["fs.remove"] = true, ["fs.rename"] = true, ["fs.glob"] = true } -- reach out of the folder

collect("peri", peri)
for _, name in ipairs(modules) do
  local found, library = pcall(require, "perilune." .. name)
  if found then collect(name, library) end
end
table.sort(functions, function(a, b) return a.name < b.name end)

local function pick(list) return list[math.random(#list)] end

local texts = { "", "a", "INT", "line", "all", "x=1", "16MiB", "127.0.0.1:0", "/nowhere/at/all", "\0", ("z"):rep(1000), "return 1", "burst", "{", "[1,2]" }
local numbers = { 0, -1, 1 / 0, -1 / 0, 0 / 0, math.maxinteger, math.mininteger, 1e308, 2 ^ 53, 0.5 }
local fields = {
  "name", "timeout", "argv", "sh", "memory", "fuel", "deadline", "concurrency", "attempts", "policy", "capacity", "limit", "daemon", "labels",
  "stdout", "check", "url", "headers", "body", "tasks", "profile", "workers", "chunk", "children", "strategy", "every", "mode", "seed", "start",
  "max", "min", "factor", "token", "n", 1, 2,
}

local any
local depth = 0

local function table_of(keys)
  local made = {}
  if depth == 3 then return made end
  depth = depth + 1
  for _ = 1, keys and math.random(0, 4) or 0 do made[pick(keys)] = any() end
  for i = 1, math.random(0, 3) do made[i] = any() end
  depth = depth - 1
  return made
end

local function object() return objects[1] and pick(objects) end

local makers = {
  function() return nil end,
  function() return math.random() < 0.5 end,
  function() return math.random(-3, 10) end,
  math.random,
  function() return pick(numbers) end,
  function() return pick(texts) end,
  function() return function(...) return ... end end,
  function() return function() error "boom" end end,
  function()
    return function()
      peri.sleep(0.001)
      return 1, 2
    end
  end,
  function() -- a line of this file calls it, so that a message about its arguments is told there
    local call = pick(functions).call
    return function(...)
      local results = table.pack(call(...))
      return table.unpack(results, 1, results.n)
    end
  end,
  function() return coroutine.create(print) end,
  function() return io.stdout end,
  function() return setmetatable({}, { __index = function() error "no field" end }) end,
  function() return setmetatable({}, { __call = function() return 7 end }) end,
  object, object, object,
  function() return table_of(fields) end,
  function() return table_of() end,
}
function any() return pick(makers)() end

-- A method of an object, by the names that its metatable knows, or by one that others have.
local common = { "lock", "with", "recv", "send", "close", "cancel", "join", "read", "write", "release", "get", "set", "wait", "iter", "recv_op", "run", "spawn", "status" }

local function method_of(subject)
  local metatable = debug.getmetatable(subject)
  local names = { table.unpack(common) }
  local index = type(metatable) == "table" and rawget(metatable, "__index")
  for name in pairs(type(index) == "table" and index or {}) do
    if type(name) == "string" and not name:find "^__" then names[#names + 1] = name end
  end
  for _, name in ipairs { "__tostring", "__close", "__len", "__index", "__newindex", "__call", "__eq" } do
    if type(metatable) == "table" and rawget(metatable, name) then names[#names + 1] = name end
  end
  table.sort(names)
  local name = pick(names)
  if name:find "^__" then return name, metatable[name], true end
  local found, method = pcall(function() return subject[name] end)
  return name, found and method
end

local counts = { returned = 0, raised = 0, late = 0 }
local faults = {}

local function keep(value)
  local worth = type(value) == "userdata" or type(value) == "table" and debug.getmetatable(value)
  if worth then objects[#objects < most_kept and #objects + 1 or math.random(most_kept)] = value end
end

-- A message that names a line of ours is right where that line calls back what the script gave.
local function judge(name, message)
  local place = message:match "perilune%.[%w%.]+:%d+:"
  local about = message:match " to '([^']*)'"
  local fault = message:match "std::%S+" or message:match "perilune::%S+"
    or place and (message:find("attempt to", 1, true) or message:find("variable '", 1, true) or about and about == name:match "%w+$") and place
  if fault and not faults[fault] then faults[fault] = name .. ": " .. message end
end

local function call(name, method, ...)
  local given = table.pack(...)
  local task = peri.spawn(function()
    return peri.timeout(0.05, function() return method(table.unpack(given, 1, given.n)) end)
  end)
  if not pcall(peri.timeout, 0.2, task.join, task) then
    counts.late = counts.late + 1
    task:cancel "late"
  end
  local results = table.pack(task:join())
  if results[1] then
    counts.returned = counts.returned + 1
    for i = 2, results.n do keep(results[i]) end
  else
    counts.raised = counts.raised + 1
    judge(name, tostring(results[2]))
  end
end

-- `n` values, behind the subject where there is one.
local function arguments(subject)
  local n = math.random(0, 4)
  local list = { subject }
  if subject ~= nil then n = n + 1 end
  for i = subject == nil and 1 or 2, n do list[i] = any() end
  return list, n
end

while counts.returned + counts.raised < calls do
  local subject = math.random() < 0.6 and object()
  if subject then
    local name, method, own = method_of(subject)
    if type(method) == "function" then
      local list, n = arguments((own or math.random() < 0.85) and subject or nil)
      call(name, method, table.unpack(list, 1, n))
    end
  else
    local chosen = pick(functions)
    if not left_out[chosen.name] then
      local list, n = arguments()
      call(chosen.name, chosen.call, table.unpack(list, 1, n))
    end
  end
end

for fault, message in pairs(faults) do io.stderr:write("FAULT ", fault, " ", message, "\n") end
print(("\nthe end: %d returned, %d raised, %d were late"):format(counts.returned, counts.raised, counts.late))
