-- A run as a Chrome trace (chrome://tracing, Perfetto): each attempt of a step a slice, in as many rows as ran at once.
local json = require "perilune.json"
local encode = require("perilune.pipeline.any_json").readable

local microseconds <const> = 1e6

local function attempts_of(data)
  local list = {}
  for _, step in ipairs(data.steps) do
    for n, attempt in ipairs(step.attempts) do
      list[#list + 1] = { step = step, n = n, from = attempt.started, to = attempt.ended or step.ended or data.duration or attempt.started,
                          why = attempt.why }
    end
  end
  table.sort(list, function(a, b)
    if a.from ~= b.from then return a.from < b.from end
    return a.step.key < b.step.key
  end)
  return list
end

-- The first row that is free at that time.
local function row_for(rows, from, to)
  for i, busy_until in ipairs(rows) do
    if busy_until <= from then
      rows[i] = to
      return i
    end
  end
  rows[#rows + 1] = to
  return #rows
end

return function(data)
  local critical, events, rows = {}, json.array {}, {}
  for _, key in ipairs(data.critical_path or {}) do critical[key] = true end
  for _, one in ipairs(attempts_of(data)) do
    local step = one.step
    events[#events + 1] = {
      name = step.key, cat = critical[step.key] and "step,critical" or "step", ph = "X", pid = 1, tid = row_for(rows, one.from, one.to),
      ts = one.from * microseconds, dur = (one.to - one.from) * microseconds,
      args = { state = one.why or step.state, attempt = one.n, command = step.command, reason = step.reason, place = step.place,
               critical = critical[step.key] or false },
    }
  end
  local function name(kind, tid, words)
    table.insert(events, { name = kind, ph = "M", pid = 1, tid = tid, ts = 0, args = { name = words } })
  end
  name("process_name", 0, data.pipeline or data.file)
  for i = 1, #rows do name("thread_name", i, "slot " .. i) end
  return encode { traceEvents = events, displayTimeUnit = "ms", otherData = { run = data.run, status = data.status } } .. "\n"
end
