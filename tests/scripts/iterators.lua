-- What stands behind `for ... in`: a function that needs nothing but itself, so that it may be called by hand, whatever it is given.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()

local odd <const> = { 5, "x", {}, print, peri.channel(1), peri.json.null, io.stdout }

-- Calls `step` with nothing, then with each odd value; all there is to find is `expected`, in order, then the end.
local function walk(step, expected)
  local got, arguments = {}, table.pack(nil, table.unpack(odd))
  for i = 1, arguments.n do got[#got + 1] = step(arguments[i], arguments[i]) end
  check.same(got, expected)
end

local function filled(channel)
  channel:send("a")
  channel:send("b")
  channel:close()
  return channel
end

case("channels", function()
  walk(filled(peri.channel(2)):iter(), { "a", "b" })
  walk(filled(peri.shared_channel(2)):iter(), { "a", "b" })
end)

case("the lines of a pipe", function()
  local child <close> = peri.process.spawn { argv = { "printf", "a\\nb\\n" } }
  walk(child.stdout:lines(), { "a", "b" })
end)

case("the lines of a file", function()
  local path = peri.fs.temp_file()
  peri.fs.write(path, "a\nb\n")
  walk(peri.fs.lines(path), { "a", "b" })
  local file <close> = peri.fs.open(path)
  walk(file:lines(), { "a", "b" })
  peri.fs.remove(path)
end)

case("connections, signals and events, which have ended", function()
  local listener = peri.net.tcp_listen(0)
  local signals = peri.signal.listen "USR1"
  local watcher = peri.fs.watch "/dev"
  local steps = { listener:iter(), signals:iter(), watcher:events() }
  for _, source in ipairs { listener, signals, watcher } do source:close() end
  for _, step in ipairs(steps) do walk(step, {}) end
end)

case("the bodies of messages", function()
  local body = require("perilune.http.message").body(nil, {})
  walk(body:pieces(), {})
end)

case("ends of tasks", function()
  local set <close> = peri.join_set()
  local member = set:spawn(function() end)
  walk(set:results(), { member })
end)

case("what pairs returns for the task-local data and for shared values refuses what is neither", function()
  for _, step in ipairs { (pairs(peri.data)), (pairs(peri.shared { 1 })) } do
    for _, value in ipairs(odd) do
      if type(value) ~= "table" then check.raises("bad argument #1", step, value) end
    end
  end
end)

-- Metatables are out of reach, but for the debug library; it, too, finds functions that look at what they are given.
case("metamethods refuse what is not theirs", function()
  local child <close> = peri.process.spawn { argv = { "true" } }
  local _, failure = peri.spawn(error, "x"):join()
  for _, object in ipairs { peri.self(), peri.channel(1), peri.shared_channel(1), peri.sleep_op(1), peri.join_set(), child, failure,
    peri.shared { 1 }, peri.buffer(1), peri.json.null, peri.parallel(function(t) return t end, peri.self()):await() } do
    for _, name in ipairs { "__len", "__tostring", "__index", "__eq" } do
      local call = debug.getmetatable(object)[name]
      if type(call) == "function" then
        pcall(call)
        for _, value in ipairs(odd) do pcall(call, value, value) end
      end
    end
  end
end)
