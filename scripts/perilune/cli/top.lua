-- `perilune top`: the tasks of a running program as a table, drawn anew every second until q is pressed; off a terminal, or with --once, printed once.
local fs = require "perilune.fs"
local json = require "perilune.json"
local peri = require "perilune"
local process = require "perilune.process"
local system = require "perilune.native.system"
local programs = require "perilune.cli.programs"
local text = require "perilune.pipeline.text"

local top = {}

local order = { running = 1, ready = 2, closing = 3, waiting = 4 }

local function age(seconds)
  if seconds < 60 then return ("%.1fs"):format(seconds) end
  if seconds < 3600 then return ("%dm%02ds"):format(seconds // 60, math.floor(seconds % 60)) end
  return ("%dh%02dm"):format(seconds // 3600, math.floor(seconds % 3600 // 60))
end

local function bytes(count)
  if count < 1 << 20 then return ("%.0f KiB"):format(count / 1024) end
  return ("%.1f MiB"):format(count / (1 << 20))
end

local function wait_text(task)
  local on = task.waiting_on
  if not on then return "" end
  local words = on.op .. (on.resource and on.resource ~= on.op and " " .. tostring(on.resource) or "")
  return ("%s, %s"):format(words, age(on.since or 0))
end

-- Busiest first among those of one state; `before` has the counts of the last look.
local function sorted(tasks, before)
  for _, task in ipairs(tasks) do task.turns = task.busy - (before[task.id] or 0) end
  table.sort(tasks, function(a, b)
    local x, y = order[a.state] or 5, order[b.state] or 5
    if x ~= y then return x < y end
    if a.turns ~= b.turns then return a.turns > b.turns end
    return a.id < b.id
  end)
  return tasks
end

local function lines_of(snapshot, before)
  local stats = snapshot.stats
  local lines = {
    ("%s, process %s: %d tasks (%d ready, %d waiting, %d closing), %s of Lua, %d timers, %d outside"):format(
      snapshot.command or "perilune", snapshot.pid, #snapshot.tasks, stats.ready, stats.waiting, stats.closing, bytes(stats.memory),
      stats.timers, stats.external),
  }
  local kinds = {}
  for _, resource in ipairs(snapshot.resources) do kinds[resource.kind] = (kinds[resource.kind] or 0) + 1 end
  for _, kind in ipairs(text.sorted_keys(kinds)) do lines[2] = (lines[2] and lines[2] .. ", " or "resources: ") .. kind .. " " .. kinds[kind] end
  lines[#lines + 1] = ""
  lines[#lines + 1] = ("%6s  %-20s %-9s %8s %7s  %-30s %s"):format("ID", "NAME", "STATE", "AGE", "TURNS", "WAITS FOR", "LINE")
  for _, task in ipairs(sorted(snapshot.tasks, before)) do
    lines[#lines + 1] = ("%6d  %-20s %-9s %8s %7d  %-30s %s"):format(task.id, (task.name or ""):sub(1, 20), task.state, age(task.age),
      task.turns, wait_text(task):sub(1, 30), task.line or "")
  end
  local cycles = {}
  for _, wait in ipairs(snapshot.waits) do
    if wait.cycle then cycles[#cycles + 1] = ("task %d waits for task %s"):format(wait.task, tostring(wait.on)) end
  end
  if #cycles > 0 then table.insert(lines, 3, "DEADLOCK: " .. table.concat(cycles, "; ")) end
  return lines
end

-- Draws on the alternate screen, no line longer and no more lines than fit.
local function draw(lines)
  local columns, rows = system.terminal_size(1)
  rows, columns = rows or 24, columns or 80
  local shown = {}
  for i = 1, math.min(#lines, rows - 1) do shown[i] = lines[i]:sub(1, columns) .. "\27[K" end
  if #lines > rows - 1 then shown[rows - 1] = ("... %d more"):format(#lines - rows + 2) .. "\27[K" end
  io.stdout:write("\27[H", table.concat(shown, "\n"), "\27[J")
  io.stdout:flush()
end

local function stty(...)
  return process.run({ argv = { "stty", ... }, stdin = "inherit", group = false, check = false }).stdout:match("%S+")
end

-- Whether q is pressed: a token that is cancelled then. Keys come one by one and are not shown, until what this returns is closed.
local function listen_to_keys(quit)
  local before = system.is_terminal(0) and stty("-g")
  if not before then return nil end
  stty("-icanon", "-echo", "min", "1")
  peri.spawn({ name = "keys", daemon = true }, function()
    local keys = fs.open("/dev/stdin")
    for key in function() return keys:read(1) end do
      if key == "q" then quit:cancel("q") end
    end
  end)
  return peri.defer(function() stty(before) end)
end

local function watch(path, interval)
  local quit = peri.token()
  local keys <close> = listen_to_keys(quit)
  local _ <close> = peri.defer(function()
    io.stdout:write("\27[?25h\27[?1049l")
    io.stdout:flush()
  end)
  io.stdout:write("\27[?1049h\27[?25l")
  local before = {}
  while true do
    local snapshot = programs.snapshot(path)
    if not snapshot then return "the program has ended" end
    draw(lines_of(snapshot, before))
    for _, task in ipairs(snapshot.tasks) do before[task.id] = task.busy end
    if peri.select { over = peri.sleep_op(interval), stop = quit:wait_op() } == "stop" then return end
  end
end

function top.main(values, words)
  local path = programs.find(words[1])
  if system.is_terminal(1) and not values.once and not values.json then
    local why = watch(path, values.interval or 1)
    if why then print(why) end
    return 0
  end
  local snapshot = programs.snapshot(path)
  if not snapshot then text.refuse(2, "nobody answers at %s", path) end
  if values.json then
    print(json.encode(snapshot))
  else
    print(table.concat(lines_of(snapshot, {}), "\n"))
  end
  return 0
end

return top
