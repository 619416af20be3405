-- Hides secrets in texts. Called like a function; longer values go first, so that none shines through a shorter one. A secret
-- of several lines is hidden line by line, since output comes in lines, with and without the blanks around a line; and each as a shell
-- and as JSON would quote it. Lines of up to three bytes stay, where they stand alone: hiding each bracket would tell nothing else.
local json = require "perilune.json"

local masker = {}
masker.__index = masker

local hidden_as <const> = "***"
local shortest_line <const> = 4 -- of a secret with several: a lone bracket is none

function masker.__call(self, text)
  for i = 1, #self.values do
    if text:find(self.values[i], 1, true) then text = text:gsub(self.patterns[i], hidden_as) end
  end
  return text
end

-- A copy of plain data with every text in it masked; the keys of its tables are its own.
function masker:within(value)
  if type(value) == "string" then return self(value) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, each in pairs(value) do copy[key] = self:within(each) end
  return setmetatable(copy, getmetatable(value))
end

-- How much of a text that goes on may be shown already: up to where the beginning of a secret may stand at its end.
function masker:safe_length(text)
  local safe = #text
  for _, value in ipairs(self.values) do
    for length = math.min(#value - 1, #text), 1, -1 do
      if text:sub(-length) == value:sub(1, length) then
        safe = math.min(safe, #text - length)
        break
      end
    end
  end
  return safe
end

function masker:hides_any() return self.values[1] ~= nil end
function masker:hides(text) return self(text) ~= text end

local masking = {}

-- values: {name = secret}
function masking.new(values)
  local known, list = {}, {}
  local function hide_form(value)
    if value ~= "" and not known[value] then
      known[value] = true
      list[#list + 1] = value
    end
  end
  local function hide(value)
    hide_form(value)
    hide_form((value:gsub("'", "'\\''")))
    local ok, quoted = pcall(json.encode, value)
    if ok then hide_form(quoted:sub(2, -2)) end
  end
  for _, value in pairs(values) do
    hide(value)
    for line in value:gmatch("[^\r\n]+") do
      for _, form in ipairs { line, line:match("^%s*(.-)%s*$") } do
        if #form >= shortest_line then hide(form) end
      end
    end
  end
  table.sort(list, function(a, b)
    if #a ~= #b then return #a > #b end
    return a < b
  end)
  local patterns = {}
  for i, value in ipairs(list) do patterns[i] = value:gsub("%W", "%%%0") end
  return setmetatable({ values = list, patterns = patterns }, masker)
end

return masking
