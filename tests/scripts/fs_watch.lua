-- fs.watch with real files: what is told, for which paths, and how a watcher ends.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, misuse = check.equal, check.same, check.misuse

local fs = require "perilune.fs"

local function with_folder(body)
  return function()
    local folder = fs.temp_dir()
    local _ <close> = peri.defer(function() fs.remove(folder, { recursive = true }) end)
    body(folder)
  end
end

-- The next event as "kind path", below the folder; repeated modifications as one.
local function told(w, folder, count)
  local list = {}
  while #list < count do
    local event = w:next()
    local text = event.kind .. " " .. event.path:sub(#folder + 2) .. (event.from and " " .. event.from:sub(#folder + 2) or "")
    if list[#list] ~= text then list[#list + 1] = text end
  end
  return list
end

local function put(path, text) fs.write(path, text, { atomic = false }) end

case("files of a folder are created, modified, renamed, removed", with_folder(function(folder)
  local w <close> = fs.watch(folder)
  put(folder .. "/a", "1")
  fs.rename(folder .. "/a", folder .. "/b\n")
  fs.remove(folder .. "/b\n")
  same(told(w, folder, 4), { "created a", "modified a", "renamed b\n a", "removed b\n" })
end))

case("recursive: folders that come later are watched too, and what they already hold is told once", with_folder(function(folder)
  local w <close> = fs.watch(folder, { recursive = true })
  fs.mkdir(folder .. "/x/y/z", { recursive = true })
  same(told(w, folder, 3), { "created x", "created x/y", "created x/y/z" })
  put(folder .. "/x/y/z/f", "")
  same(told(w, folder, 1), { "created x/y/z/f" })
  fs.rename(folder .. "/x/y", folder .. "/w")
  put(folder .. "/w/z/g", "")
  same(told(w, folder, 2), { "renamed w x/y", "created w/z/g" })
end))

case("a file is watched by its name", with_folder(function(folder)
  local path = folder .. "/config"
  put(path, "old")
  local w <close> = fs.watch(path)
  put(folder .. "/other", "")
  fs.write(path, "new")
  same(told(w, folder, 1), { "created config" })
end))

case("debounce tells once what happened to a path", with_folder(function(folder)
  local w <close> = fs.watch(folder, { debounce = 0.02 })
  put(folder .. "/gone", "")
  for i = 1, 5 do put(folder .. "/f", i) end
  fs.remove(folder .. "/gone")
  same(told(w, folder, 1), { "created f" })
  equal(peri.try_select { w:next_op() }, nil)
end))

case("ends when it is closed, and when the folder is gone", with_folder(function(folder)
  local w = fs.watch(folder)
  local waiting = peri.spawn(function() return w:next() end)
  peri.yield()
  w:close()
  w:close()
  same({ waiting:await() }, { nil, "closed" })
  fs.mkdir(folder .. "/sub")
  local kinds = {}
  local v = fs.watch(folder .. "/sub")
  fs.remove(folder .. "/sub")
  for event in v:events() do kinds[#kinds + 1] = event.kind end
  same(kinds, { "removed" })
end))

case("what cannot be watched is an error, misuse is the caller's", with_folder(function(folder)
  local ok, e = pcall(fs.watch, folder .. "/none")
  same({ ok, e.kind, e.code }, { false, "io", "ENOENT" })
  misuse("unknown option 'recursiv' to 'watch'", function() fs.watch("/", { recursiv = true }) end)
  misuse("bad option 'debounce' to 'watch' (seconds expected, got -1)", function() fs.watch("/", { debounce = -1 }) end)
end))
