-- perilune.toml: reading TOML 1.0. With the values comes where each of them stood, so that whoever checks a file can say where.
local native = require "perilune.native.toml"
require "perilune.json" -- whose way into Lua is taken

local error, pairs, setmetatable, type = error, pairs, setmetatable, type
local toml = {}

function toml.decode(text)
  if type(text) ~= "string" then
    error(("bad argument #1 to 'decode' (a TOML text (string) expected, got %s)"):format(type(text)), 2)
  end
  local both, problem = native.read(text)
  if not both then return nil, problem end
  return both[1], both[2]
end

-- The same for files of many tables: the places of what lies deeper than the tables of the outermost one are read when one is asked
-- for, by its name.
function toml.decode_(text)
  local both, problem = native.read(text, 2)
  if not both then return nil, problem end
  local values, places = both[1], both[2]
  local whole
  for name, place in pairs(places.within or {}) do
    place.within = setmetatable({}, { __index = function(_, key)
      whole = whole or native.read(text)[2]
      local within = whole.within[name].within
      return within and within[key]
    end })
  end
  return values, places
end

return toml
