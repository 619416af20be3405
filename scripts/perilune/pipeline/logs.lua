-- What the steps of a run have printed, from their logs; of a run under way also what they print from now on.
local fs = require "perilune.fs"
local peri = require "perilune"

local look_again_seconds <const> = 0.1

local reader = {}
reader.__index = reader

-- The logs that exist: a list of {key, path}; those of steps that have ended in the order of their beginnings, then the others.
local function existing(store, run)
  local list, known = {}, {}
  for _, step in ipairs(store:steps_of(run)) do
    if step.log then
      known[step.log] = true
      list[#list + 1] = { key = step.key, path = step.log }
    end
  end
  local folder = store:log_folder(run)
  if not fs.exists(folder) then return list end
  for _, name in ipairs(fs.list(folder)) do
    local path = folder .. "/" .. name
    if not known[path] and name:match("%.log$") then list[#list + 1] = { key = name:gsub("%.log$", ""), path = path } end
  end
  return list
end

-- Prints what a log has beyond what was printed; says whose it is where the log before was another's.
function reader:print(log)
  local file <close> = io.open(log.path, "rb")
  if not file then return end
  file:seek("set", self.printed[log.path] or 0)
  local bytes = file:read("a")
  if bytes == "" then return end
  self.printed[log.path] = file:seek()
  if (self.headings or log.key ~= self.step) and self.last ~= log.path then io.write(self.mid_line and "\n" or "", "== ", log.key, "\n") end
  self.last, self.mid_line = log.path, bytes:sub(-1) ~= "\n"
  io.write(bytes)
end

-- Whether a key is that of a row of a matrix, or of an item of a fan-out, of a name.
local function is_of(key, name) return key:sub(1, #name + 1) == name .. "[" and key:sub(-1) == "]" end

function reader:print_all()
  for _, log in ipairs(existing(self.store, self.run)) do
    if not self.step or log.key == self.step or log.path == self.store:log_path(self.run, self.step) or is_of(log.key, self.step) then
      self.found = true
      self:print(log)
    end
  end
  io.flush()
end

-- Prints the logs of a run, or of one step of it with its rows and items; with `follow` until the run is over. Returns whether there was any.
return function(store, run, step, follow)
  local self = setmetatable({ store = store, run = run, step = step, headings = step == nil, printed = {} }, reader)
  while follow and store:run(run).status == "running" do
    self:print_all()
    peri.sleep(look_again_seconds)
  end
  self:print_all()
  return self.found == true
end
