-- perilune.log: one line per record on standard error, as text or as JSON, with time, level, task and sorted fields.
--
-- PERILUNE_LOG_LEVEL and PERILUNE_LOG_FORMAT set what holds at the start. Logging never raises for what is logged.
local write = require "perilune.native.log"
local data = require("perilune").data
local stderr = io and io.stderr
local write_to = stderr and stderr.write -- not what Lua steps of pipelines have in its place
local error, getmetatable, next, pcall, tostring, type = error, getmetatable, next, pcall, tostring, type

local ranks = { debug = 1, info = 2, warn = 3, error = 4, off = 5 }
local current, threshold, as_json = "info", ranks.info, false

-- Two fields of the module: sink_ takes each line instead of standard error while somebody paints on the terminal there; mask_
-- hides in each what must not be shown.

local plain_types = { string = true, number = true, boolean = true, ["nil"] = true }

local function shown(value)
  local ok, text = pcall(tostring, value)
  return ok and text or "<" .. type(value) .. ">"
end

-- Whether the native half can write the value as it is.
local function is_plain(value)
  if plain_types[type(value)] then return true end
  local meta = getmetatable(value)
  return type(value) == "table" and not (type(meta) == "table" and meta.__tostring)
end

local function plain_fields(fields)
  for _, value in next, fields do
    if not is_plain(value) then
      local copy = {}
      for name, each in next, fields do
        if is_plain(each) then copy[name] = each else copy[name] = shown(each) end
      end
      return copy
    end
  end
  return fields
end

-- Where the innermost open span stands in the task-local data; see perilune.span.
local span_key = {}

-- The fields of a record with those of the span that is open, and its name and number. The record's own come first.
local function with_span(fields, span)
  local all = {}
  for name, value in next, span.fields do all[name] = value end
  for name, value in next, fields or all do all[name] = value end
  all.span, all.span_id = span.path, span.id
  return all
end

local log = { span_key_ = span_key }

local function write_line(line) write_to(stderr, line, "\n") end

local function writer(level)
  local rank = ranks[level]
  return function(message, fields)
    if rank < threshold then return end
    if fields ~= nil then
      if type(fields) ~= "table" then
        error("bad argument #2 to '" .. level .. "' (a table of fields expected, got " .. type(fields) .. ")", 2)
      end
    end
    local span = data[span_key]
    if span then fields = with_span(fields, span) end
    if fields then fields = plain_fields(fields) end
    local sink, mask = log.sink_ or log.mask_ and write_line, log.mask_
    local line = write(level, type(message) == "string" and message or shown(message), fields, as_json, sink ~= nil)
    if sink then sink(mask and mask(line) or line) end
  end
end

log.debug, log.info, log.warn, log.error = writer "debug", writer "info", writer "warn", writer "error"

-- Sets the least level that is written, when given. Returns the level in force before.
function log.level(name)
  local before = current
  if name ~= nil then
    if not ranks[name] then
      error("bad argument #1 to 'level' (debug, info, warn, error or off expected, got " .. shown(name) .. ")", 2)
    end
    current, threshold = name, ranks[name]
  end
  return before
end

-- Sets the format, "text" or "json", when given. Returns the format in force before.
function log.format(name)
  local before = as_json and "json" or "text"
  if name ~= nil then
    if name ~= "text" and name ~= "json" then
      error("bad argument #1 to 'format' (text or json expected, got " .. shown(name) .. ")", 2)
    end
    as_json = name == "json"
  end
  return before
end

-- Whether records of the level are written.
function log.enabled(level)
  if not ranks[level] or level == "off" then
    error("bad argument #1 to 'enabled' (debug, info, warn or error expected, got " .. shown(level) .. ")", 2)
  end
  return ranks[level] >= threshold
end

local function from_environment(variable, set)
  local value = os.getenv(variable)
  if value and value ~= "" and not pcall(set, value:lower()) then
    log.warn(variable .. " has a value that is not known", { value = value })
  end
end
from_environment("PERILUNE_LOG_FORMAT", log.format)
from_environment("PERILUNE_LOG_LEVEL", log.level)

return log
