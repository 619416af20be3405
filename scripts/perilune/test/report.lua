-- The reporter of `perilune test`: one for all files, in a VM of its own. The program calls begin once, file for each file in
-- each round, and finish, with texts; finish exits with the code that the results ask for.
local json = require "perilune.json"

local report = {}

local totals = { passed = 0, failed = 0, skipped = 0, listed = 0, invalid = 0 }
local run      -- what was asked for
local formats  -- whom to tell: tables with begin(run), file(record) and finish(totals)

local function fail_usage(text)
  io.stdout:flush()
  io.stderr:write("perilune: ", text, "\n")
  os.exit(2)
end

function report.begin(seed, rounds, files, shuffled, cancelling, listing, verbose, tap, color, filter, junit)
  run = {
    seed = math.tointeger(tonumber(seed)), rounds = math.tointeger(tonumber(rounds)), files = math.tointeger(tonumber(files)),
    shuffle = shuffled == "yes", cancel_here = cancelling == "yes", list = listing == "yes", verbose = verbose == "yes",
    color = color == "yes", filter = filter, junit = junit,
  }
  formats = { (require(tap == "yes" and "perilune.test.report_tap" or "perilune.test.report_text")) }
  if junit ~= "" then formats[2] = require "perilune.test.report_junit" end
  for _, format in ipairs(formats) do format.begin(run) end
end

-- What a file has done besides its tests counts as one more test, which failed.
local function file_failure(path, how, text)
  if how == "ran" and text == "" then return end
  totals.invalid = totals.invalid + (how == "invalid" and 1 or 0)
  local named = text:match("^(.-):%d+:") == path
  local place = named and text:match("^.-:(%d+):")
  return {
    name = how == "ran" and "after the tests" or "the file", of_file = true, file = path, line = math.tointeger(tonumber(place)),
    status = "failed", why = text, seconds = 0, real_seconds = 0,
  }
end

function report.file(path, seed, how, text, ...)
  local record = { path = path, seed = math.tointeger(tonumber(seed)), results = {} }
  for i = 1, select("#", ...) do record.results[i] = json.decode((select(i, ...))) end
  record.results[#record.results + 1] = file_failure(path, how, text)
  for _, result in ipairs(record.results) do totals[result.status] = totals[result.status] + 1 end
  for _, format in ipairs(formats) do format.file(record) end
end

function report.finish()
  if totals.passed + totals.failed + totals.skipped + totals.listed == 0 then
    fail_usage(run.filter ~= "" and ("test: no test matches '" .. run.filter .. "'") or "test: the files have no tests")
  end
  for _, format in ipairs(formats) do
    local problem = format.finish(totals)
    if problem then fail_usage("test: " .. problem) end
  end
  if totals.failed == 0 then os.exit(0) end
  os.exit(totals.failed == totals.invalid and 3 or 1)
end

return report
