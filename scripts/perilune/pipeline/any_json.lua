-- JSON of plain data whose texts may be any bytes, as names of files are; JSON itself holds UTF-8 only.
local json = require "perilune.json"
local line = require "perilune.pipeline.line"

local any_json = {}

local function with_texts(value, repair)
  if type(value) == "string" then return repair(value) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for name, each in pairs(value) do copy[type(name) == "string" and repair(name) or name] = with_texts(each, repair) end
  return setmetatable(copy, getmetatable(value))
end

local function encode(value, options, repair)
  local ok, encoded = pcall(json.encode, value, options)
  return ok and encoded or json.encode(with_texts(value, repair), options)
end

local function spelled(text)
  if utf8.len(text) then return text end
  return (text:gsub("[\x80-\xff]", function(byte) return ("\\x%02x"):format(byte:byte()) end))
end

-- For whoever reads it: a sign stands for what is no UTF-8.
function any_json.readable(value, options) return encode(value, options, line.valid) end

-- For comparisons: the bytes of such texts are spelled out, so that what differs goes on differing.
function any_json.exact(value) return encode(value, nil, spelled) end

return any_json
