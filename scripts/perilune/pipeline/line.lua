-- A line of somebody else's output, made fit for the place that shows it: valid UTF-8, without what moves a cursor, no wider
-- than there is room.
local line = {}

local replacement <const> = "\u{FFFD}"

-- The text with U+FFFD for each byte that is no UTF-8.
function line.valid(text)
  local length, bad = utf8.len(text)
  if length then return text end
  local parts, from = {}, 1
  while bad do
    parts[#parts + 1] = text:sub(from, bad - 1)
    parts[#parts + 1] = replacement
    from = bad + 1
    length, bad = utf8.len(text, from)
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts)
end

local function keep_colors(sequence) return sequence:sub(-1) == "m" and sequence or "" end

-- The text without control characters and escape codes; with `colors`, those that color it stay, and end with it.
local function without_controls(text, colors)
  if not text:find("%c") then return text end
  text = text:gsub("\27%][^\7\27]*\7", ""):gsub("\27%][^\27]*\27\\", "")
  text = text:gsub("\27%[[0-?]*[ -/]*[@-~]", colors and keep_colors or "")
  text = text:gsub("\27([^%[])", "%1"):gsub("[\0-\8\10-\26\28-\31\127]", "")
  if not text:find("\27", 1, true) then return text end
  return colors and text .. "\27[0m" or (text:gsub("\27", ""))
end
line.without_controls = without_controls

-- What stands on a terminal after the line: of text that a carriage return overwrites, the last.
function line.for_terminal(text, colors)
  text = text:gsub("\r+$", "")
  return without_controls(line.valid(text:match("[^\r]*$")), colors)
end

local wide = { { 0x1100, 0x115F }, { 0x2E80, 0xA4CF }, { 0xAC00, 0xD7A3 }, { 0xF900, 0xFAFF }, { 0xFE30, 0xFE6F },
               { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 }, { 0x1F300, 0x1F64F }, { 0x1F680, 0x1F6FF }, { 0x1F900, 0x1F9FF },
               { 0x20000, 0x3FFFD } }
local narrow = { { 0x0300, 0x036F }, { 0x200B, 0x200F }, { 0xFE00, 0xFE0F }, { 0x20D0, 0x20FF } }

local function within(ranges, code)
  for _, range in ipairs(ranges) do
    if code >= range[1] and code <= range[2] then return true end
  end
  return false
end

local function columns_of(code)
  if code < 0x300 then return 1 end
  if within(narrow, code) then return 0 end
  return within(wide, code) and 2 or 1
end

-- The columns that a text without escape codes takes.
function line.width(text)
  if not text:find("[\x80-\xFF]") then return #text end
  local columns = 0
  for _, code in utf8.codes(text) do columns = columns + columns_of(code) end
  return columns
end

-- The text, or as much of it as fits into so many columns, with `ellipsis` at the end.
function line.cut(text, columns, ellipsis)
  if line.width(text) <= columns then return text end
  local room = columns - line.width(ellipsis)
  if room <= 0 then return "" end
  local used = 0
  for at, code in utf8.codes(text) do
    used = used + columns_of(code)
    if used > room then return text:sub(1, at - 1) .. ellipsis end
  end
  return text
end

function line.first(text)
  local first = text:match("^%s*([^\n]*)")
  return text:find("\n", 1, true) and text:find("%S[^\n]*\n%s*%S") and first .. " ..." or first
end

return line
