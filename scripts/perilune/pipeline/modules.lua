-- The Lua modules of a pipeline: those beside its file and beside the files of its Lua steps are found from wherever it is run.
-- Whoever reads a pipeline again wants them read again too.
local modules = {}

local folders, of_program = {}, nil

local function patterns(folder) return folder .. "/?.lua;" .. folder .. "/?/init.lua" end

local function names()
  local set = {}
  for name in pairs(package.loaded) do set[name] = true end
  return set
end

-- From now on modules are looked for in a folder as well, and first.
function modules.search(folder)
  of_program = of_program or names()
  if folders[folder] then return end
  folders[folder] = true
  package.path = patterns(folder) .. ";" .. package.path
end

-- {name = path} of those that have been loaded from these folders.
function modules.loaded()
  local found = {}
  for name in pairs(names()) do
    local foreign = not of_program or of_program[name] or type(name) ~= "string" or name:find("^perilune%f[%W]")
    for folder in pairs(foreign and {} or folders) do found[name] = found[name] or package.searchpath(name, patterns(folder)) end
  end
  return found
end

-- The next `require` reads them again.
function modules.forget()
  for name in pairs(modules.loaded()) do package.loaded[name] = nil end
end

return modules
