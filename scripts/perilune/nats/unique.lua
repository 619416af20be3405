-- Names that no other process draws: for inboxes, and for the ids that a server recognises repetitions by. They must not come from the
-- runtime's seeded generator, since two runs with one seed would be taken for each other.
local peri = require "perilune"

local io, math_random, string_format = io, math.random, string.format

local function draw()
  local file = io and io.open("/dev/urandom", "rb")
  if not file then return string_format("%016x", math_random(0)) end
  local bytes = file:read(12)
  file:close()
  return (bytes:gsub(".", function(c) return string_format("%02x", c:byte()) end))
end

local prefix, count = nil, 0

return function()
  prefix = prefix or draw()
  local mine = peri.critical(function()
    count = count + 1
    return count
  end)
  return prefix .. string_format("%x", mine)
end
