-- What a person reads of a run where there is no terminal, and in plain mode: one whole line at a time, each with the key of its
-- step; then what failed, the root cause last, and a summary. Steps' standard output goes to standard output, all else to
-- standard error.
local json = require "perilune.json"
local text = require "perilune.pipeline.text"

local output = {}

local function say(...)
  io.stdout:flush()
  io.stderr:write(table.concat({ ... }), "\n")
end

local endings = { succeeded = "done", cached = "cached", skipped = "skipped", failed = "FAILED", timeout = "TIMED OUT",
                  blocked = "blocked", cancelled = "cancelled" }

local function how_it_ended(event)
  if event.state == "timeout" then return event.message or "timed out" end
  if event.signal then return "signal " .. event.signal end
  if event.code then return "exit " .. event.code end
  return event.message or event.state
end

local function failure_block(event)
  say("")
  say("failed: ", event.key, event.place and "  (" .. event.place .. ")" or "")
  if event.command then say("  command: ", (event.command:gsub("\n", "\n           "))) end
  say("  ", how_it_ended(event), event.attempts and (", attempt %d/%d"):format(event.attempts, event.allowed) or "")
  if event.message and event.code then say("  ", event.message) end
  for _, line in ipairs(event.tail or {}) do say("  | ", line) end
  if event.log then say("  log: ", event.log) end
end

local order = { "succeeded", "cached", "skipped", "failed", "timeout", "blocked", "cancelled" }

local function summary(event, processor)
  local parts = {}
  for _, state in ipairs(order) do
    if event.counts[state] then parts[#parts + 1] = event.counts[state] .. " " .. state end
  end
  return ("%s: %s in %s, cpu %s"):format(event.status, #parts > 0 and table.concat(parts, ", ") or "nothing to do",
                                        text.seconds(event.duration), text.seconds(processor))
end

local shown = {}

function shown.line(event, mode)
  local to = event.stream == "stdout" and io.stdout or io.stderr
  if to == io.stderr then io.stdout:flush() end
  local prefix = (mode.bare or event.text:sub(1, 2) == "::") and "" or event.key .. " | "
  to:write(prefix, event.text, "\n")
end

function shown.step_started(event, mode)
  if not mode.quiet then
    say(event.key, ": ", event.command, event.attempt > 1 and (" (attempt %d/%d)"):format(event.attempt, event.attempts) or "")
  end
end

function shown.step_retry(event)
  say(event.key, ": ", event.why, (", again in %.1fs"):format(event.delay))
end

function shown.stopping(event)
  say(event.signal, ": stopping; waiting for ", #event.waiting_for > 0 and table.concat(event.waiting_for, ", ") or "nothing")
end

function shown.step_finished(event, mode)
  if event.state == "failed" or event.state == "timeout" then
    mode.failures[#mode.failures + 1] = event
  elseif event.state == "blocked" or event.state == "cancelled" then
    mode.followed = mode.followed + 1
    return
  end
  mode.processor = mode.processor + (event.user or 0) + (event.system or 0)
  if mode.quiet or event.state == "succeeded" and not event.command then return end
  say(event.key, ": ", endings[event.state], event.reason and (event.state == "cached" or event.state == "skipped") and " (" .. event.reason .. ")" or "")
end

function shown.run_finished(event, mode)
  for i = #mode.failures, 1, -1 do failure_block(mode.failures[i]) end
  if mode.followed > 0 then say(("%d more not run because of that"):format(mode.followed)) end
  if event.status ~= "success" and event.resume then say("resume: ", event.resume) end
  if not mode.quiet or event.status ~= "success" then say(summary(event, mode.processor)) end
end

-- A listener for a run's events. mode: "prefix", "quiet", "json" (one event a line, on standard output), and what needs a
-- terminal or groups, which is shown as "prefix" is.
function output.listener(name)
  if name == "json" then
    return function(event) io.stdout:write(json.encode(event), "\n") end
  end
  local mode = { quiet = name == "quiet", failures = {}, followed = 0, processor = 0 }
  return function(event)
    local show = shown[event.event]
    if show then show(event, mode) end
  end
end

return output
