-- The place for lines that keeps those of a step together: they are held until the step has ended. In order, the first step
-- that has not ended speaks at once, and those behind it wait for it.
--
-- Under a CI service each step's lines stand between its marks, on one stream: two have no order.
local ci = require "perilune.pipeline.ci"
local held_lines = require "perilune.pipeline.held_lines"
local order = require "perilune.pipeline.order"
local output_plain = require "perilune.pipeline.output_plain"

local output_group = {}
output_group.__index = output_group

-- reader: see terminal.lua. ordered: in the order of the plan, not of the ends.
function output_group.new(reader, ordered)
  local marks = ci.marks(reader.ci)
  return setmetatable({ plain = output_plain.new(marks ~= nil), marks = marks, held = {}, started = {}, order = ordered and order.new() or nil }, output_group)
end

-- Whether what the step says may go out at once.
function output_group:speaks(key) return self.order and self.order:first() == key end

-- A step that never began has one line to say, and needs no section.
function output_group:open(key)
  if not self.started[key] then return end
  if self.marks and self.opened ~= key then self.plain:say(self.marks.open(key, key)) end
  self.opened = key
end

function output_group:shut(key)
  if self.marks and self.opened == key then self.plain:say(self.marks.close(key)) end
  self.opened, self.started[key] = nil, nil
end

local function pass(self, key, stream, text, partial)
  self:open(key)
  if stream == "note" then self.plain:say(text) else self.plain:step(key, stream, "", text, partial) end
end

local function hold(self, key, stream, text, partial)
  local held = self.held[key] or held_lines.new()
  self.held[key] = held
  held:add(stream, (partial or stream == "note") and text or text .. "\n")
end

-- Lines have no prefix here.
function output_group:step(key, stream, _, text, partial)
  if self:speaks(key) then pass(self, key, stream, text, partial) else hold(self, key, stream, text, partial) end
end

function output_group:note(key, text) self:step(key, "note", "", text, false) end

function output_group:say(text) self.plain:say(text) end

function output_group:silence() return self.plain:silence() end

function output_group:release(key)
  local held = self.held[key]
  self.held[key] = nil
  if not held then return end
  held:release(function(stream, text)
    local ends = text:sub(-1) == "\n"
    pass(self, key, stream, ends and text:sub(1, -2) or text, not ends)
  end)
  held:close()
end

local function release_in_order(self, ended)
  self.order:finish(ended)
  if self.opened == ended then self:shut(ended) end
  local first = self.order:first()
  while first and self.order:is_finished(first) do
    self:release(first)
    self:shut(first)
    self.order:drop_first()
    first = self.order:first()
  end
  if first then self:release(first) end
end

function output_group:before(event)
  if event.event == "step_started" then self.started[event.key] = true end
  if not self.order then return end
  if event.event == "run_started" then self.order:plan(event.steps) end
  if event.event == "step_added" then self.order:add_before(event.key, event.by) end
end

function output_group:after(event)
  if event.event ~= "step_finished" then return end
  if self.order then
    release_in_order(self, event.key)
  else
    self:release(event.key)
    self:shut(event.key)
  end
end

-- What is held goes out, of steps that have not ended too.
function output_group:close()
  local keys = {}
  for key in pairs(self.held) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    self:release(key)
    self:shut(key)
  end
  if self.opened then self:shut(self.opened) end
  self.plain:close()
end

return output_group
