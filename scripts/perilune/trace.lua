-- perilune.trace: what the tasks of this worker do, as a trace for Perfetto or chrome://tracing: a row for each task with its
-- turns and waits, and the spans that end meanwhile. Nothing is recorded, and nothing costs, while no recording is open.
local peri = require "perilune"
local native = require "perilune.native.trace"
local checks = require "perilune.native.options"
local error, getmetatable, setmetatable, tostring, type = error, getmetatable, setmetatable, tostring, type

local trace = {}
local names = { "path", "limit" }
local default_limit <const> = 200000 -- events, of about 120 bytes each

local recording = { __name = "perilune.recording" }
recording.__index = recording

function trace.start(options)
  if options == nil then options = {} end
  if type(options) ~= "table" then
    error("bad argument #1 to 'start' (a table of options expected, got " .. type(options) .. ")", 2)
  end
  local problem = checks.problem(options, "start", names)
  if problem then error(problem, 2) end
  if options.path ~= nil and type(options.path) ~= "string" then
    error("bad option 'path' to 'start' (a path expected, got " .. type(options.path) .. ")", 2)
  end
  local limit = checks.count(options.limit == nil and default_limit or options.limit, 1)
  if not limit then
    error("bad option 'limit' to 'start' (a positive integer expected, got " .. tostring(options.limit) .. ")", 2)
  end
  if not native.start(limit) then error("a trace is being recorded already", 2) end
  return setmetatable({ path = options.path }, recording)
end

-- Ends the recording and returns the trace as JSON; writes it, too, when `start` was given a path. Later calls return the same.
function recording:stop()
  if getmetatable(self) ~= recording then error("bad argument #1 to 'stop' (a recording expected: call it with ':')", 2) end
  if not self.text then
    self.text = native.stop()
    if self.path then peri.fs.write(self.path, self.text) end
  end
  return self.text
end

-- One that nobody holds any more ends, and what it has recorded is gone.
function recording:__gc()
  if not self.text then self.text = native.stop() end
end

function recording:__close() peri.shield(self.stop, self) end

return trace
