-- perilune.toml: reading TOML 1.0. With the values comes where each of them stood, so that whoever checks a file can say where.
local native = require "perilune.native.toml"
require "perilune.json" -- whose way into Lua is taken

local error, type = error, type
local toml = {}

function toml.decode(text)
  if type(text) ~= "string" then
    error(("bad argument #1 to 'decode' (a TOML text (string) expected, got %s)"):format(type(text)), 2)
  end
  local both, problem = native.read(text)
  if not both then return nil, problem end
  return both[1], both[2]
end

return toml
