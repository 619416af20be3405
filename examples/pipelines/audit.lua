-- Audits a folder: hashes and compresses every file below it with real child processes and reports by extension.
--
--   perilune run audit.lua FOLDER [--jobs N] [--limit N] [--out FOLDER]
--
-- Three stages joined by bounded channels: a walker feeds paths, `jobs` workers inspect them, one collector adds up. Each
-- file is a task of its own, so a file that cannot be read, or is gone by the time its turn comes, is a failed join in the
-- report and nothing more. Ctrl-C cancels the tree: the children are ended and the report says it is partial.
local peri = require "perilune"
local fs, json, process = peri.fs, peri.json, peri.process

local usage = "usage: perilune run audit.lua FOLDER [--jobs N] [--limit N] [--out FOLDER]"

local function refuse(text)
  io.stderr:write("audit: ", text, "\n", usage, "\n")
  os.exit(2)
end

local function read_options(words)
  local options = { jobs = 4, limit = math.huge, out = "." }
  local i = 1
  while i <= #words do
    local word = words[i]
    local name = word:match("^%-%-(%a+)$")
    if name == "jobs" or name == "limit" then
      local count = math.tointeger(tonumber(words[i + 1] or ""))
      if not count or count < 1 then refuse("--" .. name .. " takes a positive number") end
      options[name], i = count, i + 1
    elseif name == "out" then
      options.out, i = words[i + 1] or refuse("--out takes a folder"), i + 1
    elseif word:sub(1, 1) == "-" and word ~= "-" then
      refuse("unknown option '" .. word .. "'")
    elseif options.folder then
      refuse("one folder at a time, got '" .. word .. "' as well")
    else
      options.folder = word
    end
    i = i + 1
  end
  if not options.folder then refuse("no folder given") end
  return options
end

-- One file: what its bytes hash to, and how small gzip makes them.

local function hash(path)
  return process.run { argv = { "sha256sum", "--", path } }.stdout:match("^\\?(%x+)")
end

local function compressed_size(path)
  local gzip <close> = process.spawn { argv = { "gzip", "-c", "--", path }, stderr = "null" }
  gzip.stdin:close()
  local size = 0
  while true do
    local bytes = gzip.stdout:read(65536)
    if not bytes then break end
    size = size + #bytes
  end
  local ended = gzip:wait()
  -- 2 is a warning: the file is compressed all the same.
  if ended.code ~= 0 and ended.code ~= 2 then error("gzip failed on " .. path) end
  return size
end

local function inspect(path)
  local facts = fs.stat(path)
  return { path = path, size = facts.size, hash = hash(path), compressed = compressed_size(path) }
end

-- The report: what the collector adds to.

local function new_report(options)
  return { folder = options.folder, complete = false, started = peri.clock(), files = 0, bytes = 0, compressed = 0,
           duplicates = 0, by_extension = {}, failures = {}, hashes = {} }
end

local function extension_of(path)
  local name = path:match("[^/]*$")
  return name:match("^.+%.([%w_-]+)$") or "(none)"
end

local function add_file(report, file)
  local extension = extension_of(file.path)
  local row = report.by_extension[extension] or { files = 0, bytes = 0, compressed = 0 }
  report.by_extension[extension] = row
  for _, sum in ipairs { report, row } do
    sum.files = sum.files + 1
    sum.bytes = sum.bytes + file.size
    sum.compressed = sum.compressed + file.compressed
  end
  if file.size > 0 and report.hashes[file.hash] then report.duplicates = report.duplicates + 1 end
  report.hashes[file.hash] = true
end

