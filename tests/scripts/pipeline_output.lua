-- The parts of the runner that show a run: lines made fit, orders, times, graphs, and words for a place.
local peri = require "perilune"
local check = dofile((arg[0]:match("^(.*)/tests/") or ".") .. "/tests/support/check.lua")
local analysis = require "perilune.pipeline.analysis"
local estimate = require "perilune.pipeline.estimate"
local graph_layout = require "perilune.pipeline.graph_layout"
local line = require "perilune.pipeline.line"
local live_block = require "perilune.pipeline.live_block"
local order = require "perilune.pipeline.order"
local output_text = require "perilune.pipeline.output_text"
local record = require "perilune.pipeline.record"
local style = require "perilune.pipeline.style"
local case <close> = check.cases()

case("line: bytes that are no UTF-8 are replaced, one by one", function()
  check.equal(line.valid("plain ä"), "plain ä")
  check.equal(line.valid("\xff\xfea\xe2\x82"), "\u{FFFD}\u{FFFD}a\u{FFFD}\u{FFFD}")
  for _ = 1, 200 do
    local bytes = {}
    for i = 1, math.random(0, 20) do bytes[i] = string.char(math.random(0, 255)) end
    check.equal(utf8.len(line.valid(table.concat(bytes))) ~= nil, true)
  end
end)

case("line: on a terminal nothing moves the cursor, colors end with the line", function()
  check.equal(line.for_terminal("10%\r20%\r\r", false), "20%")
  check.equal(line.for_terminal("a\27[2Jb\27[31mc\27]0;title\7d\7", false), "abcd")
  check.equal(line.for_terminal("a\27[2Jb\27[31mc", true), "ab\27[31mc\27[0m")
  check.equal(line.for_terminal("a\27(Bb\27", false):find("\27", 1, true), nil)
end)

case("line: columns of wide and of combining characters; what is cut fits", function()
  check.equal(line.width("日本"), 4)
  check.equal(line.width("e\u{301}"), 1)
  check.equal(line.cut("abcdef", 6, "…"), "abcdef")
  check.equal(line.cut("abcdefg", 6, "…"), "abcde…")
  check.equal(line.cut("日本語", 5, "…"), "日本…")
  for columns = 0, 12 do check.equal(line.width(line.cut("a日b本c語d", columns, "…")) <= columns, true) end
end)

local function step(key, needs, after) return { key = key, name = key, needs = needs or {}, after = after or {} } end

