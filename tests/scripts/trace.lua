-- perilune.trace: turns, waits, ends and spans, as events of a Chrome trace.
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local peri = require "perilune"
local case <close> = check.cases()
local json, trace = peri.json, peri.trace

-- The events of a recording of `fn`, as "phase name@task start+duration at place", by the names of tasks.
local function events_of(fn, options)
  local recording = trace.start(options)
  local ok, e = pcall(fn)
  local document = json.decode(recording:stop())
  if not ok then error(e, 0) end
  local names, out = {}, {}
  for _, event in ipairs(document.traceEvents) do
    if event.ph == "M" then
      names[event.tid] = event.args.name:match("%((.*)%)") or "?"
    else
      local text = ("%s %s@%s %.14g"):format(event.ph, event.name, names[event.tid] or "?", event.ts / 1e6)
      if event.dur then text = text .. ("+%.14g"):format(event.dur / 1e6) end
      if event.args then text = text .. " " .. (event.args.status or event.args.at:match("[^:]*$") and "placed") end
      out[#out + 1] = text
    end
  end
  return out, document
end

local function of_task(events, name)
  local own = {}
  for _, event in ipairs(events) do
    if event:find("@" .. name .. " ", 1, true) then own[#own + 1] = event end
  end
  return own
end

case("a task's turns, waits and end", function()
  local events = events_of(function()
    peri.spawn({ name = "worker" }, function()
      peri.sleep(2)
      peri.yield()
      local ch = peri.channel(0)
      peri.select { ch:recv_op(), peri.sleep_op(1) }
    end):join()
  end)
  check.same(of_task(events, "worker"), {
    "X runs@worker 0+0", "X sleep on a timer@worker 0+2 placed", "X runs@worker 2+0", "X yield@worker 2+0 placed",
    "X runs@worker 2+0", "X select@worker 2+1 placed", "X runs@worker 3+0", "i returned@worker 3",
  })
end)

case("failures and cancellations end with their names, and a body that waits for its children says so", function()
  local events = events_of(function()
    local failing = peri.spawn({ name = "failing" }, function() error("x") end)
    local parent = peri.spawn({ name = "parent" }, function() peri.spawn(peri.sleep, 1) end)
    local asleep = peri.spawn({ name = "asleep" }, peri.sleep, 9)
    peri.yield()
    asleep:cancel()
    failing:join()
    parent:join()
    asleep:join()
  end)
  check.same(of_task(events, "failing"), { "X runs@failing 0+0", "i failed@failing 0" })
  check.same(of_task(events, "parent"), { "X runs@parent 0+0", "X the end of its children@parent 0+1", "i returned@parent 1" })
  local last = of_task(events, "asleep")
  check.equal(last[#last], "i cancelled@asleep 0")
end)

case("OBS-03: spans are told when they end, with their status, however often the task waits", function()
  local events = events_of(function()
    peri.spawn({ name = "worker" }, function()
      peri.span("outer", {}, function()
        peri.sleep(1)
        pcall(peri.span, "inner", {}, function() error("x") end)
      end)
    end):join()
  end)
  local spans = {}
  for _, event in ipairs(of_task(events, "worker")) do
    if event:find("^[be] ") then spans[#spans + 1] = event end
  end
  check.same(spans, {
    "b outer:inner@worker 1", "e outer:inner@worker 1 error", "b outer@worker 0", "e outer@worker 1 ok",
  })
end)

case("OBS-02: what a recording has no room for is counted, and the program goes on", function()
  local turns = 0
  local events, document = events_of(function()
    peri.spawn(function()
      for _ = 1, 50 do
        peri.yield()
        turns = turns + 1
      end
    end):join()
  end, { limit = 10 })
  check.equal(turns, 50)
  check.equal(#document.traceEvents, 10)
  check.equal(#events <= 10, true)
  check.equal(document.otherData.dropped > 80, true)
end)

case("one recording at a time; stop may be asked twice; a dropped recording ends", function()
  local recording = trace.start()
  check.misuse("a trace is being recorded already", function() trace.start() end)
  check.equal(recording:stop(), recording:stop())
  trace.start()
  collectgarbage()
  collectgarbage()
  trace.start():stop()
end)

case("closing a recording writes it where it was told, in a cancelled task too", function()
  local path = peri.fs.temp_file()
  local task = peri.spawn(function()
    local _ <close> = trace.start { path = path }
    peri.sleep(9)
  end)
  peri.yield()
  task:cancel()
  task:join()
  check.equal(json.decode(peri.fs.read(path)).otherData.dropped, 0)
  peri.fs.remove(path)
end)

case("misuse of start and stop", function()
  local recording = trace.start()
  check.misuse("bad argument #1 to 'stop' (a recording expected: call it with ':')", function() recording.stop() end)
  recording:stop()
  check.misuse("bad argument #1 to 'start' (a table of options expected, got number)", function() trace.start(1) end)
  check.misuse("unknown option 'file' to 'start'", function() trace.start { file = "x" } end)
  check.misuse("bad option 'path' to 'start' (a path expected, got number)", function() trace.start { path = 1 } end)
  check.misuse("bad option 'limit' to 'start' (a positive integer expected, got 0)", function() trace.start { limit = 0 } end)
end)
