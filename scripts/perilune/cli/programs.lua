-- The programs that let others look inside: each listens at a socket named after its process in a folder of this user's. Here is
-- where that folder is, who listens there, and how to ask.
local env = require "perilune.env"
local fs = require "perilune.fs"
local json = require "perilune.json"
local net = require "perilune.net"
local text = require "perilune.pipeline.text"

local programs = {}

-- The folder for sockets; `make` makes it. One in /tmp that is not this user's is refused.
function programs.folder(make)
  local above = env.get("XDG_RUNTIME_DIR")
  local user = fs.stat("/proc/self").owner
  local folder = above and above ~= "" and above .. "/perilune" or "/tmp/perilune-" .. user
  if make and not fs.exists(folder) then fs.mkdir(folder, { recursive = true }) end
  if fs.exists(folder) and fs.stat(folder, { follow = false }).owner ~= user then
    text.refuse(70, "%s belongs to somebody else", folder)
  end
  return folder
end

function programs.own_pid() return fs.read("/proc/self/stat"):match("^%d+") end

local function command_of(pid)
  local ok, words = pcall(fs.read, "/proc/" .. pid .. "/cmdline")
  return ok and words:gsub("%z+", " "):gsub(" $", "") or nil
end

-- Those that run: {pid =, path =, command =}.
function programs.list()
  local folder, found = programs.folder(), {}
  for _, name in ipairs(fs.exists(folder) and fs.list(folder) or {}) do
    local pid = name:match("^(%d+)%.sock$")
    local command = pid and command_of(pid)
    if command then found[#found + 1] = { pid = math.tointeger(tonumber(pid)), path = folder .. "/" .. name, command = command } end
  end
  return found
end

-- The socket that a word means: a path, a process, or the only program there is.
function programs.find(word)
  if word and word:find("/", 1, true) then
    return programs.snapshot_text(word) and word or text.refuse(2, "nobody answers at %s", word)
  end
  local found = programs.list()
  if word then
    for _, one in ipairs(found) do
      if tostring(one.pid) == word then return one.path end
    end
    text.refuse(2, "process %s lets nobody look inside; start it with --inspect, or with PERILUNE_INSPECT=1", word)
  end
  if #found == 1 then return found[1].path end
  if #found == 0 then text.refuse(2, "no program lets itself be looked at; start one with --inspect, or with PERILUNE_INSPECT=1") end
  local lines = { "several programs run; which one?" }
  for _, one in ipairs(found) do lines[#lines + 1] = ("  %d  %s"):format(one.pid, one.command) end
  text.refuse(2, "%s", table.concat(lines, "\n"))
end

-- One snapshot as text: a line of JSON; nil where the program has ended.
function programs.snapshot_text(path)
  local ok, stream = pcall(net.unix_connect, path, { timeout = 5 })
  if not ok then return nil end
  local _ <close> = stream
  stream:write("snapshot\n")
  return stream:read("line")
end

function programs.snapshot(path)
  local line = programs.snapshot_text(path)
  return line and json.decode(line)
end

return programs
