-- What small files hold, read ahead of the steps that will ask, on a thread of the pool: deciding about many steps that are up to
-- date waits for no disk. It counts only until a step runs, which may change any file. Owned by the execution.
local peri = require "perilune"
local hash = require "perilune.hash"

local foresight = {}
foresight.__index = foresight

local portion <const> = 1024 -- files read in one go

-- The names, relative to the pipeline's folder, that steps have without templates, each once.
local function names_of(steps)
  local names, seen = {}, {}
  local function add(list)
    for i = 1, #list do
      local name = list[i]
      if not seen[name] then names[#names + 1], seen[name] = name, true end
    end
  end
  for _, step in ipairs(steps) do
    if #step.names == 0 then
      add(step.inputs)
      add(step.outputs)
    end
  end
  return names
end

local function read_on(self, steps, folder)
  local names = names_of(steps)
  for from = 1, #names, portion do
    local some = table.move(names, from, math.min(from + portion - 1, #names), 1, {})
    local contents = hash.ahead_(some, folder)
    local known = self.known
    if not known then return end
    for i, name in ipairs(some) do
      if contents[i] ~= "" then known[name] = contents[i] end
    end
  end
end

-- Begins to read what the steps name; `known` is {name = hash} of what has been read.
function foresight.new(steps, folder)
  local self = setmetatable({ known = {} }, foresight)
  self.reading = peri.spawn({ name = "read ahead", daemon = true }, read_on, self, steps, folder)
  return self
end

-- From now on files may change.
function foresight:drop()
  self.known = nil
  self.reading:cancel()
end
foresight.__close = foresight.drop

return foresight
