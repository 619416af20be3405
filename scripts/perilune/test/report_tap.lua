-- Results in the Test Anything Protocol, version 14.
local tap = {}

local count, run = 0, nil

-- A hash or a backslash in a description would begin a directive or an escape; a line break would end it.
local function described(name) return (name:gsub("[#\\]", "\\%0"):gsub("%s*\n%s*", " ")) end

local function write_details(result, record)
  io.write("  ---\n  at: ", result.file, result.line and ":" .. result.line or "", "\n  seed: ", record.seed, "\n  message: |\n")
  for line in (result.why .. "\n"):gmatch("(.-)\n") do io.write("    ", line, "\n") end
  io.write("  ...\n")
end

function tap.begin(what)
  run = what
  io.write("TAP version 14\n")
end

function tap.file(record)
  for _, result in ipairs(record.results) do
    count = count + 1
    io.write(result.status == "failed" and "not ok " or "ok ", count, " - ", described(result.name))
    if result.status == "skipped" then io.write(" # SKIP ", described(result.why)) end
    io.write("\n")
    if result.status == "failed" then write_details(result, record) end
  end
  io.stdout:flush()
end

function tap.finish() io.write("1..", count, "\n# seed ", run.seed, "\n") end

return tap
