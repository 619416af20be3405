-- perilune.fs on real files and folders: whole files, facts, folders, walks, globs, what is refused.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, contains, misuse = check.equal, check.same, check.contains, check.misuse

local fs = require "perilune.fs"

-- Runs `body` with a folder of its own, which is gone afterwards.
local function with_folder(body)
  return function()
    local folder = fs.temp_dir()
    local _ <close> = peri.defer(function() fs.remove(folder, { recursive = true }) end)
    body(folder)
  end
end

local function fails(code, text, fn, ...)
  local ok, e = pcall(fn, ...)
  equal(ok, false)
  check.kind(e, "io")
  equal(e.code, code)
  contains(e.message, text)
end

local function link(target, path)
  peri.process.run { argv = { "ln", "-s", target, path } }
end

case("files are written, appended to and read as they are", with_folder(function(folder)
  local path = folder .. "/f"
  for _, bytes in ipairs { "", "text", "\0\r\n\xff", ("x"):rep(3000000) } do
    fs.write(path, bytes)
    equal(fs.read(path) == bytes, true)
  end
  fs.write(path, 12)
  fs.append(path, "+")
  fs.append(folder .. "/new", "n")
  equal(fs.read(path) .. fs.read(folder .. "/new"), "12+n")
  fs.write(path, "in place", { atomic = false })
  equal(fs.read(path), "in place")
  same(fs.list(folder), { "f", "new" })
  equal(#fs.read("/proc/self/stat") > 10, true)
end))

case("errors are of kind io and name code, call and path", with_folder(function(folder)
  local none, file = folder .. "/none", folder .. "/file"
  fs.write(file, "")
  fails("ENOENT", "open " .. none, fs.read, none)
  fails("ENOENT", "stat " .. none, fs.stat, none)
  fails("ENOENT", "list " .. none, fs.list, none)
  fails("ENOENT", "remove " .. none, fs.remove, none)
  fails("ENOENT", "rename " .. none .. " to " .. file, fs.rename, none, file)
  fails("ENOENT", none, fs.copy, none, file)
  fails("ENOENT", none, fs.open, none)
  fails("ENOENT", none, fs.lines, none)
  fails("ENOENT", none, fs.real_path, none)
  fails("ENOENT", none .. "/x", fs.write, none .. "/x", "")
  fails("EEXIST", "mkdir " .. file, fs.mkdir, file)
  fails("EISDIR", folder, fs.read, folder)
  fails("ENOTDIR", file, fs.list, file)
  fails("ENOTEMPTY", folder, fs.remove, folder)
end))

case("misuse is told at the caller's line", function()
  misuse("bad argument #1 to 'read' (a path expected, got nil)", function() fs.read() end)
  misuse("bad argument #1 to 'read' (a path holds no zero byte)", function() fs.read("a\0b") end)
  misuse("bad argument #2 to 'write' (a string expected, got nil)", function() fs.write("x") end)
  misuse("bad argument #2 to 'rename' (a path expected, got table)", function() fs.rename("x", {}) end)
  misuse("unknown option 'atomik' to 'write'; did you mean 'atomic'?", function() fs.write("x", "", { atomik = 1 }) end)
  misuse("bad option 'atomic' to 'write' (a boolean expected, got number)", function() fs.write("x", "", { atomic = 1 }) end)
  misuse("bad argument #2 to 'stat' (a table of options expected, got boolean)", function() fs.stat("x", true) end)
  misuse("bad option 'depth' to 'walk' (a positive integer expected, got 0)", function() fs.walk("x", { depth = 0 }) end)
  misuse("bad argument #2 to 'open' (\"r\"", function() fs.open("x", "q") end)
end)

case("an atomic write keeps the old content when it fails, and the mode and the link when it does not", with_folder(function(folder)
  local path = folder .. "/config"
  fs.write(path, "old")
  peri.process.run { argv = { "chmod", "640", path } }
  link("config", folder .. "/link")
  local script = "require('perilune.fs').write('" .. path .. "', ('x'):rep(100000))"
  local full = "trap '' XFSZ; ulimit -f 16; exec \"$PERILUNE\" run -"
  local end_ = peri.process.run { sh = full, stdin = { text = script }, check = false }
  equal(end_.code, 1)
  contains(end_.stderr, "write " .. path .. ": File too large")
  equal(fs.read(path), "old")
  same(fs.list(folder), { "config", "link" })
  fs.write(folder .. "/link", "new")
  equal(fs.read(path), "new")
  equal(fs.stat(path).mode, tonumber("640", 8))
  equal(fs.stat(folder .. "/link", { follow = false }).type, "link")
end))

case("facts about a path", with_folder(function(folder)
  fs.write(folder .. "/f", "12345")
  link("f", folder .. "/l")
  link("nowhere", folder .. "/broken")
  local facts = fs.stat(folder .. "/l")
  same({ facts.type, facts.size, facts.links }, { "file", 5, 1 })
  equal(facts.modified > 1e9 and facts.accessed > 1e9, true)
  equal(fs.stat(folder .. "/l", { follow = false }).target, "f")
  equal(fs.stat(folder).type, "directory")
  same({ fs.exists(folder), fs.exists(folder .. "/broken"), fs.exists(folder .. "/f/x") }, { true, false, false })
  equal(fs.real_path(folder .. "/l"), fs.real_path(folder) .. "/f")
  same({ fs.list(folder) }, { { "broken", "f", "l" }, { "link", "file", "link" } })
end))

case("folders are made, moved, copied and removed", with_folder(function(folder)
  fs.mkdir(folder .. "/a/b/c", { recursive = true })
  fs.mkdir(folder .. "/a/b", { recursive = true })
  fs.write(folder .. "/a/b/f", "text")
  link("..", folder .. "/a/b/up")
  fails("EISDIR", folder .. "/a", fs.copy, folder .. "/a", folder .. "/z")
  fs.copy(folder .. "/a", folder .. "/z", { recursive = true })
  equal(fs.read(folder .. "/z/b/f"), "text")
  equal(fs.stat(folder .. "/z/b/up", { follow = false }).target, "..")
  fails("EEXIST", "f", fs.copy, folder .. "/a/b/f", folder .. "/z/b/f", { overwrite = false })
  fs.rename(folder .. "/z", folder .. "/y")
  fs.remove(folder .. "/a", { recursive = true })
  same(fs.list(folder), { "y" })
  fs.remove(folder .. "/y/b/f")
  fs.remove(folder .. "/y/b/c")
end))

case("temporary files and folders are new, private, and where asked for", with_folder(function(folder)
  local a, b = fs.temp_file { folder = folder, prefix = "t-" }, fs.temp_file { folder = folder }
  contains(a, folder .. "/t-")
  equal(a ~= b and fs.stat(a).mode == tonumber("600", 8), true)
  equal(fs.stat(fs.temp_dir { folder = folder }).mode, tonumber("700", 8))
  fails("ENOENT", folder .. "/none", fs.temp_dir, { folder = folder .. "/none" })
end))

local odd_names = { " ", "*", "-rf", "\xff\xfe", "a\nb", "ä" }

case("names of any bytes are listed, walked and read", with_folder(function(folder)
  for _, name in ipairs(odd_names) do fs.write(folder .. "/" .. name, name) end
  local wanted = table.move(odd_names, 1, #odd_names, 1, {})
  table.sort(wanted)
  same(fs.list(folder), wanted)
  for path, entry in fs.walk(folder) do equal(fs.read(path), entry.name) end
  same(fs.glob(folder .. "/a?b"), { folder .. "/a\nb" })
  same(fs.glob(folder .. "/\\*"), { folder .. "/*" })
end))

local function walked(folder, options)
  local names = {}
  for path, entry in fs.walk(folder, options) do
    names[#names + 1] = path:sub(#folder + 2)
    equal(entry.name, path:match("[^/]*$"))
  end
  return names
end

case("a walk visits folders first, names in order, and no link unless asked", with_folder(function(folder)
  fs.mkdir(folder .. "/b/c", { recursive = true })
  fs.write(folder .. "/b/c/f", "")
  fs.write(folder .. "/a", "")
  link("..", folder .. "/b/loop")
  same(walked(folder), { "a", "b", "b/c", "b/c/f", "b/loop" })
  same(walked(folder, { depth = 1 }), { "a", "b" })
  same(walked(folder, { follow = true, depth = math.huge }), { "a", "b", "b/c", "b/c/f", "b/loop" })
  local depths = {}
  for _, entry in fs.walk(folder .. "/") do depths[#depths + 1] = entry.type .. entry.depth end
  same(depths, { "file1", "directory1", "directory2", "file3", "link2" })
  fails("ENOENT", "list " .. folder .. "/none", fs.walk(folder .. "/none"))
end))

case("a walk is shared by tasks: each entry comes to one of them", with_folder(function(folder)
  for i = 1, 700 do fs.write(("%s/%03d"):format(folder, i), "", { atomic = false }) end
  local seen, next_entry = {}, fs.walk(folder)
  peri.scope(function(s)
    for _ = 1, 4 do
      s:spawn(function()
        for path in next_entry do
          equal(seen[path], nil)
          seen[path] = true
          peri.yield()
        end
      end)
    end
  end)
  local count = 0
  for _ in pairs(seen) do count = count + 1 end
  equal(count, 700)
end))

case("a folder that cannot be read is an entry with an error", function()
  -- Nothing is closed to root, so a process without its rights looks.
  local script = [[
    local fs = require "perilune.fs"
    local folder = fs.temp_dir()
    fs.mkdir(folder .. "/shut/in", { recursive = true })
    fs.write(folder .. "/z", "")
    require("perilune.process").run { argv = { "chmod", "000", folder .. "/shut" } }
    for path, entry in fs.walk(folder) do print(path:sub(#folder + 2), entry.error and entry.error.code) end
    require("perilune.process").run { argv = { "chmod", "700", folder .. "/shut" } }
    fs.remove(folder, { recursive = true })
  ]]
  local sh = [[if [ "$(id -u)" = 0 ]; then exec setpriv --reuid 65534 --clear-groups --bounding-set -all "$PERILUNE" run -; fi; exec "$PERILUNE" run -]]
  equal(peri.process.run { sh = sh, stdin = { text = script } }.stdout, "shut\tEACCES\nz\tnil\n")
end)

case("globs", with_folder(function(folder)
  for _, name in ipairs { "src/a.c", "src/x/b.c", "src/.hid/c.c", "top.c", "doc/[1]" } do
    fs.mkdir(folder .. "/" .. (name:match("^(.*)/") or ""), { recursive = true })
    fs.write(folder .. "/" .. name, "")
  end
  local function glob(pattern)
    local found = fs.glob(folder .. "/" .. pattern)
    for i, path in ipairs(found) do found[i] = path:sub(#folder + 2) end
    return found
  end
  same(glob "*.c", { "top.c" })
  same(glob "**/*.c", { "src/a.c", "src/x/b.c", "top.c" })
  same(glob "src/[!a]/b.?", { "src/x/b.c" })
  same(glob "doc/\\[1\\]", { "doc/[1]" })
  same(glob "src/.*/*", { "src/.hid/c.c" })
  same(glob "*/", { "doc", "src" })
  same(glob "none/*", {})
  same(glob "top.c", { "top.c" })
  same(fs.glob "", {})
end))

case("RUN-03: a cancelled task goes on at once from a read, and not before the end of a write", with_folder(function(folder)
  local fifo, path = folder .. "/fifo", folder .. "/f"
  peri.process.run { argv = { "mkfifo", fifo } }
  local reader = peri.spawn(fs.read, fifo)
  peri.yield()
  reader:cancel()
  local ok, e = reader:join()
  equal(ok, false)
  check.kind(e, "cancelled")
  local opener = peri.process.run { argv = { "sh", "-c", "exec 3<>fifo" }, cwd = folder }
  equal(opener.ok, true)
  local bytes = ("x"):rep(2000000)
  local writer = peri.spawn(fs.write, path, bytes)
  peri.yield()
  fs.stat(folder) -- calls begin in order: the write has begun
  writer:cancel()
  same({ writer:join() }, { true, true })
  equal(fs.read(path) == bytes, true)
end))
