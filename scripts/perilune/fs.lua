-- Files and folders. Every call runs on the pool of threads while its task waits; failures raise error objects of kind
-- "io" with `code` ("ENOENT"). A task that is cancelled while it reads goes on at once; one that changes something waits
-- for the end of that change.
local peri = require "perilune"
local native = require "perilune.native.fs"

local error, getmetatable, pcall, setmetatable, tostring, type = error, getmetatable, pcall, setmetatable, tostring, type
local as_count, check_options, concat = require("perilune.native.options").count, require("perilune.options").check, table.concat
local fs = {}

-- The checks raise at the line of the call that a script made of the public function around them.
local function check(value, wanted, name, position, what, level)
  if type(value) ~= wanted then
    error(("bad argument #%d to '%s' (%s expected, got %s)"):format(position, name, what or wanted, type(value)), level or 3)
  end
end

local function check_path(path, name, position)
  check(path, "string", name, position or 1, "a path", 4)
  if path:find("\0", 1, true) then
    error(("bad argument #%d to '%s' (a path holds no zero byte)"):format(position or 1, name), 3)
  end
end

local function check_bytes(bytes, name, position)
  if type(bytes) ~= "string" and type(bytes) ~= "number" then
    error(("bad argument #%d to '%s' (a string expected, got %s)"):format(position, name, type(bytes)), 3)
  end
  return tostring(bytes)
end

-- What only one task at a time may do: the others wait their turn. `local _ <close> = turns()`.
local release = { __close = function(turn) turn.held:try_recv() end }
local function one_at_a_time()
  local turn = setmetatable({ held = peri.channel(1) }, release)
  return function()
    turn.held:send(true)
    return turn
  end
end

-- Whole files.

function fs.read(path)
  check_path(path, "read")
  return native.read(path)
end

-- Atomic unless `options.atomic` is false: readers see the old content or the new one, and a crash leaves one of them.
function fs.write(path, bytes, options)
  check_path(path, "write")
  bytes = check_bytes(bytes, "write", 2)
  options = check_options(options, "write", 3, { atomic = "boolean" }, 2)
  return native.write(path, bytes, options.atomic)
end

function fs.append(path, bytes)
  check_path(path, "append")
  return native.append(path, check_bytes(bytes, "append", 2))
end

-- Facts about a path.

function fs.stat(path, options)
  check_path(path, "stat")
  options = check_options(options, "stat", 2, { follow = "boolean" }, 2)
  return native.stat(path, options.follow)
end

function fs.exists(path)
  check_path(path, "exists")
  local ok, e = pcall(native.stat, path)
  if ok then return true end
  if e.code == "ENOENT" or e.code == "ENOTDIR" then return false end
  error(e, 0)
end

function fs.real_path(path)
  check_path(path, "real_path")
  return native.real_path(path)
end

-- Folders.

-- Names in order, and a second list with the type of each.
function fs.list(path)
  check_path(path, "list")
  return native.list(path)
end

function fs.mkdir(path, options)
  check_path(path, "mkdir")
  options = check_options(options, "mkdir", 2, { recursive = "boolean" }, 2)
  return native.mkdir(path, options.recursive)
end

function fs.remove(path, options)
  check_path(path, "remove")
  options = check_options(options, "remove", 2, { recursive = "boolean" }, 2)
  return native.remove(path, options.recursive)
end

function fs.rename(from, to)
  check_path(from, "rename")
  check_path(to, "rename", 2)
  return native.rename(from, to)
end

function fs.copy(from, to, options)
  check_path(from, "copy")
  check_path(to, "copy", 2)
  options = check_options(options, "copy", 3, { recursive = "boolean", overwrite = "boolean" }, 2)
  return native.copy(from, to, options.recursive, options.overwrite)
end

-- Temporary ones are the caller's to remove.

local temp_options = { folder = "string", prefix = "string" }

function fs.temp_file(options)
  options = check_options(options, "temp_file", 1, temp_options, 2)
  return native.temp_file(options.folder, options.prefix or "perilune-")
end

function fs.temp_dir(options)
  options = check_options(options, "temp_dir", 1, temp_options, 2)
  return native.temp_dir(options.folder, options.prefix or "perilune-")
end

-- `for path, entry in fs.walk(root) do`: everything below root, folders before what is in them, names in order. entry has
-- `type`, `name`, `depth`, and `error` for a folder that cannot be read. Several tasks may share one walk.
function fs.walk(root, options)
  check_path(root, "walk")
  options = check_options(options, "walk", 2, { depth = "number", follow = "boolean" }, 2)
  local depth = options.depth
  if depth == math.huge then depth = nil end
  if depth and not as_count(depth, 1) then
    error(("bad option 'depth' to 'walk' (a positive integer expected, got %s)"):format(tostring(depth)), 2)
  end
  local walk, turn = native.walk(root, depth, options.follow), one_at_a_time()
  local paths, entries, at = {}, {}, 0
  local function fetch()
    local _ <close> = turn()
    if at < #paths then return end
    paths, entries = native.walk_next(walk)
    at = 0
  end
  return function()
    if at >= #paths then fetch() end
    at = at + 1
    return paths[at], entries[at]
  end
