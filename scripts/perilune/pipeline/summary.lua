-- The end of a run in a few lines: counts, wall and processor time, cache hits, the critical path, the slowest steps.
local text = require "perilune.pipeline.text"

local summary = {}

local order = { "succeeded", "cached", "skipped", "failed", "timeout", "blocked", "cancelled", "not_run" }
local words = { timeout = "timed out", not_run = "not run" }
summary.words = words
summary.order = order

-- "2 succeeded, 1 failed", or what to say of a run without steps.
function summary.counts(counts, style)
  local parts = {}
  for _, state in ipairs(order) do
    local words_of = counts[state] and ("%d %s"):format(counts[state], words[state] or state)
    if words_of then parts[#parts + 1] = style and style:state(state, words_of) or words_of end
  end
  return #parts > 0 and table.concat(parts, ", ") or "nothing to do"
end

-- The share of steps that were up to date, of those that were judged at all; nil where none was.
function summary.cache_hits(counts)
  local hits = counts.cached or 0
  local judged = hits + (counts.succeeded or 0) + (counts.failed or 0) + (counts.timeout or 0)
  return hits > 0 and ("cache hits %d/%d"):format(hits, judged) or nil
end

local most_shown <const> = 8

local function timed(steps, separator, style)
  local parts = {}
  for i, step in ipairs(steps) do
    if i > most_shown and i < #steps then
      if i == most_shown + 1 then parts[#parts + 1] = ("(%d more)"):format(#steps - most_shown - 1) end
    else
      parts[#parts + 1] = style:key(step.key) .. " " .. text.seconds(step.duration)
    end
  end
  return table.concat(parts, separator)
end

function summary.lines(record, style)
  local data = record.data
  local parts = { summary.counts(data.counts, style) .. " in " .. text.seconds(data.duration),
                  "cpu " .. text.seconds(data.cpu.user + data.cpu.system) }
  parts[#parts + 1] = summary.cache_hits(data.counts)
  local lines = { style:state(data.status, style:paint("bold", data.status)) .. ": " .. table.concat(parts, ", ") }
  if #record.critical > 0 then
    lines[#lines + 1] = "critical path: " .. timed(record.critical, style.unicode and " → " or " -> ", style)
  end
  if #record.slowest > 1 then lines[#lines + 1] = "slowest: " .. timed(record.slowest, ", ", style) end
  return lines
end

return summary
