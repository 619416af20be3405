-- The other side of `perilune top` and `perilune inspect`: a task of the program that is looked at, which answers at a socket with
-- what peri.tasks, resources, waits and stats say. It costs nothing until somebody asks.
local json = require "perilune.json"
local net = require "perilune.net"
local peri = require "perilune"
local programs = require "perilune.cli.programs"

local inspected = {}

local helper <const> = "inspect"

-- Tables that JSON has no form for become text.
local function plain(value, depth)
  if type(value) ~= "table" then return type(value) == "function" and tostring(value) or value end
  local made = {}
  for key, item in pairs(value) do
    if type(item) ~= "userdata" and depth < 6 then made[key] = plain(item, depth + 1) end
  end
  return made
end

local function without_helpers(tasks)
  local list = {}
  for _, task in ipairs(tasks) do
    if task.name ~= helper then list[#list + 1] = plain(task, 0) end
  end
  return json.array(list)
end

function inspected.snapshot(pid)
  return {
    pid = pid, command = arg and arg[0], stats = peri.stats(), tasks = without_helpers(peri.tasks()),
    resources = json.array(plain(peri.resources(), 0)), waits = json.array(plain(peri.waits(), 0)),
  }
end

local function answer(stream, pid)
  local _ <close> = stream
  for line in stream:lines() do
    if line ~= "snapshot" then return end
    stream:write(json.encode(inspected.snapshot(pid)), "\n")
  end
end

-- Listens at `path`, or where programs.lua looks; the calling task's end is its end.
function inspected.start(path)
  local pid = math.tointeger(tonumber(programs.own_pid()))
  local named = type(path) == "string" and path ~= "" and path ~= "1" and path ~= "true"
  local where = named and path or programs.folder(true) .. "/" .. pid .. ".sock"
  local listener = net.unix_listen(where)
  peri.spawn({ name = helper, daemon = true }, function()
    local _ <close> = listener
    while true do
      local stream = listener:accept()
      if not stream then return end
      peri.spawn({ name = helper, daemon = true }, answer, stream, pid)
    end
  end)
  return where
end

return inspected
