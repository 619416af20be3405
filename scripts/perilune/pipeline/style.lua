-- How words look for one reader: colored or not, with signs that its font has or plain ones.
local style = {}
style.__index = style

local codes = { bold = 1, dim = 2, red = 31, green = 32, yellow = 33, blue = 34, magenta = 35, cyan = 36 }
local key_colors = { "cyan", "magenta", "blue", "yellow", "green" }
local state_colors = { succeeded = "green", cached = "dim", skipped = "dim", failed = "red", timeout = "red", blocked = "yellow",
                       cancelled = "yellow", not_run = "yellow", success = "green", failure = "red", interrupted = "yellow" }
local signs = { succeeded = "✓", cached = "=", skipped = "-", failed = "✗", timeout = "✗", blocked = "!", cancelled = "!", not_run = "!" }
local plain_signs = { succeeded = "+", failed = "x", timeout = "x" }

function style.new(color, unicode) return setmetatable({ color = color, unicode = unicode, keys = {} }, style) end

function style:paint(name, words)
  if not self.color or not codes[name] or words == "" then return words end
  return ("\27[%dm%s\27[0m"):format(codes[name], words)
end

-- In the color of its state.
function style:state(state, words) return self:paint(state_colors[state], words or state) end

-- The sign of a state, one column wide.
function style:sign(state)
  local sign = self.unicode and signs[state] or plain_signs[state] or signs[state] or " "
  return self:state(state, sign)
end

-- A key in the color that it has throughout.
function style:key(key)
  if not self.color then return key end
  local shown = self.keys[key]
  if not shown then
    local sum = 0
    for i = 1, #key do sum = (sum * 31 + key:byte(i)) % 65521 end
    shown = self:paint(key_colors[sum % #key_colors + 1], key)
    self.keys[key] = shown
  end
  return shown
end

function style:ellipsis() return self.unicode and "…" or "..." end

return style