end

-- The paths that match: * and ? within a name, [abc], ** for any number of folders. In the order of a walk.
function fs.glob(pattern)
  check_path(pattern, "glob")
  return native.glob(pattern)
end

-- What happens at `path` from now on, as events {kind, path}: w:next(), w:next_op(), `for event in w:events() do`.
function fs.watch(path, options)
  check_path(path, "watch")
  options = check_options(options, "watch", 2, { recursive = "boolean", debounce = "number" }, 2)
  local debounce = options.debounce or 0
  if not (debounce >= 0 and debounce < math.huge) then
    error(("bad option 'debounce' to 'watch' (seconds expected, got %s)"):format(tostring(debounce)), 2)
  end
  return native.watch(path, options.recursive, debounce)
end

-- Open files.

-- A file keeps what it has read ahead; tasks that share it take turns.
local file = {}
file.__index = file
file.__name = "perilune.file"

local function check_file(self, level)
  if getmetatable(self) ~= file then error("bad argument #1 (a file expected: call it with ':')", level) end
end

local function descriptor_of(self)
  check_file(self, 4)
  if not self.descriptor then error("the file is closed", 3) end
  return self.descriptor
end

-- Reads more into the buffer. False at the end.
local function fill(self)
  local bytes = native.read_some(self.descriptor)
  self.buffer = self.buffer .. bytes
  return bytes ~= ""
end

local function take(self, length, drop)
  local bytes = self.buffer:sub(1, length)
  self.buffer = self.buffer:sub(length + (drop or 0) + 1)
  return bytes
end

local function read_line(self)
  local from = 1
  while true do
    local newline = self.buffer:find("\n", from, true)
    if newline then return take(self, newline - 1, 1) end
    from = #self.buffer + 1
    if not fill(self) then
      if self.buffer == "" then return nil end
      return take(self, #self.buffer)
    end
  end
end

local function read_rest(self)
  local parts = { self.buffer }
  self.buffer = ""
  repeat
    local bytes = native.read_some(self.descriptor)
    parts[#parts + 1] = bytes
  until bytes == ""
  return concat(parts)
end

local function read_bytes(self, count)
  while #self.buffer < count and fill(self) do end
  if self.buffer == "" and count > 0 then return nil end
  return take(self, count)
end

-- read(n): n bytes, fewer at the end and then nil; read("line"): without its newline, nil at the end; read("all").
function file:read(what)
  descriptor_of(self)
  local bytes = as_count(what, 0)
  if what ~= nil and what ~= "line" and what ~= "all" and not bytes then
    error("bad argument #1 to 'read' (a count of bytes, \"line\" or \"all\" expected, got " .. tostring(what) .. ")", 2)
  end
  local _ <close> = self.turn()
  if bytes then return read_bytes(self, bytes) end
  return what == "all" and read_rest(self) or read_line(self)
end

-- Where the script is: reading ahead has moved the descriptor.
local function step_back(self)
  if self.buffer == "" then return end
  native.seek(self.descriptor, -#self.buffer, 1)
  self.buffer = ""
end

function file:write(bytes)
  descriptor_of(self)
  bytes = check_bytes(bytes, "write", 1)
  local _ <close> = self.turn()
  step_back(self)
  native.write_some(self.descriptor, bytes)
  return self
end

function file:flush()
  native.flush(descriptor_of(self))
  return self
end

local whences = { set = 0, cur = 1, ["end"] = 2 }

-- seek([whence [, offset]]) -> position, as io's.
function file:seek(whence, offset)
  whence, offset = whence or "cur", offset or 0
  if not whences[whence] then error("bad argument #1 to 'seek' (\"set\", \"cur\" or \"end\" expected)", 2) end
  if not math.tointeger(offset) then error("bad argument #2 to 'seek' (an integer expected, got " .. tostring(offset) .. ")", 2) end
  descriptor_of(self)
  local _ <close> = self.turn()
  step_back(self)
  return native.seek(self.descriptor, math.tointeger(offset), whences[whence])
end

function file:lines()
  descriptor_of(self)
  return function() return self:read("line") end
end

-- Idempotent. An error that only closing reveals (a disk over its quota) is raised.
function file:close()
  check_file(self, 3)
  local descriptor = self.descriptor
  self.descriptor = nil
  if descriptor then peri.shield(native.close, descriptor) end
end

file.__close = file.close

local modes = { r = true, w = true, a = true, ["r+"] = true, ["w+"] = true, ["a+"] = true }

function fs.open(path, mode)
  check_path(path, "open")
  mode = mode or "r"
  if not modes[type(mode) == "string" and mode:gsub("b", "") or mode] then
    error("bad argument #2 to 'open' (\"r\", \"w\", \"a\", \"r+\", \"w+\" or \"a+\" expected, got " .. tostring(mode) .. ")", 2)
  end
  return setmetatable({ descriptor = native.open(path, mode), buffer = "", turn = one_at_a_time(), path = path }, file)
end

-- `for line in fs.lines(path) do`: the file is closed when the loop is left.
function fs.lines(path)
  check_path(path, "lines")
  local opened = fs.open(path)
  return opened:lines(), nil, nil, opened
end

return fs
