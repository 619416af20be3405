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

-- Whether a quote is opened and not closed.
local function is_open(raw)
  if raw:sub(1, 1) == "'" then return not raw:find("'", 2, true) end
  return raw:sub(1, 1) == '"' and not raw:gsub("\\.", ""):find('"', 2, true)
end

-- What goes on in the next lines, up to the one that closes its quote; as it is where none does. `at`: behind the first line.
local function with_further_lines(raw, text, at)
  local whole, lines = raw, 0
  while is_open(whole) do
    local line, next_at = text:match("^([^\n]*)\n()", at)
    if not line then return raw, 0, nil end
    whole, lines, at = whole .. "\n" .. line:gsub("\r$", ""), lines + 1, next_at
  end
  return whole, lines, at
end

-- The lines `NAME=value` of a dotenv file: `#` comments, `export`, single and double quotes, which may hold several lines.
function env.parse(text)
  if type(text) ~= "string" then
    error(("bad argument #1 to 'parse' (a string expected, got %s)"):format(type(text)), 2)
  end
  text = text .. "\n"
  local values, number, at = {}, 0, 1
  while at <= #text do
    local line, next_at = text:match("^([^\n]*)\n()", at)
    number, at = number + 1, next_at
    local body = line:gsub("\r$", ""):match("^%s*(.-)%s*$")
    if body ~= "" and body:sub(1, 1) ~= "#" then
      local name, raw = body:gsub("^export%s+", ""):match("^([%a_][%w_]*)%s*=%s*(.*)$")
      if not name then return nil, ("%d: NAME=value expected"):format(number) end
      local whole, more, behind = with_further_lines(raw, text, at)
      values[name], number, at = unquoted(whole), number + more, behind or at
    end
  end
  return values
end

return env
