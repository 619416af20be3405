-- The time line of a run in HTML: a row for each step that ran, a bar for each attempt, the critical path in full color.
local markup = require "perilune.markup"
local text = require "perilune.pipeline.text"
local fill = markup.fill

local most_rows <const> = 2000
local ticks <const> = 5
local shortest_with_ticks <const> = 0.05
local dense_from <const> = 60

local function rows_of(data)
  local rows, adders = {}, {}
  for i, step in ipairs(data.steps) do
    if step.added_by then adders[step.added_by] = true end
    if #step.attempts > 0 then rows[#rows + 1] = { step = step, anchor = i } end
  end
  table.sort(rows, function(a, b) return (a.step.duration or 0) > (b.step.duration or 0) end)
  for i = #rows, most_rows + 1, -1 do rows[i] = nil end
  table.sort(rows, function(a, b)
    if a.step.started ~= b.step.started then return a.step.started < b.step.started end
    return a.anchor < b.anchor
  end)
  return rows, adders
end

local function bar(attempt, to, whole, class)
  return fill('<i{class} style="left:{left}%;width:{width}%"></i>', {
    class = class and ' class="' .. class .. '"' or "",
    left = math.min(attempt.started / whole * 100, 99.7), width = math.max((to - attempt.started) / whole * 100, 0.0),
  })
end

local row_template <const> = '<a class="row {class}" href="#s{anchor}" title="{words}"><span class="key">{key}</span>'
  .. '<span class="track">{bars}</span><span class="time">{time}</span></a>'

local function row_html(row, whole, critical, adds)
  local step, bars = row.step, {}
  for i, attempt in ipairs(step.attempts) do
    bars[i] = bar(attempt, attempt.ended or step.ended or whole, whole, attempt.why and "again")
  end
  local time = text.seconds(step.duration or 0)
  local words = ("%s: %s, %s"):format(step.key, step.state, time) .. (#bars > 1 and (", %d attempts"):format(#bars) or "")
  return fill(row_template, {
    class = step.state .. (critical[step.key] and " critical" or "") .. (adds and " adds" or ""), anchor = row.anchor,
    words = markup.attribute(words), key = markup.text(step.key), bars = table.concat(bars), time = time,
  })
end

local axis_template <const> = '<div class="row axis"><span></span><span class="track">{marks}</span><span class="time">{time}</span></div>'

local function axis(whole)
  local marks = {}
  for i = 0, whole < shortest_with_ticks and 0 or ticks - 1 do
    marks[#marks + 1] = ('<span style="left:%d%%">%s</span>'):format(i * 100 // ticks, text.seconds(whole * i / ticks))
  end
  return fill(axis_template, { marks = table.concat(marks), time = text.seconds(whole) })
end

-- critical: a set of keys.
return function(data, critical)
  local rows, adders = rows_of(data)
  if #rows == 0 then return '<p class="note">No step ran.</p>' end
  local whole = data.duration or 0
  for _, row in ipairs(rows) do whole = math.max(whole, row.step.ended or 0) end
  whole = math.max(whole, 0.001)
  local out = { ('<div class="scroll gantt%s">'):format(#rows >= dense_from and " dense" or ""), axis(whole) }
  for _, row in ipairs(rows) do out[#out + 1] = row_html(row, whole, critical, adders[row.step.key]) end
  out[#out + 1] = "</div>"
  return table.concat(out, "\n")
end
