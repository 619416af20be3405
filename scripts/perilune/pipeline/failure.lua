-- A step that failed, told so that a person can act: where it stands, what ran, how it ended, what it said last.
local fs = require "perilune.fs"
local line = require "perilune.pipeline.line"

local failure = {}

-- "exit 3", "signal KILL", "it did not end within 2s", or what a Lua step raised.
function failure.how(step)
  if step.state == "timeout" then return step.message or "timed out" end
  if step.signal then return "signal " .. step.signal end
  if step.code and not (step.code == 0 and step.message) then return "exit " .. math.tointeger(step.code) end
  return step.message or step.state
end

-- A path as one would type it here.
local function from_here(path)
  local ok, here = pcall(fs.real_path, ".")
  return ok and path:sub(1, #here + 1) == here .. "/" and path:sub(#here + 2) or path
end

-- The lines of the block.
function failure.block(step, style)
  local lines = { "", style:paint("red", style:paint("bold", "failed: " .. step.key)) .. (step.place and "  (" .. step.place .. ")" or "") }
  local function add(...) lines[#lines + 1] = table.concat { ... } end
  if step.command then add("  command: ", (step.command:gsub("\n%s*$", ""):gsub("\n", "\n           "))) end
  local tried = #step.attempts
  local how = failure.how(step)
  add("  ", how, tried > 0 and (", attempt %d/%d"):format(tried, step.allowed or tried) or "")
  if step.message and step.message ~= how then add("  ", step.message) end
  for _, each in ipairs(step.tail or {}) do add("  ", style:paint("dim", "|"), " ", line.for_terminal(each, style.color)) end
  if step.log then add("  log: ", from_here(step.log)) end
  return lines
end

return failure
