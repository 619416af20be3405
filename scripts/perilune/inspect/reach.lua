-- What can be reached in a VM, and by which name: a walk over tables, functions, objects and stacks, as the collector walks.
--
-- A walk costs nothing while nobody asks. It begins where it is told to; frames of the modules that look inside are left out,
-- so that what they hold while they look does not count. Weak references do not count either. Runs without waiting.
local natives = require "perilune.native.inspect"
local debug, next, rawget, running, setmetatable, type = debug, next, rawget, coroutine.running, setmetatable, type
local getinfo, getlocal, getmetatable, getupvalue, getuservalue =
  debug.getinfo, debug.getlocal, debug.getmetatable, debug.getupvalue, debug.getuservalue

local own_sources = { ["=perilune.inspect"] = true, ["=perilune.inspect.reach"] = true }
local walked = { table = true, ["function"] = true, userdata = true, thread = true }

local walk = {}
walk.__index = walk

local function is_weak(meta, kind)
  local mode = meta and rawget(meta, "__mode")
  return type(mode) == "string" and mode:find(kind, 1, true) ~= nil
end

-- Queues a value that has not been seen. The first way by which it is found under a name stays: the name, and the table that
-- has it as a field, or the place of the variable, as text or as the function that it belongs to. Text is made when asked for.
function walk:add(value, name, table, place)
  if not walked[type(value)] then return end
  if name and not self.names[value] then self.names[value], self.tables[value], self.places[value] = name, table, place end
  if self.seen[value] then return end
  self.seen[value] = true
  self.count = self.count + 1
  self.values[self.count] = value
end

function walk:enter_table(value)
  local meta = getmetatable(value)
  local no_keys, no_values = is_weak(meta, "k"), is_weak(meta, "v")
  for key, each in next, value do
    if not no_keys then self:add(key) end
    if not no_values then self:add(each, key, value) end
  end
  self:add(meta)
end

function walk:enter_function(value)
  for i = 1, 255 do
    local name, each = getupvalue(value, i)
    if not name then return end
    self:add(each, name ~= "" and name or nil, nil, value)
  end
end

function walk:enter_object(value)
  for n = 1, 255 do
    local each, exists = getuservalue(value, n)
    if not exists then break end
    self:add(each)
  end
  self:add(getmetatable(value))
end

function walk:enter_frame(thread, level, info)
  local place = info.currentline > 0 and info.short_src .. ":" .. info.currentline or nil
  self:add(info.func)
  for from, step in next, { 1, [-1] = -1 } do
    local i = from
    while true do
      local name, each = getlocal(thread, level, i)
      if not name then break end
      self:add(each, name:sub(1, 1) ~= "(" and name or nil, nil, place)
      i = i + step
    end
  end
end

function walk:enter_thread(value)
  local level, deeper = 0, value == running() and 1 or 0 -- enter_frame is one more frame of the running thread
  while true do
    local info = getinfo(value, level, "fSl")
    if not info then break end
    if not own_sources[info.source] then self:enter_frame(value, level + deeper, info) end
    level = level + 1
  end
  if level > 0 then return end
  local stacked = natives.stacked(value)
  for i = 1, #stacked do self:add(stacked[i]) end
end

local enter = {
  table = walk.enter_table,
  ["function"] = walk.enter_function,
  userdata = walk.enter_object,
  thread = walk.enter_thread,
}

-- Walks on to the end of what has been added. `values` are then all values reached, in the order in which they were found.
function walk:run()
  while self.done < self.count do
    self.done = self.done + 1
    local value = self.values[self.done]
    enter[type(value)](self, value)
  end
end

-- The name of a value, "pool.jobs[1]", and the place of the variable at its front; nil where there is none.
function walk:name_of(value)
  local path, at = "", value
  for _ = 1, 8 do
    local name, table = self.names[at], self.tables[at]
    if not name then break end
    if type(name) ~= "string" then
      path = "[" .. (type(name) == "number" and name or type(name)) .. "]" .. path
    else
      path = (table and self.names[table] and "." or "") .. name .. path
    end
    if not table then break end
    at = table
  end
  local place = self.places[at]
  if type(place) == "function" then
    local info = getinfo(place, "S")
    place = info.what ~= "C" and info.short_src .. ":" .. info.linedefined or nil
  end
  return path ~= "" and path or nil, place
end

-- A new walk from all that stands on no task's stack.
local function begin()
  local self = setmetatable({ seen = {}, values = {}, names = {}, tables = {}, places = {}, count = 0, done = 0 }, walk)
  for _, own in next, self do
    if type(own) == "table" then self.seen[own] = true end
  end
  self.seen[self], self.seen[natives.slots()] = true, true
  self:add(_G)
  self:add(debug.getregistry())
  return self
end

return { begin = begin }
