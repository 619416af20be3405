-- The few lines below the scrolling ones: what runs, for how long, what it said last; how far the run is, and how long it will
-- take yet. Told of events, asked for lines; it paints nothing itself.
local estimate = require "perilune.pipeline.estimate"
local line = require "perilune.pipeline.line"
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"

local live_block = {}
live_block.__index = live_block

local most_steps <const> = 6
local widest <const> = 100
local spinner = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" }
local plain_spinner = { "|", "/", "-", "\\" }

-- durations: {key = seconds} of earlier runs.
function live_block.new(style, durations)
  return setmetatable({ style = style, running = {}, order = {}, counts = {}, total = 0, done = 0, waiting = {},
                        estimate = estimate.new(durations) }, live_block)
end

local on = {}

function on.run_started(self, event)
  self.total, self.began = event.total, event.at
  self.estimate:plan(event.steps, event.jobs)
end

function on.step_added(self, event)
  self.total = self.total + 1
  self.estimate:add(event.key)
end

function on.step_waiting(self, event) self.waiting[event.key] = event.pool end

function on.step_started(self, event)
  self.waiting[event.key] = nil
  self.estimate:start(event.key, event.at)
  local step = self.running[event.key]
  if not step then
    step = { key = event.key, since = event.at }
    self.running[event.key] = step
    table.insert(self.order, step)
  end
  step.again = nil
  step.last = event.attempt > 1 and ("attempt %d/%d"):format(event.attempt, event.attempts) or ""
end

function on.line(self, event)
  local step = self.running[event.key]
  if step and event.text ~= "" then step.last = event.text end
end

function on.step_retry(self, event)
  local step = self.running[event.key]
  if step then step.last = ("%s; again in %.1fs"):format(event.why, event.delay) end
end

function on.step_finished(self, event)
  self.done = self.done + 1
  self.waiting[event.key] = nil
  self.counts[event.state] = (self.counts[event.state] or 0) + 1
  self.estimate:finish(event.key, event.state == "succeeded" and event.duration or nil)
  local step = self.running[event.key]
  if not step then return end
  self.running[event.key] = nil
  for i, each in ipairs(self.order) do
    if each == step then return table.remove(self.order, i) end
  end
end

function on.stopping(self, event) self.stopped = event end

function live_block:hear(event)
  local note = on[event.event]
  if note then note(self, event) end
end

local function elapsed(seconds) return seconds < 60 and ("%ds"):format(math.floor(seconds)) or text.seconds(seconds) end

function live_block:step_line(step, at, width, key_width)
  local style = self.style
  local frames = style.unicode and spinner or plain_spinner
  local frame = frames[math.floor(at * 10) % #frames + 1]
  local key = line.cut(step.key, key_width, style:ellipsis())
  local time = ("%6s"):format(elapsed(at - step.since))
  local room = width - key_width - 11
  local last = room > 4 and line.cut(line.for_terminal(step.last, false):gsub("\t", " "), room, style:ellipsis()) or ""
  return style:paint("cyan", frame) .. " " .. style:key(key) .. (" "):rep(key_width - line.width(key)) .. " "
    .. style:paint("dim", time .. "  " .. last), 2 + key_width + 1 + #time + 2 + line.width(last)
end

local function bar(style, share, width)
  local full = math.floor(share * width + 0.5)
  local on_sign, off_sign = style.unicode and "━" or "#", style.unicode and "─" or "."
  return style:paint("green", on_sign:rep(full)) .. style:paint("dim", off_sign:rep(width - full))
end

local function pool_waiters(self)
  local keys = text.sorted_keys(self.waiting)
  if #keys == 0 then return nil end
  return #keys == 1 and ("%s waits for pool %s"):format(keys[1], self.waiting[keys[1]]) or ("%d wait for a pool"):format(#keys)
end

-- What matters most comes first: the end may be cut.
local function described(self, at)
  local parts = { ("%d/%d"):format(self.done, self.total), elapsed(at - self.began) }
  local left = not self.stopped and self:remaining(at)
  if left then parts[#parts + 1] = "about " .. elapsed(math.ceil(left)) .. " left" end
  for _, state in ipairs { "failed", "timeout", "cached" } do
    if self.counts[state] then parts[#parts + 1] = summary.counts { [state] = self.counts[state] } end
  end
  if #self.order > 0 then parts[#parts + 1] = #self.order .. " running" end
  parts[#parts + 1] = pool_waiters(self)
  return table.concat(parts, ", ")
end

-- The estimate, looked at once a second.
function live_block:remaining(at)
  if not self.estimated or at - self.estimated >= 1 then
    self.estimated, self.left = at, self.estimate:remaining(at)
  end
  return self.left and math.max(self.left - (at - self.estimated), 0)
end

function live_block:total_line(at, width)
  local room = math.min(24, width // 4)
  local share = self.total > 0 and self.done / self.total or 0
  local words = line.cut(described(self, at), width - room - 1, self.style:ellipsis())
  return bar(self.style, share, room) .. " " .. words, room + 1 + line.width(words)
end

local function stopping_line(self, width)
  local keys = text.sorted_keys(self.running)
  local next_step = not self.stopped.signal:match("^SIG") and "" or self.stopped.count == 1 and "; again kills them" or "; again leaves at once"
  local words = ("%s: waiting for %s%s"):format(self.stopped.signal, table.concat(keys, ", "), next_step)
  words = line.cut(words, width, self.style:ellipsis())
  return self.style:paint("yellow", words), line.width(words)
end

-- The lines and the columns each takes, for a terminal of that size.
function live_block:lines(at, columns, rows)
  local lines, widths = {}, {}
  local width = math.min(columns - 1, widest)
  local function add(shown, taken) lines[#lines + 1], widths[#widths + 1] = shown, taken end
  local room = math.max(math.min(most_steps, rows - 4), 0)
  local shown = #self.order > room and room - 1 or #self.order
  local key_width = 0
  for i = 1, shown do key_width = math.max(key_width, line.width(self.order[i].key)) end
  key_width = math.min(key_width, width // 2)
  if width >= 20 then
    for i = 1, shown do add(self:step_line(self.order[i], at, width, key_width)) end
    if shown >= 0 and shown < #self.order then
      local words = ("  and %d more"):format(#self.order - shown)
      add(self.style:paint("dim", words), #words)
    end
  end
  if self.stopped and next(self.running) then add(stopping_line(self, width)) end
  add(self:total_line(at, width))
  return lines, widths
end

return live_block
