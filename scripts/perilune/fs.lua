-- Files and folders. Every call runs on the pool of threads while its task waits; failures raise error objects of kind
-- "io" with `code` ("ENOENT"). A task that is cancelled while it reads goes on at once; one that changes something waits
-- for the end of that change.
local peri = require "perilune"
local native = require "perilune.native.fs"

local call, type, error, setmetatable = native.call, type, error, setmetatable
local fs = {}

local function check(value, wanted, name, position, what)
  if type(value) ~= wanted then
    error(("bad argument #%d to '%s' (%s expected, got %s)"):format(position, name, what or wanted, type(value)), 3)
  end
end

local function check_path(path, name, position)
  check(path, "string", name, position or 1, "a path")
  if path:find("\0", 1, true) then
    error(("bad argument #%d to '%s' (a path holds no zero byte)"):format(position or 1, name), 3)
  end
end

local function check_options(options, name, position, known)
  if options == nil then return end
  check(options, "table", name, position, "a table of options")
  for key in pairs(options) do
    if not known[key] then
      local names = {}
      for option in pairs(known) do names[#names + 1] = option end
      table.sort(names)
      error(("bad option '%s' to '%s' (known: %s)"):format(tostring(key), name, table.concat(names, ", ")), 3)
    end
  end
end

local function check_bytes(bytes, name, position)
  if type(bytes) ~= "string" and type(bytes) ~= "number" then
    error(("bad argument #%d to '%s' (a string expected, got %s)"):format(position, name, type(bytes)), 3)
  end
  return tostring(bytes)
end

-- Whole files.

function fs.read(path)
  check_path(path, "read")
  return call("read", path)
end

-- Atomic unless `options.atomic` is false: readers see the old content or the new one, and a crash leaves one of them.
function fs.write(path, bytes, options)
  check_path(path, "write")
  bytes = check_bytes(bytes, "write", 2)
  check_options(options, "write", 3, { atomic = true })
  return call("write", path, bytes, options)
end

function fs.append(path, bytes)
  check_path(path, "append")
  return call("append", path, check_bytes(bytes, "append", 2))
end

-- Facts about a path.

function fs.stat(path, options)
  check_path(path, "stat")
  check_options(options, "stat", 2, { follow = true })
  return call("stat", path, nil, options)
end

function fs.exists(path)
  check_path(path, "exists")
  local ok, e = pcall(call, "stat", path)
  if ok then return true end
  if e.code == "ENOENT" or e.code == "ENOTDIR" then return false end
  error(e, 0)
end

function fs.real_path(path)
  check_path(path, "real_path")
  return call("real_path", path)
end

-- Folders.

-- Names in order, and a second list with the type of each.
function fs.list(path)
  check_path(path, "list")
  return call("list", path)
end

function fs.mkdir(path, options)
  check_path(path, "mkdir")
  check_options(options, "mkdir", 2, { recursive = true })
  return call("mkdir", path, nil, options)
end

function fs.remove(path, options)
  check_path(path, "remove")
  check_options(options, "remove", 2, { recursive = true })
  return call("remove", path, nil, options)
end

function fs.rename(from, to)
  check_path(from, "rename")
  check_path(to, "rename", 2)
  return call("rename", from, to)
end

function fs.copy(from, to)
  check_path(from, "copy")
  check_path(to, "copy", 2)
  return call("copy", from, to)
end

-- Temporary ones are the caller's to remove. `template` ends in XXXXXX.
function fs.temp_file(template)
  if template ~= nil then check_path(template, "temp_file") end
  return call("temp_file", template)
end

function fs.temp_dir(template)
  if template ~= nil then check_path(template, "temp_dir") end
  return call("temp_dir", template)
end

local function joined(folder, name)
  if folder == "" then return name end
  return folder:sub(-1) == "/" and folder .. name or folder .. "/" .. name
end

-- Lists one folder for walk: its entries, or the error in its place.
local function entries_of(path)
  local ok, names, types = pcall(call, "list", path)
  if ok then return names, types end
  return nil, nil, names
end

local function type_of(path, known)
  if known ~= "unknown" then return known end
  local ok, facts = pcall(call, "stat", path, nil, { follow = false })
  return ok and facts.type or "unknown"
end

-- `for path, entry in fs.walk(root) do`: everything below root, folders before what is in them, names in order. entry has
-- `type`, `name`, `depth`; a folder that cannot be read comes once more, with `error`. Symbolic links are not followed.
function fs.walk(root, options)
  check_path(root, "walk")
  check_options(options, "walk", 2, { depth = true })
  local deepest = options and options.depth or math.huge
  local stack = {}
  local function enter(path, depth)
    local names, types, problem = entries_of(path)
    if problem then return path, { type = "directory", name = path, depth = depth, error = problem } end
    stack[#stack + 1] = { path = path, names = names, types = types, at = 0, depth = depth }
  end
  local pending = root
  return function()
    if pending then
      local path = pending
      pending = nil
      local failed, entry = enter(path, #stack)
      if failed then return failed, entry end
    end
    while #stack > 0 do
      local folder = stack[#stack]
      folder.at = folder.at + 1
      local name = folder.names[folder.at]
      if name then
        local path = joined(folder.path, name)
        local kind = type_of(path, folder.types[folder.at])
        if kind == "directory" and #stack < deepest then pending = path end
        return path, { type = kind, name = name, depth = #stack }
      end
      stack[#stack] = nil
    end
  end
end

-- Globs: * and ? within a name, [abc], ** for any number of folders.

local function name_pattern(part)
  local out, i = { "^" }, 1
  while i <= #part do
    local c = part:sub(i, i)
    local set, set_end = part:match("^%[([!^]?%]?[^%]]*)%]()", i)
    if c == "*" then
      out[#out + 1] = ".*"
    elseif c == "?" then
      out[#out + 1] = "."
    elseif c == "[" and set then
      out[#out + 1] = "[" .. set:gsub("^!", "^"):gsub("%%", "%%%%") .. "]"
      i = set_end - 1
    else
      out[#out + 1] = c:gsub("%W", "%%%0")
    end
    i = i + 1
  end
  out[#out + 1] = "$"
  return table.concat(out)
end

local function expand(found, folder, parts, index)
  local part = parts[index]
  if not part then
    found[#found + 1] = folder
    return
  end
  if part == "**" then
    expand(found, folder, parts, index + 1)
  elseif not part:find("[*?%[]") then
    local path = joined(folder, part)
    if fs.exists(path) then expand(found, path, parts, index + 1) end
    return
  end
  local names, types = entries_of(folder == "" and "." or folder)
  if not names then return end
  local pattern = part ~= "**" and name_pattern(part)
  for i, name in ipairs(names) do
    local hidden = name:sub(1, 1) == "." and part:sub(1, 1) ~= "."
    local path = joined(folder, name)
    if not hidden and pattern and name:find(pattern) then
      expand(found, path, parts, index + 1)
    elseif not hidden and not pattern and type_of(path, types[i]) == "directory" then
      expand(found, path, parts, index)
    end
  end
end

-- A sorted list of the paths that match.
function fs.glob(pattern)
  check_path(pattern, "glob")
  local parts = {}
  for part in pattern:gmatch("[^/]+") do parts[#parts + 1] = part end
  local found, seen, result = {}, {}, {}
  expand(found, pattern:sub(1, 1) == "/" and "/" or "", parts, 1)
  for _, path in ipairs(found) do
    if path ~= "" and not seen[path] then
      seen[path] = true
      result[#result + 1] = path
    end
  end
  table.sort(result)
  return result
end

-- Open files.

local chunk = 65536
local file = {}
file.__index = file
file.__name = "perilune.file"

local function descriptor_of(self)
  if not native.is_open(self.descriptor) then error("the file is closed", 3) end
  return self.descriptor
end

-- Reads more into the buffer. False at the end.
local function fill(self, descriptor)
  local bytes, at_end = call("read_some", descriptor, nil, { amount = chunk })
  self.buffer = self.buffer .. bytes
  return not at_end
end

local function take(self, length, drop)
  local bytes = self.buffer:sub(1, length)
  self.buffer = self.buffer:sub(length + (drop or 0) + 1)
  return bytes
end

local function read_line(self, descriptor)
  local from = 1
  while true do
    local newline = self.buffer:find("\n", from, true)
    if newline then return take(self, newline - 1, 1) end
    from = #self.buffer + 1
    if not fill(self, descriptor) then
      if self.buffer == "" then return nil end
      return take(self, #self.buffer)
    end
  end
end

local function read_rest(self, descriptor)
  local parts = { self.buffer }
  self.buffer = ""
  while true do
    local bytes, at_end = call("read_some", descriptor, nil, { amount = chunk })
    if at_end then return table.concat(parts) end
    parts[#parts + 1] = bytes
  end
end

-- read(n): up to n bytes, nil at the end; read("line"): without its newline, nil at the end; read("all").
function file:read(what)
  local descriptor = descriptor_of(self)
  if what == nil or what == "line" then return read_line(self, descriptor) end
  if what == "all" then return read_rest(self, descriptor) end
  if math.type(what) ~= "integer" or what < 0 then
    error("bad argument #1 to 'read' (a count of bytes, \"line\" or \"all\" expected)", 2)
  end
  while #self.buffer < what and fill(self, descriptor) do end
  if self.buffer == "" and what > 0 then return nil end
  return take(self, what)
end

function file:write(bytes)
  bytes = check_bytes(bytes, "write", 1)
  if self.buffer ~= "" then self:seek("cur", 0) end
  return call("write_some", descriptor_of(self), bytes)
end

local whences = { set = 0, cur = 1, ["end"] = 2 }

-- seek([whence [, offset]]) -> position, as io's.
function file:seek(whence, offset)
  whence, offset = whence or "cur", offset or 0
  if not whences[whence] then error("bad argument #1 to 'seek' (\"set\", \"cur\" or \"end\" expected)", 2) end
  check(offset, "number", "seek", 2)
  if whence == "cur" then offset = offset - #self.buffer end
  self.buffer = ""
  return call("seek", descriptor_of(self), nil, { amount = math.tointeger(offset), whence = whences[whence] })
end

function file:lines()
  return function() return self:read("line") end
end

function file:close()
  if not native.is_open(self.descriptor) then return true end
  return call("close", self.descriptor)
end

function file:__close()
  if native.is_open(self.descriptor) then peri.shield(file.close, self) end
end

local modes = { r = true, w = true, a = true, ["r+"] = true, ["w+"] = true, ["a+"] = true }

function fs.open(path, mode)
  check_path(path, "open")
  mode = mode or "r"
  if not modes[type(mode) == "string" and mode:gsub("b", "") or mode] then
    error("bad argument #2 to 'open' (\"r\", \"w\", \"a\", \"r+\", \"w+\" or \"a+\" expected)", 2)
  end
  return setmetatable({ descriptor = call("open", path, mode), buffer = "", path = path }, file)
end

-- `for line in fs.lines(path) do`: the file is closed when the loop is left.
function fs.lines(path)
  check_path(path, "lines")
  local opened = fs.open(path)
  return opened:lines(), nil, nil, opened
end

return fs
