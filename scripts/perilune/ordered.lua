-- pairs in the order of keys, for runs that must repeat: numbers first, then strings, the rest as it comes. Entries are looked up as
-- the loop goes on, so what is removed meanwhile is left out; what is added is not visited.
--
-- Keys come in an order that no two VMs share. So they are sorted without a function in Lua: however they come, it takes the same number
-- of instructions, and tasks are interrupted at the same places.
local getmetatable, next, rawget, sort, type, raw_pairs = getmetatable, next, rawget, table.sort, type, pairs

local function ordered_keys(t)
  local keys, strings, others, count, string_count, other_count = {}, {}, {}, 0, 0, 0
  for key in next, t do
    local kind = type(key)
    if kind == "number" then
      count = count + 1
      keys[count] = key
    elseif kind == "string" then
      string_count = string_count + 1
      strings[string_count] = key
    else
      other_count = other_count + 1
      others[other_count] = key
    end
  end
  sort(keys)
  sort(strings)
  for i = 1, string_count do keys[count + i] = strings[i] end
  for i = 1, other_count do keys[count + string_count + i] = others[i] end
  return keys
end

function pairs(t)
  local meta = type(t) == "table" and getmetatable(t)
  local hidden = meta and type(meta) ~= "table"
  if type(t) ~= "table" or hidden or (meta and meta.__pairs) then return raw_pairs(t) end
  local keys, at = ordered_keys(t), 0
  return function()
    local value
    repeat
      at = at + 1
      local key = keys[at]
      if key == nil then return nil end
      value = rawget(t, key)
      if value ~= nil then return key, value end
    until false
  end, t, nil
end

return pairs
