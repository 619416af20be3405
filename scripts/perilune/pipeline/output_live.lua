-- The place for lines on a terminal: they scroll as ever, and below them stands a block that is painted again and again. What
-- is painted goes out in one write: the old block is erased, the new lines follow, then the new block. So nothing is torn, and
-- the terminal's own scrollback holds the lines and nothing else.
local log = require "perilune.log"
local native = require "perilune.native.terminal"
local peri = require "perilune"
local line = require "perilune.pipeline.line"
local live_block = require "perilune.pipeline.live_block"
local terminal = require "perilune.pipeline.terminal"

local output_live = {}
output_live.__index = output_live

local frame_seconds <const> = 0.1
local longest_held <const> = 64 * 1024

-- reader: see terminal.lua. durations: {key = seconds} of earlier runs.
function output_live.new(reader, style, durations)
  local self = setmetatable({ reader = reader, block = live_block.new(style, durations), lines = {}, painted = {}, partial = {},
                              last_paint = -math.huge, interactive = {} }, output_live)
  native.continued()
  log.sink_ = function(record) self:say(record) end
  self.painter = peri.spawn({ name = "paint", daemon = true }, function()
    while true do
      peri.sleep(frame_seconds)
      self:paint()
    end
  end)
  return self
end

-- Erases the rows of the painted block and stands on the first of them. A terminal that became narrower has wrapped its lines.
-- Row by row: terminals take the erasing of a whole screen for something to keep in their scrollback.
local function erasing(painted, columns)
  if #painted == 0 then return "" end
  local rows = 0
  for _, width in ipairs(painted) do rows = rows + math.max((width + columns - 1) // columns, 1) end
  local up = rows > 1 and ("\27[%dA"):format(rows - 1) or ""
  return "\r" .. up .. ("\27[2K\27[1B"):rep(rows - 1) .. "\27[2K" .. up
end

-- After a stop others have written below the block: it stays where it was, and what follows begins on a line that nobody has
-- written to. As many blanks as there are columns end in the next line, but where they began at the very first column.
local function fresh_line(self, columns)
  self.painted = {}
  native.paint("", "", "")
  return (" "):rep(columns) .. "\r\27[2K"
end

-- One write; `without_block`: only the lines, as of any job in the background. The native half has the block erased where the
-- program itself says something.
function output_live:paint(without_block)
  if next(self.interactive) then return end
  local columns, rows = terminal.size()
  local parts = { native.continued() and fresh_line(self, columns) or "" }
  local erased = erasing(self.painted, columns)
  for _, each in ipairs(self.lines) do parts[#parts + 1] = each .. "\n" end
  self.lines, self.painted = {}, {}
  local now = peri.now()
  if self.zero and not without_block and native.in_foreground() then
    local lines
    lines, self.painted = self.block:lines(now - self.zero, columns, rows)
    parts[#parts + 1] = table.concat(lines, "\n")
  end
  self.last_paint = now
  io.stdout:flush()
  native.paint(erased, table.concat(parts), erasing(self.painted, columns))
end

function output_live:add(shown)
  self.lines[#self.lines + 1] = shown
  if peri.now() - self.last_paint >= frame_seconds / 2 then self:paint() end
end

function output_live:say(text) self:add(text) end
function output_live:note(_, text) self:add(text) end

-- Where standard output is no terminal, what is meant for it goes there and is not shown.
function output_live:step(key, stream, prefix, text, partial)
  if stream == "stdout" and not self.reader.terminal_out then
    io.stdout:write(prefix, text, partial and "" or "\n")
    return
  end
  local id = key .. "\0" .. stream
  local whole = (self.partial[id] and self.partial[id].text or "") .. text
  if partial and #whole < longest_held then
    self.partial[id] = { key = key, prefix = prefix, text = whole }
    return
  end
  self.partial[id] = nil
  self:add(prefix .. line.for_terminal(whole, self.reader.color_err))
end

-- Lines that were not ended, of one step or of all.
local function end_partial(self, key)
  for id, each in pairs(self.partial) do
    if not key or each.key == key then
      self.partial[id] = nil
      self:add(each.prefix .. line.for_terminal(each.text, self.reader.color_err))
    end
  end
end

-- An interactive step or a question has the terminal for itself.
function output_live:before(event)
  if event.event == "run_started" then self.zero = peri.now() - event.at end
  if event.event == "step_started" and event.interactive then
    self:paint(true)
    self.interactive[event.key] = true
  elseif event.event == "suspended" then
    self:paint(true)
  elseif event.event == "terminal" then
    if event.taken then self:paint(true) end
    self.interactive[event.key] = event.taken or nil
  elseif event.event == "step_finished" then
    self.interactive[event.key] = nil
    end_partial(self, event.key)
  end
  self.block:hear(event)
end

function output_live:after(event)
  if event.event ~= "run_finished" then return end
  self.zero = nil
  self:paint()
end

function output_live:close()
  self.painter:cancel()
  log.sink_ = nil
  self.interactive, self.zero = {}, nil
  end_partial(self)
  self:paint()
end

return output_live
