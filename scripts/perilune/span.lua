-- peri.span: a named stretch of a task's work. Records that are logged inside carry its name, number and fields, in the tasks
-- spawned inside too, and however often the task waits. Its end is a record of level debug, with a status and its seconds.
--
-- The innermost open span stands in the task-local data, which children inherit.
local peri = require "perilune"
local log = require "perilune.log"
local callable = require("perilune.native.options").callable
local error, next, setmetatable, type = error, next, setmetatable, type

local note_span = require("perilune.native.trace").span
local key = log.span_key_
local data, now, is_error = peri.data, peri.now, peri.is_error
local last_id = 0

local span = {}

local function status_of(e)
  if e == nil then return "ok" end
  return is_error(e) and e.kind or "error"
end

function span:__close(e)
  local status, seconds = status_of(e), now() - self.began
  log.debug("span ended", { status = status, seconds = seconds })
  note_span(self.path, self.id, seconds, status)
  data[key] = self.outer
end

local function open(name, fields)
  local outer = data[key]
  last_id = last_id + 1
  local self = { id = last_id, path = outer and outer.path .. ":" .. name or name, fields = {}, outer = outer, began = now() }
  for field, value in next, outer and outer.fields or {} do self.fields[field] = value end
  for field, value in next, fields or {} do self.fields[field] = value end
  data[key] = self
  return setmetatable(self, span)
end

return function(name, fields, fn, ...)
  if type(name) ~= "string" then error("bad argument #1 to 'span' (a name expected, got " .. type(name) .. ")", 2) end
  if fields ~= nil and type(fields) ~= "table" then
    error("bad argument #2 to 'span' (a table of fields or nil expected, got " .. type(fields) .. ")", 2)
  end
  if not callable(fn) then error("bad argument #3 to 'span' (a function expected, got " .. type(fn) .. ")", 2) end
  local _ <close> = open(name, fields)
  return fn(...)
end
