-- How values and their differences are written in failures of tests: on one line where they are short, with sorted keys.
local show = {}

local most_depth, most_entries, most_differences, most_text = 6, 40, 8, 200

local function quoted(text)
  text = ("%q"):format(text):gsub("\\\n", "\\n"):gsub("\\9", "\\t"):gsub("\\13", "\\r")
  return text
end

local function is_name(key) return type(key) == "string" and key:find("^[%a_][%w_]*$") ~= nil end

local function key_order(a, b)
  if type(a) ~= type(b) then return type(a) < type(b) end
  if type(a) == "number" or type(a) == "string" then return a < b end
  return tostring(a) < tostring(b)
end

local function sorted_keys(value)
  local keys = {}
  for key in next, value do keys[#keys + 1] = key end
  table.sort(keys, key_order)
  return keys
end

local write

local function write_table(value, depth, open)
  if open[value] then return "<itself>" end
  if depth > most_depth then return "{...}" end
  open[value] = true
  local parts, length = {}, 0
  while rawget(value, length + 1) ~= nil do length = length + 1 end
  for i = 1, length do parts[i] = write(rawget(value, i), depth + 1, open) end
  for _, key in ipairs(sorted_keys(value)) do
    local in_list = math.type(key) == "integer" and key >= 1 and key <= length
    if not in_list then
      local name = is_name(key) and key or "[" .. write(key, depth + 1, open) .. "]"
      parts[#parts + 1] = name .. " = " .. write(rawget(value, key), depth + 1, open)
    end
  end
  open[value] = nil
  if #parts > most_entries then
    parts[most_entries] = ("... %d more"):format(#parts - most_entries + 1)
    parts = table.move(parts, 1, most_entries, 1, {})
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function has_own_text(value)
  local meta = getmetatable(value)
  return meta ~= nil and (type(meta) ~= "table" or meta.__tostring or meta.__name)
end

-- With as many digits as it takes to tell it from its neighbours.
local function number(value)
  local text = tostring(value)
  if tonumber(text) == value or value ~= value then return text end
  return ("%.17g"):format(value)
end

function write(value, depth, open)
  if type(value) == "number" then return number(value) end
  if type(value) == "string" then return quoted(value) end
  if type(value) == "table" and not has_own_text(value) then return write_table(value, depth, open) end
  local ok, text = pcall(tostring, value)
  return ok and text or "<" .. type(value) .. ">"
end

function show.value(value) return write(value, 0, {}) end

local function both(text, got, expected)
  local shown, wanted = show.value(got), show.value(expected)
  if #shown + #wanted <= 60 and not text then return "expected " .. wanted .. ", got " .. shown end
  return (text or "not equal") .. "\n  expected: " .. wanted .. "\n  got:      " .. shown
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  return lines
end

-- Long texts: the first line in which they differ.
local function text_difference(got, expected)
  local shown, wanted = lines_of(got), lines_of(expected)
  if (#shown == 1 and #wanted == 1) or #got + #expected <= 60 then return both(nil, got, expected) end
  local i = 1
  while shown[i] == wanted[i] do i = i + 1 end
  local function at(lines) return lines[i] and quoted(lines[i]) or "<the end, after " .. #lines .. " lines>" end
  return ("texts differ in line %d\n  expected: %s\n  got:      %s"):format(i, at(wanted), at(shown))
end

-- What to say of two values that are not equal; `alike` says that their contents are the same.
function show.unequal(got, expected, alike)
  if type(got) == "string" and type(expected) == "string" then return text_difference(got, expected) end
  if alike then return "expected the very same table, got another with the same contents; use t.same to compare contents" end
  if type(got) == "table" and type(expected) == "table" then return both("not the same table", got, expected) end
  return both(nil, got, expected)
end

local function step(path, key)
  if is_name(key) then return path .. "." .. key end
  return path .. "[" .. show.value(key) .. "]"
end

local function shortened(value)
  local text = show.value(value)
  return #text <= most_text and text or text:sub(1, most_text) .. "..."
end

local function collect(got, expected, path, alike, found)
  if alike(got, expected, {}) or #found > most_differences then return end
  if type(got) ~= "table" or type(expected) ~= "table" then
    found[#found + 1] = ("%s: expected %s, got %s"):format(path, shortened(expected), shortened(got))
    return
  end
  local keys, seen = sorted_keys(expected), {}
  for _, key in ipairs(keys) do seen[key] = true end
  for _, key in ipairs(sorted_keys(got)) do
    if not seen[key] then keys[#keys + 1] = key end
  end
  for _, key in ipairs(keys) do
    local mine, theirs = rawget(got, key), rawget(expected, key)
    if mine ~= got or theirs ~= expected then collect(mine, theirs, step(path, key), alike, found) end
  end
end

-- What to say of two values whose contents differ: where, and both.
function show.difference(got, expected, alike)
  if type(got) == "string" and type(expected) == "string" then return text_difference(got, expected) end
  if type(got) ~= "table" or type(expected) ~= "table" then return both(nil, got, expected) end
  local shown, wanted = show.value(got), show.value(expected)
  if #shown + #wanted <= 60 then return "expected " .. wanted .. ", got " .. shown end
  local found = {}
  collect(got, expected, "", alike, found)
  if #found > most_differences then found[most_differences + 1] = "..." end
  local text = "tables differ\n  " .. table.concat(found, "\n  ")
  if #shown <= most_text and #wanted <= most_text then
    text = text .. "\n  expected: " .. wanted .. "\n  got:      " .. shown
  end
  return text
end

return show
