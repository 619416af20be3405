-- The annotated reference, scripts/types/perilune.lua, names what is published: all of it, and nothing else.
local peri = require "perilune"

local root = arg[0]:match("^(.*)/tests/") or "."
local check = dofile(root .. "/tests/support/check.lua")
local case <close> = check.cases()

-- What the reference says: tables[class] = { functions = {name = line}, methods = {name = line} }.
local function read_reference()
  local classes, of_variable, class = {}, {}, nil
  local number = 0
  for line in io.lines(root .. "/scripts/types/perilune.lua") do
    number = number + 1
    class = line:match("^%-%-%-@class ([%w_.]+)") or class
    local variable = line:match("^local ([%w_]+) = {}$")
    if variable then
      of_variable[variable] = { functions = {}, methods = {} }
      classes[class] = of_variable[variable]
    end
    local owner, mark, name = line:match("^function ([%w_]+)([.:])([%w_]+)%(")
    if owner then
      assert(of_variable[owner], "no table " .. owner .. " before line " .. number)
      of_variable[owner][mark == "." and "functions" or "methods"][name] = number
    end
    owner, name = line:match("^([%w_]+)%.([%w_]+) = ")
    if owner and of_variable[owner] then of_variable[owner].functions[name] = number end
  end
  return classes
end

-- The names of a table that do not begin or end with an underscore; with a type, only those of that type.
local function public_names(names, kind)
  local list = {}
  for name, value in pairs(names) do
    local public = type(name) == "string" and not name:match("^_") and not name:match("_$")
    if public and (not kind or type(value) == kind) then list[name] = true end
  end
  return list
end

local function methods_of(object)
  local index = debug.getmetatable(object).__index
  if type(index) == "function" then
    local _, methods = debug.getupvalue(index, 1)
    index = methods
  end
  return type(index) == "table" and public_names(index, "function") or {}
end

local function compare(what, annotated, published)
  for name, line in pairs(annotated) do
    if not published[name] then error(what .. name .. " is annotated in line " .. line .. ", but does not exist", 0) end
  end
  for name in pairs(published) do
    if not annotated[name] then error(what .. name .. " is not annotated", 0) end
  end
end

local reference = read_reference()

local function released(guard)
  guard:release()
  return guard
end

-- A child process whose end has been seen, so that no task is left behind.
local function ended_child()
  local child = peri.process.spawn { argv = { "true" } }
  child:wait()
  return child
end

-- One object of each class that has methods.
local samples = {
  task = peri.self,
  scope = function()
    local found
    peri.scope(function(s) found = s end)
    return found
  end,
  join_set = function() return peri.join_set() end,
  token = peri.token,
  token_guard = function() return peri.token():guard() end,
  channel = function() return peri.channel(1) end,
  mutex = peri.mutex,
  guard = function() return released(peri.mutex():lock()) end,
  keyed_mutex = peri.keyed_mutex,
  rwlock = peri.rwlock,
  rwlock_guard = function() return released(peri.rwlock():read()) end,
  semaphore = function() return peri.semaphore(1) end,
  permit = function() return released(peri.semaphore(1):acquire()) end,
  notify = peri.notify,
  barrier = function() return peri.barrier(1) end,
  once = function() return peri.once(print) end,
  wait_group = peri.wait_group,
  isolate = function() return peri.isolate() end,
  shared_channel = function() return peri.shared_channel(1) end,
  buffer = peri.buffer,
  oneshot = peri.oneshot,
  watch = function() return peri.watch(1) end,
  watch_receiver = function() return peri.watch(1):subscribe() end,
  broadcast = function() return peri.broadcast(1) end,
  broadcast_receiver = function() return peri.broadcast(1):subscribe() end,
  operation = function() return peri.sleep_op(1) end,
  interval = function() return peri.interval(1) end,
  pipe = function() return ended_child().stdin end,
  net_listener = function()
    local listener <close> = peri.net.tcp_listen(0)
    return listener
  end,
  udp_socket = function() return peri.net.udp() end,
  http_body = function() return require("perilune.http.message").body(nil, {}) end,
  http_server = function()
    local server <close> = peri.http.serve(0, print)
    return server
  end,
  nats_client = function() return setmetatable({}, require "perilune.nats.client") end,
  nats_subscription = function() return setmetatable({}, require "perilune.nats.subscription") end,
  distributed_queue = function() return setmetatable({}, require("perilune.queue").methods_) end,
  queue_message = function() return setmetatable({}, require "perilune.queue.message") end,
  queue_ledger = function() return setmetatable({}, require "perilune.queue.ledger") end,
  value_stream = function() return peri.stream.of() end,
  child = ended_child,
  file = function() return peri.fs.open("/dev/null") end,
  database = function() return peri.db.open(":memory:") end,
  pipeline_builder = function() return peri.pipeline.new("x") end,
  step_context = function() return setmetatable({}, require("perilune.pipeline.lua_step").context) end,
  recording = function()
    local recording = peri.trace.start()
    recording:stop()
    return recording
  end,
  watcher = function() return peri.fs.watch "/dev" end,
  signal_listener = function() return peri.signal.listen("USR1") end,
}

case("the perilune table", function()
  local published = public_names(peri)
  for name in pairs(reference.perilune.functions) do
    if peri[name] ~= nil then published[name] = true end -- data, and modules, which are loaded on first use
  end
  compare("peri.", reference.perilune.functions, published)
end)

for class, names in check.by_name(reference) do
  local short = class:match("^perilune%.(.+)$")
  if short and next(names.functions) then
    case("the module " .. class, function() compare(class .. ".", names.functions, public_names((require(class)))) end)
  end
  if short and next(names.methods) then
    case("the methods of " .. class, function()
      assert(samples[short], "no sample of this class in the test")
      compare(class .. ":", names.methods, methods_of(samples[short]()))
    end)
  end
end
