-- A run in words, event by event: the lines of steps with their keys, what begins and ends, the failures, the summary. Where
-- a line goes, and when, is up to the place that it is given to:
--
--   place:step(key, stream, prefix, text, partial)   a line of a step; `partial`: more of it follows
--   place:note(key, text)                            a line about a step
--   place:say(text)                                  a line about the run
--   place:before(event), place:after(event)          every event, before and after it was told
--   place:silence()                                  seconds since a line went out; a place without it shows what runs itself
--   place:close()                                    nothing follows; whatever is held must go out
local peri = require "perilune"
local ci = require "perilune.pipeline.ci"
local failure = require "perilune.pipeline.failure"
local first_line = require("perilune.pipeline.line").first
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"

local output_text = {}
output_text.__index = output_text

local most_blocks <const> = 10
local longest_silence <const> = 60

local function keys_after(list, first, most)
  local keys = {}
  for i = first, math.min(#list, first + most - 1) do keys[#keys + 1] = list[i].key end
  if #list > first + most - 1 then keys[#keys + 1] = "..." end
  return table.concat(keys, ", ")
end

-- reader: see terminal.lua. options: {bare = no keys before lines, marks = signs before endings, starts = tell beginnings}
function output_text.new(place, record, reader, style, options)
  local self = setmetatable({ place = place, record = record, reader = reader, style = style, options = options, prefixes = {} }, output_text)
  if place.silence and not reader.quiet then
    self.heart = peri.spawn({ name = "still running", daemon = true }, self.break_silences, self)
  end
  return self
end

-- The steps that run.
local function running(self)
  local steps = {}
  for _, step in ipairs(self.record.data.steps) do
    if step.state == "running" then steps[#steps + 1] = step end
  end
  return steps
end

-- So that nobody takes a run for dead: names what runs whenever nothing has been said for a while.
function output_text:break_silences()
  while true do
    peri.sleep(longest_silence - self.place:silence())
    if self.place:silence() >= longest_silence then
      self.place:say("still running: " .. keys_after(running(self), 1, 10))
    end
  end
end

local endings = { succeeded = "done", cached = "cached", skipped = "skipped", failed = "FAILED", timeout = "TIMED OUT",
                  blocked = "blocked", cancelled = "cancelled", not_run = "not run" }

local tell = {}

-- Commands for a CI service must stand at the beginning of their line.
function output_text:prefix_of(event)
  if self.options.bare or event.text:sub(1, 2) == "::" then return "" end
  local prefix = self.prefixes[event.key]
  if not prefix then
    local colored = self.reader.color_out and self.reader.color_err
    prefix = colored and self.style:key(event.key) .. self.style:paint("dim", " | ") or event.key .. " | "
    self.prefixes[event.key] = prefix
  end
  return prefix
end

function tell.line(self, event)
  if self.reader.mute then return end
  self.place:step(event.key, event.stream, self:prefix_of(event), event.text, event.partial)
end

function tell.step_waiting(self, event)
  if self.reader.verbose then self.place:note(event.key, ("%s: waits for a slot of pool %s"):format(event.key, event.pool)) end
end

function tell.step_started(self, event)
  if self.reader.quiet or not (self.options.starts or self.reader.verbose) then return end
  local extra = event.attempt > 1 and (" (attempt %d/%d)"):format(event.attempt, event.attempts) or ""
  if self.reader.verbose and event.reason then extra = extra .. self.style:paint("dim", " [" .. event.reason .. "]") end
  local command = self.reader.verbose and event.command or first_line(event.command)
  self.place:note(event.key, self.style:key(event.key) .. ": " .. command .. extra)
end

function tell.step_retry(self, event)
  self.place:note(event.key, ("%s: attempt %d/%d: %s, again in %s"):format(self.style:key(event.key), event.attempt, event.attempts,
                                                                          event.why, text.seconds(event.delay)))
end

function tell.stopping(self, event)
  local steps = running(self)
  local waits = #steps > 0 and keys_after(steps, 1, 20) or "nothing"
  local what = event.count == 1 and "stopping" or "killing"
  self.place:say(self.style:paint("yellow", ("%s: %s; waiting for %s"):format(event.signal, what, waits)))
end

local never_ran <const> = { blocked = true, not_run = true }

local function worth_telling(self, event)
  if self.reader.quiet or never_ran[event.state] or event.state == "cancelled" then return false end
  if event.state == "succeeded" then return event.command ~= nil end
  return self.reader.verbose or not self.options.marks or not (event.state == "cached" or event.state == "skipped")
end

function tell.processes_left(self, event)
  self.place:say(("%s: %s; ended"):format(text.left(event.count), table.concat(event.keys, ", ")))
end

function tell.warning(self, event)
  self.place:say(self.style:paint("yellow", ("%s: warning: %s"):format(event.place or event.key, event.message)))
end

function tell.executor_trouble(self, event)
  self.place:say(("executor '%s': %s"):format(event.executor, event.message))
end

function tell.step_finished(self, event)
  if (event.left or 0) > 0 then self.place:note(event.key, ("%s: %s; ended"):format(self.style:key(event.key), text.left(event.left))) end
  if not worth_telling(self, event) then return end
  local step = self.record.by_key[event.key]
  local extra
  if event.state == "cached" or event.state == "skipped" then
    extra = event.reason and " (" .. event.reason .. ")" or ""
  else
    extra = ", " .. text.seconds(step.duration)
    if event.state ~= "succeeded" then extra = ", " .. first_line(failure.how(step)) .. extra end
  end
  local sign = self.options.marks and self.style:sign(event.state) .. " " or ""
  self.place:note(event.key, ("%s%s: %s%s"):format(sign, self.style:key(event.key), self.style:state(event.state, endings[event.state]), extra))
end

-- The blocks of the first failures, the very first one last; the others are counted.
local function tell_failures(self)
  local failures = self.record.failures
  if #failures > most_blocks then
    self.place:say ""
    self.place:say(("%d more failed: %s"):format(#failures - most_blocks, keys_after(failures, most_blocks + 1, 10)))
  end
  for i = math.min(#failures, most_blocks), 1, -1 do
    for _, line in ipairs(failure.block(failures[i], self.style)) do self.place:say(line) end
  end
end

-- For the CI service: each failure beside the file, the first one first.
local function tell_marks(self)
  local marks = ci.marks(self.reader.ci)
  if not marks or not marks.failure then return end
  for i, step in ipairs(self.record.failures) do
    if i <= most_blocks then self.place:say(marks.failure(step, failure.how(step))) end
  end
end

-- The keys of steps that may only stand for others: for rows of a matrix, or items of a fan-out.
local function groups(steps)
  local keys = {}
  for _, step in ipairs(steps) do
    if step.added_by then keys[step.added_by] = true end
    if step.name ~= step.key then keys[step.name] = true end
  end
  return keys
end

-- What ended before its time, and what never began.
local function tell_followers(self)
  local ended, unbegun, stands_for = {}, {}, groups(self.record.data.steps)
  for _, step in ipairs(self.record.data.steps) do
    local list = step.state == "cancelled" and ended or never_ran[step.state] and unbegun
    if list and (step.command or not stands_for[step.key]) then list[#list + 1] = step end
  end
  local words = #self.record.failures > 0 and "%d more %s because of that: %s" or "%d %s: %s"
  for _, both in ipairs { { ended, "cancelled" }, { unbegun, "not run" } } do
    if #both[1] > 0 then self.place:say(words:format(#both[1], both[2], keys_after(both[1], 1, 5))) end
  end
end

function tell.run_finished(self, event)
  tell_failures(self)
  tell_marks(self)
  tell_followers(self)
  if event.broken then self.place:say("broken off: " .. event.broken) end
  if event.status ~= "success" and event.resume then self.place:say("resume: " .. event.resume) end
  if self.reader.quiet and event.status == "success" then return end
  for _, line in ipairs(summary.lines(self.record, self.style)) do self.place:say(line) end
end

function output_text:hear(event)
  if self.place.before then self.place:before(event) end
  local words = tell[event.event]
  if words then words(self, event) end
  if self.place.after then self.place:after(event) end
end

function output_text:close()
  if self.heart then self.heart:cancel() end
  self.place:close()
end

return output_text
