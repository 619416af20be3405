-- Audits a folder: hashes and compresses every file below it with real child processes, and reports by extension.
--
--   perilune run audit.lua FOLDER [--jobs N] [--limit N] [--out FOLDER]
--
-- A walker feeds paths into stages that are joined by bounded channels: whoever is too fast waits, so memory stays small
-- however large the folder is. In each stage `jobs` workers take files, and what a stage does with a file is a task of its
-- own: a file that cannot be read, or is gone by the time its turn comes, is a failed join in the report and nothing more.
-- Ctrl-C cancels the tree: the child processes are ended, and the report says that it is partial.
local peri = require "perilune"
local fs, json, process = peri.fs, peri.json, peri.process

-- The command line.

local function refuse(text)
  io.stderr:write("audit: ", text, "\nusage: perilune run audit.lua FOLDER [--jobs N] [--limit N] [--out FOLDER]\n")
  os.exit(2)
end

local function read_command_line(words)
  local options, i = { out = "." }, 1
  while i <= #words do
    local word, value = words[i], words[i + 1]
    local flag = word:match("^%-%-(%a+)$")
    if flag == "jobs" or flag == "limit" then
      options[flag] = math.tointeger(tonumber(value))
      if (options[flag] or 0) < 1 then refuse("--" .. flag .. " takes a number from 1 on") end
    elseif flag == "out" then
      options.out = value or refuse("--out takes a folder")
    elseif word:find("^%-") then
      refuse("unknown flag '" .. word .. "'")
    elseif options.folder then
      refuse("one folder at a time; '" .. word .. "' is one too many")
    else
      options.folder = word
    end
    i = i + (flag and 2 or 1)
  end
  if not options.folder then refuse("no folder given") end
  local ok, facts = pcall(fs.stat, options.folder)
  if not ok then refuse(facts.message) end
  if facts.type ~= "directory" then refuse(options.folder .. " is not a folder") end
  options.jobs = options.jobs or tonumber(process.run { argv = { "nproc" } }.stdout)
  return options
end

-- What is done with a file. Each of these runs as a task of its own; what it raises goes into the report.

local function measure_and_hash(file)
  file.bytes = fs.stat(file.path).size
  local told = process.run { argv = { "sha256sum", "--", file.path } }.stdout
  file.hash = told:match("^\\?(%x+)") -- a backslash comes before the hash of an odd name
end

local function compress(file)
  local gzip <close> = process.spawn { argv = { "gzip", "-c", "--", file.path }, stdin = "null", stderr = "capture" }
  local size = 0
  for block in function() return gzip.stdout:read(65536) end do size = size + #block end
  local complaint = gzip.stderr:read("all")
  local warned <const> = 2
  local code = gzip:wait().code
  if code ~= 0 and code ~= warned then error(complaint:match("[^\n]+") or "gzip failed", 0) end
  file.compressed = size
end

-- The stages.

-- Feeds every file below the folder. A folder that cannot be listed is a failure like that of a file.
local function walk(options, report, found)
  local _ <close> = found
  for path, entry in fs.walk(options.folder) do
    if entry.error or entry.type == "file" then
      report.found = report.found + 1
      found:send { path = path, failure = entry.error }
      if report.found == options.limit then return end
    end
  end
end

-- Takes files, does `step` with each in a child task, and sends them on; those that have failed before just pass through.
local function work(step, from, to)
  for file in from:iter() do
    if not file.failure then
      local ok, e = peri.spawn({ name = file.path }, step, file):join()
      if not ok then file.failure = e end
    end
    to:send(file)
  end
end

-- A stage is as many workers as there are jobs. When the last has left, or something went wrong, the next stage sees the end.
local function stage(jobs, step, from, to)
  local _ <close> = to
  peri.scope(function(workers)
    for _ = 1, jobs do workers:spawn(work, step, from, to) end
  end)
end

local function audit(options, report, add)
  local found, hashed, compressed = peri.channel(64), peri.channel(16), peri.channel(16)
  peri.scope(function(stages)
    stages:spawn(walk, options, report, found)
    stages:spawn(stage, options.jobs, measure_and_hash, found, hashed)
    stages:spawn(stage, options.jobs, compress, hashed, compressed)
    for file in compressed:iter() do add(report, file) end
  end)
  report.complete = true
end

-- The report.

local function new_report(options)
  local none = { files = 0, bytes = 0, compressed = 0 }
  return { folder = options.folder, jobs = options.jobs, complete = false, begun = peri.now(), found = 0, total = none,
           duplicates = 0, seen = {}, by_extension = {}, failures = {} }
end

