-- perilune.log: records as whole lines on standard error, seen from outside.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local case <close> = check.cases()
local equal, contains, misuse = check.equal, check.contains, check.misuse
local log = peri.log

-- What a script writes to standard error.
local function said(script, env)
  local run = peri.process.run { argv = { os.getenv "PERILUNE", "run", "-" }, stdin = "local peri = require 'perilune'\n" .. script, env = env }
  equal(run.stdout, "")
  return run.stderr
end

local function lines(text)
  local list = {}
  for line in text:gmatch("([^\n]*)\n") do list[#list + 1] = line end
  return list
end

case("LOG: a record is one line with time, level, task, message and sorted fields", function()
  local text = said [[peri.log.info("fetched", { url = "http://x/y?z=1", bytes = 12, ratio = 0.5, ok = true, name = "a b", empty = "" })]]
  local time, rest = text:match("^(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ) (.*)\n$")
  check.truthy(time, "a time in " .. text)
  equal(rest, [[INFO  [1 main] fetched bytes=12 empty="" name="a b" ok=true ratio=0.5 url="http://x/y?z=1"]])
end)

case("LOG: levels", function()
  local script = [[
    for _, level in ipairs { "debug", "info", "warn", "error" } do peri.log[level](level) end
    peri.log.level "error"
    peri.log.warn "quiet"
    peri.log.level "off"
    peri.log.error "quiet"
  ]]
  local function levels(env)
    local seen = {}
    for _, line in ipairs(lines(said(script, env))) do seen[#seen + 1] = line:match("Z (%u+) ") end
    return table.concat(seen, " ")
  end
  equal(levels(), "INFO WARN ERROR")
  equal(levels { PERILUNE_LOG_LEVEL = "debug" }, "DEBUG INFO WARN ERROR")
  equal(levels { PERILUNE_LOG_LEVEL = "WARN" }, "WARN ERROR")
  equal(levels { PERILUNE_LOG_LEVEL = "off" }, "")
  contains(said(script, { PERILUNE_LOG_LEVEL = "loud" }), "PERILUNE_LOG_LEVEL has a value that is not known value=loud")
end)

case("LOG: JSON records", function()
  local text = said([[
    peri.spawn({ name = "wörker" }, function()
      peri.log.warn("line\nbreak \xff", { list = { 1, { a = 2 } }, fn = print, nan = 0/0, time = "mine", [1] = "one" })
    end)
  ]], { PERILUNE_LOG_FORMAT = "json" })
  equal(#lines(text), 1)
  local record = peri.json.decode(text)
  equal(record.level, "warn")
  equal(record.message, "line\nbreak \u{FFFD}")
  equal(record.task_name, "wörker")
  equal(record.task, 2)
  equal(record.list[2].a, 2)
  contains(record.fn, "function: ")
  equal(record.nan, "NaN")
  equal(record.time_, "mine")
  equal(record["1"], "one")
  contains(record.time, "Z")
end)

case("LOG: text records stay one line whatever is logged", function()
  local list = lines(said [[
    local cycle = {}
    cycle[1] = cycle
    peri.log.info("a\nb\27[31m\xff", { k = "c\nd", ["x\ny"] = 1, cycle = cycle })
    peri.log.info(nil)
    peri.log.info(setmetatable({}, { __tostring = function() error "no" end }))
    peri.log.info("e", { bad = setmetatable({}, { __tostring = function() error "no" end }), nested = { f = print } })
    local ok, e = pcall(error, "boom", 0)
    peri.log.error(e, { e = select(2, peri.spawn(error, "deep", 0):join()) })
  ]])
  equal(#list, 5)
  contains(list[1], [[a\nb\u001b[31m]] .. "\u{FFFD}" .. [[ cycle=["<cycle>"] k="c\nd" x\ny=1]])
  contains(list[2], "] nil")
  contains(list[3], "] <table>")
  contains(list[4], [[e bad=<table> nested={"f":"<function>"}]])
  contains(list[5], [[boom e="task 2 failed: deep"]])
end)

case("LOG: level, format and enabled say what holds", function()
  local before = log.level()
  equal(log.level("debug"), before)
  equal(log.level(), "debug")
  equal(log.enabled("debug"), true)
  log.level("error")
  equal(log.enabled("warn"), false)
  log.level(before)
  local format = log.format()
  equal(log.format("json"), format)
  equal(log.format(format), "json")
  misuse("bad argument #1 to 'level' (debug, info, warn, error or off expected, got loud)", function() log.level("loud") end)
  misuse("bad argument #1 to 'format'", function() log.format("xml") end)
  misuse("bad argument #1 to 'enabled'", function() log.enabled() end)
  misuse("bad argument #2 to 'info' (a table of fields expected, got number)", function() log.info("x", 1) end)
end)

case("LOG: records of many tasks and programs do not mix", function()
  local script = ("for i = 1, 200 do peri.spawn(function() peri.yield() peri.log.info(('x'):rep(300), { i = i }) end) end")
  local list = lines(said(script))
  equal(#list, 200)
  for _, line in ipairs(list) do check.truthy(line:match("^[%d:TZ.-]+ INFO  %[%d+%] x+ i=%d+$"), line) end
end)