case("order: what a step needs comes first, what it adds comes before it", function()
  local o = order.new()
  o:plan { step("c", { "b" }), step("a"), step("b", { "a" }) }
  o:add_before("x", "b")
  o:add_before("y", "b")
  o:add_before("late", "gone")
  local seen = {}
  while o:first() do
    seen[#seen + 1] = o:first()
    o:drop_first()
  end
  check.same(seen, { "a", "x", "y", "b", "c", "late" })
end)

local function timed(key, needs, started, ended, fields)
  local one = step(key, needs)
  one.started, one.ended, one.duration, one.command, one.state = started, ended, ended - started, "x", "succeeded"
  for name, value in pairs(fields or {}) do one[name] = value end
  return one
end

local function keys(steps)
  local list = {}
  for i, each in ipairs(steps) do list[i] = each.key end
  return list
end

case("analysis: the critical path goes through what each step waited for last", function()
  local steps = { timed("a", {}, 0, 1), timed("b", {}, 0, 3), timed("c", { "a", "b" }, 3, 4), timed("d", { "a" }, 1, 2) }
  check.same(keys(analysis.critical_path(steps)), { "b", "c" })
  check.same(keys(analysis.slowest(steps, 2)), { "b", "a" })
end)

case("analysis: steps that stand for others are passed through", function()
  local group = timed("build", { "b1", "b2" }, 2, 2)
  group.command = nil
  local steps = { timed("b1", {}, 0, 1), timed("b2", {}, 0, 2), group, timed("test", { "build" }, 2, 3) }
  check.same(keys(analysis.critical_path(steps)), { "b2", "test" })
end)

case("analysis: added steps follow those that their adder had awaited", function()
  local steps = { timed("main", {}, 0, 9), timed("fetch", {}, 0, 2, { added_by = "main", added = 0 }),
                  timed("one", {}, 2, 5, { added_by = "main", added = 2 }), timed("two", {}, 2, 9, { added_by = "main", added = 2 }),
                  timed("quick", {}, 9, 9.0001, { added_by = "main", added = 9 }) }
  check.same(keys(analysis.critical_path(steps)), { "fetch", "two", "quick" })
end)

case("estimate: the longest chain that is left, or the work that is left shared by the slots", function()
  local e = estimate.new { a = 4, b = 6, c = 1, d = 1 }
  e:plan({ step("a"), step("b", { "a" }), step("c"), step("d") }, 2)
  check.equal(e:remaining(0), 10.0)
  e:start("a", 0)
  check.equal(e:remaining(3), 7.0)
  e:finish("a")
  e:finish("b")
  check.equal(e:remaining(5), 1.0)
  e:finish("c")
  e:finish("d")
  check.equal(e:remaining(6), nil)
end)

case("estimate: says nothing where it knows less than half", function()
  local e = estimate.new { a = 1 }
  e:plan({ step("a"), step("b"), step("c") }, 1)
  check.equal(e:remaining(0), nil)
end)

-- A graph of n nodes in which edges go from smaller numbers to larger ones.
local function random_graph(n)
  local nodes = {}
  for i = 1, n do
    nodes[i] = { key = "n" .. i, before = {} }
    for j = 1, i - 1 do
      if math.random() < 2 / n then table.insert(nodes[i].before, "n" .. j) end
    end
  end
  return nodes
end

case("graph_layout: edges go to the right, no two nodes overlap, all lie within the size", function()
  for round = 1, 30 do
    local nodes = random_graph(math.random(0, 40))
    local links, width, height = graph_layout.place(nodes, { width = 10, height = 4, column_gap = 5, row_gap = 2 })
    for _, link in ipairs(links) do
      for i = 2, #link.path do check.equal(link.path[i].x, link.path[i - 1].x + 15) end
    end
    for i, a in ipairs(nodes) do
      check.equal(a.x >= 0 and a.x + 10 <= width and a.y - 2 >= 0 and a.y + 2 <= height, true, "round " .. round)
      for j = 1, i - 1 do check.equal(a.x ~= nodes[j].x or math.abs(a.y - nodes[j].y) >= 4, true) end
    end
  end
end)

case("live block: no line is wider than the terminal, nor more of them than it has rows", function()
  local block = live_block.new(style.new(false, true), { s1 = 2 })
  local steps = {}
  for i = 1, 12 do steps[i] = step("s" .. i .. ("x"):rep(i * 5)) end
  block:hear { event = "run_started", total = 12, at = 0, steps = steps, jobs = 12 }
  for i, each in ipairs(steps) do
    block:hear { event = "step_started", key = each.key, at = i, attempt = 1, attempts = 1 }
    block:hear { event = "line", key = each.key, text = ("日本 text\t"):rep(i) }
  end
  for columns = 10, 120, 7 do
    for rows = 1, 30, 4 do
      local lines, widths = block:lines(20, columns, rows)
      check.equal(#lines <= math.max(rows, 1), true)
      for i, each in ipairs(lines) do
        check.equal(line.width(each), widths[i])
        check.equal(widths[i] < columns, true, each)
      end
    end
  end
end)

-- A place that remembers what it is told.
local function remembering()
  local said, since = {}, peri.now()
  local place = { said = said }
  local function say(_, text)
    said[#said + 1] = text
    since = peri.now()
  end
  function place.silence() return peri.now() - since end
  function place.step(_, _, _, prefix, text) say(nil, prefix .. text) end
  function place.note(_, _, text) say(nil, text) end
  function place.close() end
  place.say = say
  return place
end

case("output_text: names what runs when nothing was said for a minute", function()
  local kept, place = record.new(), remembering()
  local shown = output_text.new(place, kept, {}, style.new(false, false), { starts = true })
  local function tell(event)
    event.at, event.time = peri.now(), peri.clock()
    kept:hear(event)
    shown:hear(event)
  end
  tell { event = "run_started", run = "r", steps = { step("a"), step("b") }, total = 2, jobs = 1 }
  tell { event = "step_started", key = "a", name = "a", attempt = 1, attempts = 1, command = "x" }
  peri.sleep(30)
  tell { event = "line", key = "a", stream = "stdout", text = "half" }
  peri.sleep(59)
  check.same(place.said, { "a: x", "a | half" })
  peri.sleep(2)
  check.same(place.said, { "a: x", "a | half", "still running: a" })
  peri.sleep(60)
  check.equal(#place.said, 4)
  shown:close()
end)
