-- Which steps make which files. Alternatives may make the same one as long as one of them runs; where two do in one run, what is written
-- last counts, and the other is never up to date. That is a warning, once for a file.
local resolve = require "perilune.pipeline.resolve"
local text = require "perilune.pipeline.text"

local makers = {}
makers.__index = makers

function makers.new(folder) return setmetatable({ folder = folder, by_path = {} }, makers) end

-- One way to write each path; nil for a pattern and for what is not known yet: two of the same need not make the same.
local function plain(folder, path)
  if path:find("[%*%?%[]") or text.is_template(path) then return nil end
  path = path:gsub("//+", "/"):gsub("/%./", "/"):gsub("^%./", ""):gsub("/$", "")
  if path:sub(1, #folder + 1) == folder .. "/" then return path:sub(#folder + 2) end
  return path
end

-- A step makes these files, or finds that it has. Returns a warning where another does too, or nil.
function makers:claim(step, outputs)
  for _, path in ipairs(outputs) do
    local file = plain(self.folder, path)
    local other = file and self.by_path[file]
    if file and other == nil then self.by_path[file] = step.key end
    if other and other ~= step.key then
      self.by_path[file] = false
      return ("steps '%s' and '%s' both make %s: what is written last counts, and the other is never up to date"):format(other, step.key, file)
    end
  end
end

local function is_certain(step) return not step.condition and not step.each and (step.when == "success" or step.when == "always") end

-- The warnings that are certain before a run of a set of steps: {place, message}. scope: see run.lua; what it does not know stays open.
function makers.foreseen(pipeline, wanted, scope)
  local self, warnings = makers.new(pipeline.folder), {}
  for _, step in ipairs(pipeline.steps) do
    if wanted[step.key] and #step.outputs > 0 and is_certain(step) then
      local message = self:claim(step, text.expand_all(step.outputs, resolve.names(step, scope)))
      if message then warnings[#warnings + 1] = { place = step.place, message = message } end
    end
  end
  return warnings
end

return makers
