-- The runs that the database knows, newest first: as a table for people, as JSON for programs.
local json = require "perilune.json"
local any_json = require "perilune.pipeline.any_json"
local line = require "perilune.pipeline.line"
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"

local history = {}

-- {id, file, status, started, ended, duration, counts, targets, request}
local function entries(store)
  local counts, list = store:counts(), json.array {}
  for i, row in ipairs(store:runs()) do
    local request = json.decode(row.request) or {}
    for _, field in ipairs { "param", "hidden", "args" } do request[field] = json.array(request[field] or {}) end
    list[i] = { id = row.id, file = row.file, status = row.status, started = row.started, ended = row.ended, request = request,
                duration = row.ended and row.ended - row.started, counts = counts[row.id] or {}, targets = json.array(request.targets or {}) }
  end
  return list
end

function history.json(store) return any_json.readable(store and entries(store) or json.array {}, { indent = 2 }) end

local function pad(words, width) return words .. (" "):rep(width - line.width(words)) end

local function cells(entry)
  return { entry.id, os.date("%Y-%m-%d %H:%M:%S", math.floor(entry.started)), entry.status, entry.duration and text.seconds(entry.duration) or "",
           (entry.ended or next(entry.counts)) and summary.counts(entry.counts) or "", table.concat({ entry.file, table.unpack(entry.targets) }, " ") }
end

-- The lines of the table; styled by the state of each run.
function history.lines(store, style)
  local list = store and entries(store) or {}
  if #list == 0 then return { "nothing has run here yet" } end
  local rows, widths, lines = { { "RUN", "STARTED", "STATUS", "TIME", "STEPS", "WHAT" } }, {}, {}
  for _, entry in ipairs(list) do rows[#rows + 1] = cells(entry) end
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, line.width(cell)) end
  end
  for n, row in ipairs(rows) do
    local parts = {}
    for i, cell in ipairs(row) do
      local padded = i < #row and pad(cell, widths[i]) or cell
      parts[i] = n == 1 and style:paint("dim", padded) or i == 3 and style:state(cell, padded) or padded
    end
    lines[n] = table.concat(parts, "  ")
  end
  return lines
end

return history
