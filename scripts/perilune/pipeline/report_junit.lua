-- A run as JUnit XML: a test case for each step that did something.
local markup = require "perilune.markup"
local failure = require "perilune.pipeline.failure"

local attribute, content = markup.attribute, markup.text

local failed = { failed = true, timeout = true }
local not_run = { skipped = true, blocked = true, cancelled = true, not_run = true, pending = true }

local function place_attributes(step)
  local file, line = (step.place or ""):match("^(.-):(%d+)")
  return file and (' file="%s" line="%s"'):format(attribute(file), line) or ""
end

local function write_case(out, step)
  out[#out + 1] = ('    <testcase classname="%s" name="%s"%s time="%.3f"'):format(attribute(step.name), attribute(step.key),
                                                                                place_attributes(step), step.duration or 0)
  if failed[step.state] then
    local lines = { step.command or "", table.unpack(step.tail or {}) }
    out[#out + 1] = ('>\n      <failure type="%s" message="%s">%s</failure>\n    </testcase>\n'):format(step.state,
      attribute(failure.how(step)), content(table.concat(lines, "\n")))
  elseif not_run[step.state] then
    local why = step.state .. (step.reason and ": " .. step.reason or "")
    out[#out + 1] = ('>\n      <skipped message="%s"/>\n    </testcase>\n'):format(attribute(why))
  else
    out[#out + 1] = "/>\n"
  end
end

return function(data)
  local cases, counts = {}, { tests = 0, failures = 0, skipped = 0 }
  for _, step in ipairs(data.steps) do
    if step.command or step.state ~= "succeeded" then
      counts.tests = counts.tests + 1
      counts.failures = counts.failures + (failed[step.state] and 1 or 0)
      counts.skipped = counts.skipped + (not_run[step.state] and 1 or 0)
      write_case(cases, step)
    end
  end
  local sums = ('tests="%d" failures="%d" errors="0" skipped="%d" time="%.3f"'):format(counts.tests, counts.failures, counts.skipped,
                                                                                    data.duration or 0)
  local name = attribute(data.pipeline or data.file)
  return table.concat {
    '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="', name, '" ', sums, ">\n",
    ('  <testsuite name="%s" %s timestamp="%s">\n'):format(name, sums, os.date("!%Y-%m-%dT%H:%M:%S", math.floor(data.started))),
    ('    <properties><property name="run" value="%s"/></properties>\n'):format(attribute(data.run)),
    table.concat(cases), "  </testsuite>\n</testsuites>\n",
  }
end
