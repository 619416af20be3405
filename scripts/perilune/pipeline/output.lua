-- Chooses how a run is shown: to whom, in which order, with which colors.
local style = require "perilune.pipeline.style"

local output = {}

local function text_on(place, record, reader, options)
  return require("perilune.pipeline.output_text").new(place, record, reader, style.new(reader.color_err, reader.unicode), options)
end

local makers = {}

function makers.json() return require("perilune.pipeline.output_json").new() end

function makers.prefix(reader, record)
  return text_on(require("perilune.pipeline.output_plain").new(), record, reader, { starts = true })
end

function makers.group(reader, record)
  return text_on(require("perilune.pipeline.output_group").new(reader, false), record, reader, { starts = true, bare = true })
end

makers["keep-order"] = function(reader, record)
  return text_on(require("perilune.pipeline.output_group").new(reader, true), record, reader, { starts = true, bare = true })
end

function makers.live(reader, record, durations)
  local shown_style = style.new(reader.color_err, reader.unicode)
  local place = require("perilune.pipeline.output_live").new(reader, shown_style, durations())
  return require("perilune.pipeline.output_text").new(place, record, reader, shown_style, { marks = true })
end

local opened = {}
opened.__index = opened

-- What shows a run: `shown.listener` for its events; to be closed on every way out, since it may hold lines back.
-- reader: see terminal.lua; record: filled before this listener hears of an event; durations: returns {key = seconds} of
-- earlier runs.
function output.open(reader, record, durations)
  local shown = makers[reader.mode](reader, record, durations)
  return setmetatable({ shown = shown, listener = function(event) shown:hear(event) end }, opened)
end

-- A problem of the runner's own.
function opened:complain(problem)
  for line in problem:gmatch("[^\n]+") do io.stderr:write("perilune: ", line, "\n") end
end

function opened:close()
  if self.shown then self.shown:close() end
  self.shown = nil
end
opened.__close = opened.close

return output
