-- What a run tells whoever shows or records it: one stream of events, in order, each a table. Every text in it has its secrets
-- masked already. A listener is a function of the event; it must not wait. `time` is wall-clock seconds, `at` seconds since
-- the run began.
--
--   run_started    run (id), pipeline, file, total, keys (planned steps in order), jobs, resumed_from, steps (the
--                  same as {key, name, doc, place, needs, after, executor, last (behind all that are not)})
--   step_added     key, name, by (key of the Lua step or fan-out that added it), executor
--   step_waiting   key, pool       a slot is not free
--   step_started   key, name, doc, attempt, attempts, command, log (path), reason (why it runs),
--                  interactive (it has the terminal for itself)
--   line           key, stream ("stdout" or "stderr"), text (no newline), partial (more of the line follows)
--   step_retry     key, attempt, attempts, delay, why
--   step_finished  key, name, state, reason, code, signal, duration, attempts, place, command, log, tail (last lines of a
--                  failure), user, system (processor seconds), message, needs, allowed (attempts at most),
--                  left (processes of its group that its command had left; they were ended), silent (it printed nothing, so that
--                  there is no log)
--                  state: "succeeded" "cached" "skipped" "failed" "timeout" "blocked" (something it needs did not succeed)
--                  "cancelled" (it had begun when the run was ended) "not_run" (it had not)
--   terminal       key, taken      a step or a question has the terminal to itself, until it is told again with taken = false
--   suspended      Ctrl-Z: the program is about to stop
--   continued      it goes on
--   stopping       signal, count   a signal came (or --timeout, or a watcher's reason); waiting_for (keys); told again every
--                  two seconds as long as something is waited for
--   processes_left count, keys     what had left its group was ended at the end of the run; steps that it came from
--   warning        key, place, message   nothing fails by it, but somebody should know
--   executor_trouble executor, message   a queue did not do as it was told
--   run_finished   run, status ("success" "failure" "cancelled"), duration, counts {state = n}, first_failure (key), resume,
--                  broken (why the run was broken off: what it keeps could not be kept)
--
-- A run makes one stream; listeners are added before it starts.
local peri = require "perilune"

local stream = {}
stream.__index = stream

local events = {}

function events.new(mask)
  return setmetatable({ listeners = {}, mask = mask, began = peri.now() }, stream)
end

function stream:listen(fn) self.listeners[#self.listeners + 1] = fn end

local masked_fields = { "text", "command", "message", "reason", "why", "doc" }

function stream:emit(kind, event)
  event.event, event.time, event.at = kind, peri.clock(), peri.now() - self.began
  if self.mask:hides_any() then
    for _, field in ipairs(masked_fields) do
      if type(event[field]) == "string" then event[field] = self.mask(event[field]) end
    end
  end
  for i = 1, #self.listeners do self.listeners[i](event) end
end

return events
