-- Open files of perilune.fs: reading and writing in pieces, positions, sharing, closing.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, same, misuse = check.equal, check.same, check.misuse

local fs = require "perilune.fs"

local function with_file(content, body)
  return function()
    local path = fs.temp_file()
    local _ <close> = peri.defer(function() fs.remove(path) end)
    fs.write(path, content)
    body(path)
  end
end

case("reads lines, counts and the rest in turn", with_file("one\n\nthree\n" .. ("x"):rep(200000) .. "\nlast", function(path)
  local f <close> = fs.open(path)
  same({ f:read(), f:read("line"), f:read(2), f:read() }, { "one", "", "th", "ree" })
  equal(#f:read(), 200000)
  same({ f:read("all"), f:read("all"), f:read(0) }, { "last", "", "" })
  equal(f:read(), nil)
  equal(f:read(1), nil)
  fs.append(path, "more")
  equal(f:read(99), "more")
end))

case("lines closes its file when the loop is left", with_file("a\nb\nc", function(path)
  local seen = {}
  for line in fs.lines(path) do seen[#seen + 1] = line end
  same(seen, { "a", "b", "c" })
  local open = #fs.list "/proc/self/fd"
  for _ = 1, 5 do
    for line in fs.lines(path) do
      if line == "b" then break end
    end
  end
  pcall(function()
    for _ in fs.lines(path) do error "stop" end
  end)
  equal(#fs.list "/proc/self/fd", open)
  local f <close> = fs.open(path)
  local again = {}
  for line in f:lines() do again[#again + 1] = line end
  same(again, seen)
end))

case("seeks, and writes where the reader stands", with_file("0123456789", function(path)
  local f <close> = fs.open(path, "r+")
  equal(f:read(3), "012")
  equal(f:seek(), 3)
  f:write("ab"):flush()
  equal(f:seek("cur", 1), 6)
  equal(f:read(2), "67")
  equal(f:seek("end", -1), 9)
  equal(f:read(5), "9")
  equal(f:seek("set"), 0)
  equal(f:read("all"), "012ab56789")
  local ok, e = pcall(f.seek, f, "set", -1)
  same({ ok, e.code }, { false, "EINVAL" })
end))

case("modes are those of io.open", with_file("old", function(path)
  local function through(mode, text)
    local f <close> = fs.open(path, mode)
    f:write(text)
  end
  through("a", "+")
  equal(fs.read(path), "old+")
  through("r+b", "X")
  equal(fs.read(path), "Xld+")
  through("w", "new")
  equal(fs.read(path), "new")
  local f <close> = fs.open(path, "w+")
  f:write("both")
  f:seek("set")
  equal(f:read("all"), "both")
  local ok, e = pcall(through, "r", "x")
  same({ ok, e.kind, e.code }, { false, "io", "EBADF" })
end))

case("a closed file says so at the caller's line; closing again does nothing", with_file("text", function(path)
  local f = fs.open(path)
  f:close()
  f:close()
  misuse("the file is closed", function() f:read() end)
  misuse("the file is closed", function() f:write("x") end)
  misuse("the file is closed", function() f:seek() end)
  misuse("the file is closed", function() f:lines() end)
  local g <close> = fs.open(path)
  misuse("bad argument #1 to 'read' (a count of bytes", function() g:read(-1) end)
  misuse("bad argument #1 to 'read' (a count of bytes", function() g:read("words") end)
  misuse("bad argument #1 to 'seek'", function() g:seek("middle") end)
  misuse("bad argument #2 to 'seek' (an integer expected, got 0.5)", function() g:seek("set", 0.5) end)
  misuse("bad argument #1 to 'write' (a string expected, got nil)", function() g:write() end)
end))

case("tasks that share a file get every line once", function()
  local lines = {}
  for i = 1, 20000 do lines[i] = "line " .. i end
  with_file(table.concat(lines, "\n"), function(path)
    local f <close> = fs.open(path)
    local seen, count = {}, 0
    peri.scope(function(s)
      for _ = 1, 4 do
        s:spawn(function()
          for line in f:lines() do
            equal(seen[line], nil)
            seen[line], count = true, count + 1
            if count % 7 == 0 then peri.yield() end
          end
        end)
      end
    end)
    equal(count, #lines)
    for _, line in ipairs(lines) do equal(seen[line], true) end
  end)()
end)

case("CAN-33: a cancelled reader loses no bytes", function()
  local bytes = {}
  for i = 1, 60000 do bytes[i] = ("%06d\n"):format(i) end
  with_file(table.concat(bytes), function(path)
    local f <close> = fs.open(path)
    local read = {}
    repeat
      local ended
      local reader = peri.spawn(function()
        for line in f:lines() do read[#read + 1] = line end
        ended = true
      end)
      peri.yield()
      reader:cancel()
      reader:join()
    until ended
    equal(#read, #bytes)
    for i, line in ipairs(read) do equal(tonumber(line), i) end
  end)()
end)

case("a file that is cancelled over is closed by its block", with_file("text", function(path)
  local open = #fs.list "/proc/self/fd"
  local task = peri.spawn(function()
    local _ <close> = fs.open(path)
    peri.sleep(math.huge)
  end)
  for _ = 1, 50 do fs.stat(path) end
  task:cancel()
  task:join()
  -- A file that was being opened meanwhile is closed by the thread that opened it.
  for _ = 1, 10000 do
    if #fs.list "/proc/self/fd" == open then return end
  end
  equal(#fs.list "/proc/self/fd", open)
end))