local function add(report, file)
  if file.failure then
    local e = file.failure
    report.failures[#report.failures + 1] = { path = file.path, kind = e.kind, code = e.code, message = e.message }
    return
  end
  local name = file.path:match("[^/]*$")
  local extension = name:match("^.+%.([%w_-]+)$") or "(none)"
  local row = report.by_extension[extension] or { extension = extension, files = 0, bytes = 0, compressed = 0 }
  report.by_extension[extension] = row
  for _, sum in ipairs { report.total, row } do
    sum.files = sum.files + 1
    sum.bytes = sum.bytes + file.bytes
    sum.compressed = sum.compressed + file.compressed
  end
  if report.seen[file.hash] and file.bytes > 0 then report.duplicates = report.duplicates + 1 end
  report.seen[file.hash] = true
end

-- The extensions with the most bytes first.
local function rows_of(report)
  local rows = {}
  for _, row in pairs(report.by_extension) do rows[#rows + 1] = row end
  table.sort(rows, function(a, b)
    if a.bytes ~= b.bytes then return a.bytes > b.bytes end
    return a.extension < b.extension
  end)
  return rows
end

local function as_json(report)
  return json.encode({
    folder = report.folder, complete = report.complete, jobs = report.jobs, seconds = peri.now() - report.begun,
    found = report.found, audited = report.total, duplicates = report.duplicates,
    by_extension = json.array(rows_of(report)), failures = json.array(report.failures),
  }, { indent = 2 }) .. "\n"
end

local function size(bytes)
  if bytes < 1000 then return ("%d B "):format(bytes) end
  for _, unit in ipairs { "kB", "MB", "GB" } do
    bytes = bytes / 1000
    if bytes < 1000 or unit == "GB" then return ("%.1f %s"):format(bytes, unit) end
  end
end

local shown_rows <const>, shown_failures <const> = 20, 10

local function as_table(report, bold)
  local lines = {}
  local function add_line(format, ...) lines[#lines + 1] = format:format(...) end
  local function add_row(name, row)
    local ratio = row.bytes > 0 and ("%.0f %%"):format(100 * row.compressed / row.bytes) or "-"
    add_line("%-20s %8d %10s %10s %7s", name, row.files, size(row.bytes), size(row.compressed), ratio)
  end
  lines[1] = bold(("%-20s %8s %10s %10s %7s"):format("extension", "files", "size", "gzipped", "ratio"))
  local rest = { files = 0, bytes = 0, compressed = 0 }
  local rows = rows_of(report)
  for i, row in ipairs(rows) do
    if i <= shown_rows then
      add_row(row.extension, row)
    else
      for field in pairs(rest) do rest[field] = rest[field] + row[field] end
    end
  end
  if #rows > shown_rows then add_row(("(%d others)"):format(#rows - shown_rows), rest) end
  add_row("total", report.total)
  add_line("\n%d of them hold the same bytes as another; %d could not be audited", report.duplicates, #report.failures)
  for i = 1, math.min(#report.failures, shown_failures) do add_line("  %s", report.failures[i].message) end
  if #report.failures > shown_failures then add_line("  and %d more", #report.failures - shown_failures) end
  if not report.complete then
    lines[#lines + 1] = bold(("PARTIAL: interrupted after %d of %d files found so far"):format(report.total.files, report.found))
  end
  return table.concat(lines, "\n") .. "\n"
end

-- What a person sees. The progress is one line that is written over, and only where somebody looks.

local function plain(text) return text end
local function bold(text) return "\27[1m" .. text .. "\27[0m" end

-- Whether standard output and standard error are terminals.
local function terminals()
  if os.getenv("TERM") == "dumb" then return false, false end
  local ask = "n=0; test -t 1 && n=1; test -t 2 && n=$((n + 2)); exit $n"
  local told = process.run { sh = ask, stdout = "inherit", stderr = "inherit", check = false }.code
  return told & 1 ~= 0, told & 2 ~= 0
end

local function show_progress(report)
  local every <close> = peri.interval(0.1)
  while true do
    every:tick()
    local done = report.total.files + #report.failures
    io.stderr:write(("\r\27[K%d of %d files  %s  %d failed  %.0f s"):format(done, report.found, size(report.total.bytes),
      #report.failures, peri.now() - report.begun))
    io.stderr:flush()
  end
end

-- The program.

local options = read_command_line(arg)
fs.mkdir(options.out, { recursive = true })
local output_is_terminal, errors_are_terminal = terminals()
local report = new_report(options)
do
  -- However the audit ends, by its end, by an error or by Ctrl-C: what is known by then is reported.
  local _ <close> = peri.defer(function()
    if errors_are_terminal then io.stderr:write("\r\27[K") end
    fs.write(options.out .. "/audit.json", as_json(report))
    fs.write(options.out .. "/audit.txt", as_table(report, plain))
    local coloured = output_is_terminal and (os.getenv("NO_COLOR") or "") == ""
    io.stdout:write(as_table(report, coloured and bold or plain))
    io.stdout:write("report: ", options.out, "/audit.json, ", options.out, "/audit.txt\n")
  end)
  if errors_are_terminal then peri.spawn({ daemon = true, name = "progress" }, show_progress, report) end
  audit(options, report, add)
end
