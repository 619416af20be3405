-- Results as JUnit XML, written when all is over.
local markup = require "perilune.markup"
local attribute, content = markup.attribute, markup.text

local junit = {}

local run
local suites = {}

local function sums(results)
  local failed, skipped, seconds = 0, 0, 0
  for _, result in ipairs(results) do
    failed = failed + (result.status == "failed" and 1 or 0)
    skipped = skipped + (result.status == "skipped" and 1 or 0)
    seconds = seconds + (result.real_seconds or 0)
  end
  return ('tests="%d" failures="%d" errors="0" skipped="%d" time="%.3f"'):format(#results, failed, skipped, seconds)
end

local function write_case(out, result, record)
  out[#out + 1] = ('    <testcase classname="%s" name="%s" file="%s"%s time="%.3f"'):format(
    attribute(record.path), attribute(result.name), attribute(result.file),
    result.line and (' line="%d"'):format(result.line) or "", result.real_seconds or 0)
  if result.status == "failed" then
    local first = result.why:match("^[^\n]*")
    out[#out + 1] = ('>\n      <failure message="%s">%s</failure>\n    </testcase>\n'):format(attribute(first), content(result.why))
  elseif result.status == "skipped" then
    out[#out + 1] = ('>\n      <skipped message="%s"/>\n    </testcase>\n'):format(attribute(result.why))
  else
    out[#out + 1] = "/>\n"
  end
end

function junit.begin(what) run = what end

function junit.file(record) suites[#suites + 1] = record end

function junit.finish()
  local all, out = {}, {}
  for _, record in ipairs(suites) do
    out[#out + 1] = ('  <testsuite name="%s" %s>\n    <properties><property name="seed" value="%d"/></properties>\n'):format(
      attribute(record.path), sums(record.results), record.seed)
    for _, result in ipairs(record.results) do
      all[#all + 1] = result
      write_case(out, result, record)
    end
    out[#out + 1] = "  </testsuite>\n"
  end
  local file, why = io.open(run.junit, "w")
  if not file then return "cannot write " .. why end
  file:write('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="perilune" ', sums(all), ">\n", table.concat(out), "</testsuites>\n")
  file:close()
end

return junit
