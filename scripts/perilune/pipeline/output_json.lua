-- A run for programs: every event as a line of JSON on standard output.
local encode = require("perilune.pipeline.any_json").readable

local output_json = {}
output_json.__index = output_json

function output_json.new() return setmetatable({}, output_json) end

function output_json:hear(event)
  io.stdout:write(encode(event), "\n")
  io.stdout:flush()
end

function output_json:close() io.stdout:flush() end

return output_json