local function add_failure(report, path, e)
  report.failures[#report.failures + 1] = { path = path, kind = e.kind, code = e.code, message = e.message }
end

local function sorted_rows(report)
  local rows = {}
  for extension, row in pairs(report.by_extension) do
    rows[#rows + 1] = { extension = extension, files = row.files, bytes = row.bytes, compressed = row.compressed }
  end
  table.sort(rows, function(a, b) return a.bytes ~= b.bytes and a.bytes > b.bytes or a.bytes == b.bytes and a.extension < b.extension end)
  return rows
end

local function percent(part, whole) return whole > 0 and ("%.0f %%"):format(100 * part / whole) or "-" end

local function as_table(report)
  local lines = { ("%-14s %8s %14s %14s %7s"):format("extension", "files", "bytes", "compressed", "ratio") }
  local function add(name, row)
    lines[#lines + 1] = ("%-14s %8d %14d %14d %7s"):format(name, row.files, row.bytes, row.compressed, percent(row.compressed, row.bytes))
  end
  for _, row in ipairs(sorted_rows(report)) do add(row.extension, row) end
  add("total", report)
  lines[#lines + 1] = ""
  lines[#lines + 1] = ("%d files hold the same bytes as another; %d could not be audited"):format(report.duplicates, #report.failures)
  for i, failure in ipairs(report.failures) do
    if i > 10 then
      lines[#lines + 1] = ("  and %d more"):format(#report.failures - 10)
      break
    end
    lines[#lines + 1] = "  " .. failure.message
  end
  if not report.complete then lines[#lines + 1] = "PARTIAL: the audit was interrupted" end
  return table.concat(lines, "\n") .. "\n"
end

local function write_report(report, folder)
  local text = as_table(report)
  fs.write(folder .. "/audit.txt", text)
  fs.write(folder .. "/audit.json", json.encode({
    folder = report.folder, complete = report.complete, seconds = peri.clock() - report.started, files = report.files,
    bytes = report.bytes, compressed = report.compressed, duplicates = report.duplicates,
    by_extension = json.array(sorted_rows(report)), failures = json.array(report.failures),
  }, { indent = 2 }) .. "\n")
  return text
end

-- Progress: one line that is written over, and only where somebody looks.

local function on_terminal()
  if os.getenv("TERM") == "dumb" then return false end
  return process.run({ sh = "test -t 2", stderr = "inherit", check = false }).code == 0
end

local function show_progress(report)
  local tick <close> = peri.interval(0.2)
  while true do
    tick:tick()
    io.stderr:write(("\r\27[K%d files, %.1f MB, %d failed"):format(report.files, report.bytes / 1e6, #report.failures))
    io.stderr:flush()
  end
end

-- The stages.

local function walk(options, paths)
  local closing <close> = paths
  local found = 0
  for path, entry in fs.walk(options.folder) do
    if entry.error or entry.type == "file" then
      found = found + 1
      paths:send { path = path, error = entry.error }
    end
    if found >= options.limit then break end
  end
end

local function work(paths, results)
  for item in paths:iter() do
    local ok, outcome = false, item.error
    if not outcome then ok, outcome = peri.spawn({ name = item.path }, inspect, item.path):join() end
    results:send { path = item.path, ok = ok, outcome = outcome }
  end
end

local function collect(report, results)
  for result in results:iter() do
    if result.ok then
      add_file(report, result.outcome)
    else
      add_failure(report, result.path, result.outcome)
    end
  end
end

local function audit(options, report)
  local paths, results = peri.channel(256), peri.channel(64)
  peri.scope(function(scope)
    scope:spawn(walk, options, paths)
    scope:spawn(collect, report, results)
    scope:spawn(function()
      local closing <close> = results
      peri.scope(function(workers)
        for _ = 1, options.jobs do workers:spawn(work, paths, results) end
      end)
    end)
  end)
  report.complete = true
end

local options = read_options(arg)
local ok, facts = pcall(fs.stat, options.folder)
if not ok then refuse(facts.message) end
if facts.type ~= "directory" then refuse(options.folder .. " is not a folder") end
fs.mkdir(options.out, { recursive = true })

local report = new_report(options)
local watched = on_terminal()
do
  local reporting <close> = peri.defer(function()
    if watched then io.stderr:write("\r\27[K") end
    io.stdout:write(write_report(report, options.out))
    io.stdout:write("report: ", options.out, "/audit.json, ", options.out, "/audit.txt\n")
  end)
  if watched then peri.spawn({ daemon = true, name = "progress" }, show_progress, report) end
  audit(options, report)
end
