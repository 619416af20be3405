-- Runs in the VM that a function was sent to: loads the modules it names, which may wait, then calls it with its arguments.
-- Returns the entry; see lua/remote.hpp.
local surroundings, values = ...

local require, ipairs, package = require, ipairs, package

local function call(fn, ...) return fn(...) end

return function(request)
  local modules, path, cpath = surroundings(request)
  package.path, package.cpath = path, cpath
  for _, name in ipairs(modules) do require(name) end
  return call(values(request))
end
