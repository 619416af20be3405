-- Reports: a run's record (record.lua) in the forms that others read.
local fs = require "perilune.fs"
local text = require "perilune.pipeline.text"

local report = {}

-- Each: a module that returns a function from a record to the text of the report. "json" is the record itself.
local modules = { html = "report_html", junit = "report_junit", markdown = "report_markdown", trace = "report_trace" }
local formats = require("perilune.cli.vocabulary").commands.report.formats

function report.render(data, format)
  if text.one_of("format", format, formats) == "json" then
    return require("perilune.pipeline.any_json").readable(data, { indent = 2 }) .. "\n"
  end
  return require("perilune.pipeline." .. modules[format])(data)
end

-- What --report FORMAT=PATH and --trace PATH ask for: a list of {format, path}; the path - is standard output.
function report.requests(values)
  local requests = {}
  for _, word in ipairs(values.report or {}) do
    local format, path = word:match("^([^=]+)=(.+)$")
    if not format then text.refuse(2, "--report FORMAT=PATH expected, got '%s'", word) end
    requests[#requests + 1] = { format = text.one_of("report", format, formats), path = path }
  end
  if values.trace then requests[#requests + 1] = { format = "trace", path = values.trace } end
  return requests
end

local function write_one(path, data, format)
  local rendered = report.render(data, format)
  if path == "-" then
    io.write(rendered)
    return
  end
  local folder = path:match("^(.+)/[^/]*$")
  if folder then fs.mkdir(folder, { recursive = true }) end
  fs.write(path, rendered)
end

-- Writes them all; one that cannot be written keeps no other from being. Returns what went wrong, or nil.
function report.write(data, requests)
  local problems = {}
  for _, request in ipairs(requests) do
    local ok, problem = pcall(write_one, request.path, data, request.format)
    if not ok then problems[#problems + 1] = ("cannot write the %s report: %s"):format(request.format, tostring(problem)) end
  end
  return #problems > 0 and table.concat(problems, "\n") or nil
end

return report
