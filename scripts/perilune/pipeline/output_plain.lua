-- The place for lines where there is no terminal: the streams themselves, at once, whole lines. Steps' standard output goes to
-- standard output, all else to standard error. What is buffered goes out as soon as nothing else is ready to run.
local peri = require "perilune"

local output_plain = {}
output_plain.__index = output_plain

-- With `one_stream` all goes to standard output: the order matters there, and two streams have none.
function output_plain.new(one_stream)
  local self = setmetatable({ one_stream = one_stream, written = peri.notify(), dirty = false, spoken_at = peri.now() }, output_plain)
  self.flusher = peri.spawn({ name = "flush", daemon = true }, function()
    while true do
      self.written:wait()
      self:flush()
    end
  end)
  return self
end

function output_plain:flush()
  self.dirty = false
  io.stdout:flush()
end

function output_plain:write(to_stdout, bytes)
  self.spoken_at = peri.now()
  if to_stdout or self.one_stream then
    io.stdout:write(bytes)
    if not self.dirty then
      self.dirty = true
      self.written:notify_one()
    end
  else
    if self.dirty then self:flush() end
    io.stderr:write(bytes)
  end
end

-- Ends a line that was begun, so that another one can follow.
function output_plain:end_line()
  local open = self.open
  self.open = nil
  if open then self:write(open.to_stdout, "\n") end
end

function output_plain:step(key, stream, prefix, text, partial)
  local open = self.open
  local continues = open and open.key == key and open.stream == stream
  if not continues then self:end_line() end
  local to_stdout = stream == "stdout"
  self:write(to_stdout, (continues and "" or prefix) .. text .. (partial and "" or "\n"))
  self.open = partial and { key = key, stream = stream, to_stdout = to_stdout } or nil
end

-- How long nothing has been written.
function output_plain:silence() return peri.now() - self.spoken_at end

function output_plain:note(_, text) self:say(text) end

function output_plain:say(text)
  self:end_line()
  self:write(false, text .. "\n")
end

function output_plain:close()
  self:end_line()
  self:flush()
  self.flusher:cancel()
end

return output_plain
