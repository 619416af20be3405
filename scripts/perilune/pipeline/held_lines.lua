-- Lines of a step that are to be shown later. Of many, the most stand in a file without a name, not in memory. Owned by the place for
-- lines that holds them back; closed by it.
local held_lines = {}
held_lines.__index = held_lines

local joined_at_once <const> = 4096
local most_in_memory <const> = 1 << 20
local layout <const> = "<s4s4"

function held_lines.new() return setmetatable({ list = {}, bytes = 0, filed = 0 }, held_lines) end

-- Moves what is in memory to the file. Where there is no room for it, it stays, and whatever follows.
local function move_to_file(self)
  self.file = self.file or io.tmpfile()
  local done = self.file ~= nil
  for _, each in ipairs(self.list) do done = done and self.file:write(layout:pack(each.stream, table.concat(each.parts))) end
  if done and self.file:flush() then
    self.list, self.bytes, self.filed = {}, 0, self.file:seek()
  else
    self.bytes = -math.huge
  end
end

-- Text of a stream, with its newlines. What follows on the same stream becomes one text with it, but for notes.
function held_lines:add(stream, text)
  local last = self.list[#self.list]
  if not last or last.stream ~= stream or stream == "note" then
    last = { stream = stream, parts = {} }
    self.list[#self.list + 1] = last
  elseif #last.parts >= joined_at_once then
    last.parts = { table.concat(last.parts) }
  end
  table.insert(last.parts, text)
  self.bytes = self.bytes + #text
  if self.bytes > most_in_memory then move_to_file(self) end
end

local function read_text(file) return file:read((string.unpack("<I4", file:read(4)))) end

-- Calls show(stream, text) for all that is held, in order.
function held_lines:release(show)
  if self.file then self.file:seek("set") end
  while self.file and self.file:seek() < self.filed do
    local stream = read_text(self.file)
    show(stream, read_text(self.file))
  end
  for _, each in ipairs(self.list) do show(each.stream, table.concat(each.parts)) end
end

function held_lines:close()
  if self.file then self.file:close() end
end

return held_lines
