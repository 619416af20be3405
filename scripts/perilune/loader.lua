-- How modules are found and loaded, with the perilune table and the natives it needs. A VM loads it when the first module is asked
-- for; until then `require` and the fields of the perilune table that are modules only know that it is there.
--
-- `require` is written in Lua so that a module's top level may wait: the stock one calls the loader across a C boundary.
-- When two tasks require the same module at once, the second waits for the first. Shipped modules come from the binary.
local peri, natives = ...

local base = natives.base or _ENV -- as it was when the VM opened, whatever scripts have made of their globals
local package, type, error, tostring, ipairs, setmetatable = base.package, base.type, base.error, base.tostring, base.ipairs, base.setmetatable
local rawget, rawset, next, getmetatable = base.rawget, base.rawset, base.next, base.getmetatable
local table_concat = base.table.concat
local loaded, preload = package.loaded, package.preload
local loading = {} -- name -> { task, done = channel }

local function find_loader(name)
  local tried = {}
  for _, searcher in ipairs(package.searchers) do
    local loader, data = searcher(name)
    if type(loader) == "function" then return loader, data end
    if type(loader) == "string" then tried[#tried + 1] = "\n\t" .. loader:gsub("^%s+", "") end
  end
  error("module '" .. name .. "' not found:" .. table_concat(tried), 3)
end

local function wait_for_other(name, entry)
  if entry.task == natives.current_task() then
    error("loop while loading module '" .. name .. "'", 3)
  end
  entry.done:recv()
end

local function require(name)
  if type(name) ~= "string" then
    error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
  end
  local value = loaded[name]
  while value == nil and loading[name] do
    wait_for_other(name, loading[name])
    value = loaded[name]
  end
  if value ~= nil then return value end
  local loader, data = find_loader(name)
  local entry = { task = natives.current_task(), done = peri.channel(0) }
  loading[name] = entry
  local finished <close> = setmetatable({}, { __close = function()
    loading[name] = nil
    entry.done:close()
  end })
  value = loader(name, data)
  if value ~= nil then loaded[name] = value end
  if loaded[name] == nil then loaded[name] = true end
  return loaded[name], data
end

natives.require = require

-- Where code is not trusted it has a require of its own, for what its profile names; the shipped modules keep the other.
function natives.confined_require(name)
  local library = type(name) == "string" and natives.libraries[name]
  if library then return library end
  if type(name) == "string" and not natives.allows(name) then error("module '" .. name .. "' is not available here", 2) end
  return require(name)
end

-- For the host: loads a module again. Who holds the old table sees what the new one has; nothing changes when it does not load.
function natives.reload(name)
  local loader, data = find_loader(name)
  local value = loader(name, data)
  local old = loaded[name]
  if type(old) == "table" and type(value) == "table" and old ~= value then
    for key in next, old do
      if rawget(value, key) == nil then old[key] = nil end
    end
    for key, field in next, value do rawset(old, key, field) end
    return setmetatable(old, getmetatable(value))
  end
  if value == nil then value = true end
  loaded[name] = value
end

-- Functions that live in a module with others, loaded at their first use.
local homes = {
  all = "perilune.groups", settle = "perilune.groups", race = "perilune.groups", map = "perilune.groups",
  resources = "perilune.inspect", tree = "perilune.inspect", waits = "perilune.inspect", leaks = "perilune.inspect",
  stats = "perilune.inspect", dump = "perilune.inspect",
}

-- What the perilune table has besides what is in it.
function natives.index(self, key)
  if type(key) ~= "string" then return nil end
  if homes[key] and natives.allows(homes[key]) then
    self[key] = require(homes[key])[key]
    return self[key]
  end
  local name = "perilune." .. key
  if loaded[name] == nil and not preload[name] and not natives.is_shipped(name) then return nil end
  if not natives.allows(name) then return nil end
  local module = require(name)
  self[key] = module
  return module
end
