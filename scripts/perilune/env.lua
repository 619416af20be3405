-- perilune.env: the environment this program was started with, and files that hold more of it.
local system = require "perilune.native.system"

local error, os, type = error, os, type
local env = {}

function env.get(name, default)
  if type(name) ~= "string" then
    error(("bad argument #1 to 'get' (the name of a variable expected, got %s)"):format(type(name)), 2)
  end
  local value = os.getenv(name)
  if value == nil then return default end
  return value
end

function env.all() return system.environment() end

local escapes = { n = "\n", t = "\t", r = "\r" }

local function unquoted(raw)
  local inner = raw:match("^'([^']*)'%s*$") or raw:match("^'([^']*)'%s+#")
  if inner then return inner end
  inner = raw:match('^"(.*)"%s*$') or raw:match('^"(.-)"%s+#')
  if inner then return (inner:gsub("\\(.)", function(c) return escapes[c] or c end)) end
  return (raw:gsub("%s+#.*$", ""):gsub("%s+$", ""))
end

-- The lines `NAME=value` of a dotenv file: `#` comments, `export`, single and double quotes.
function env.parse(text)
  if type(text) ~= "string" then
    error(("bad argument #1 to 'parse' (a string expected, got %s)"):format(type(text)), 2)
  end
  local values, number = {}, 0
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    local body = line:gsub("\r$", ""):match("^%s*(.-)%s*$")
    if body ~= "" and body:sub(1, 1) ~= "#" then
      local name, raw = body:gsub("^export%s+", ""):match("^([%a_][%w_]*)%s*=%s*(.*)$")
      if not name then return nil, ("%d: NAME=value expected"):format(number) end
      values[name] = unquoted(raw)
    end
  end
  return values
end

return env
