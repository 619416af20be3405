-- perilune.toml: reading TOML 1.0. With the values comes where each of them stood, so that whoever checks a file can say where.
local native = require "perilune.native.toml"
local json = require "perilune.json"

local error, type = error, type
local toml = {}

function toml.decode(text)
  if type(text) ~= "string" then
    error(("bad argument #1 to 'decode' (a TOML text (string) expected, got %s)"):format(type(text)), 2)
  end
  local read, problem = native.to_json(text)
  if not read then return nil, problem end
  local both = json.decode(read)
  return both[1], both[2]
end

return toml
