-- A graph of steps as an SVG that stands in an HTML page (html_page.lua, whose colors it uses).
local markup = require "perilune.markup"
local graph_layout = require "perilune.pipeline.graph_layout"
local graph_nodes = require "perilune.pipeline.graph_nodes"
local line = require "perilune.pipeline.line"
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"
local fill = markup.fill

local size <const> = { width = 184, height = 40, column_gap = 44, row_gap = 12 }
local most_drawn <const>, most_shown_at_once <const> = 1500, 120
local margin <const> = 8
local fitting <const> = 1900 -- wide ones keep their size and scroll

-- A smooth line through the points of a link.
local function path_of(link)
  local first = link.path[1]
  local x, y = first.x + size.width, first.y
  local parts = { fill("M{x} {y}", { x = x, y = y }) }
  for i = 2, #link.path do
    local node = link.path[i]
    parts[#parts + 1] = fill("C{middle} {y} {middle} {to_y} {to_x} {to_y}", { middle = (x + node.x) / 2, y = y, to_x = node.x, to_y = node.y })
    x, y = node.x, node.y
    if node.bend then
      x = x + size.width
      parts[#parts + 1] = fill("H{x}", { x = x })
    end
  end
  return table.concat(parts)
end

local function second_line(node)
  local counted = node.states and next(node.states)
  local parts = { counted and summary.counts(node.states) or node.state }
  if not counted and node.duration and node.command then parts[#parts + 1] = text.seconds(node.duration) end
  if node.executor then parts[#parts + 1] = "@ " .. node.executor end
  return table.concat(parts, " · ")
end

local node_template <const> = [[
<g class="node {state}"><title>{title}</title><rect x="{x}" y="{top}" width="{width}" height="{height}" rx="6"/>
<rect class="edge-of-state" x="{edge_x}" y="{edge_top}" width="4" height="{edge_height}" rx="2"/>
<text x="{text_x}" y="{text_y}">{label}</text>{second}</g>]]
local second_template <const> = '<text class="second" x="{x}" y="{y}">{words}</text>'

local function node_shape(node, link_of)
  local title = node.count and ("%s × %d"):format(node.key, node.count) or node.key
  local second = second_line(node)
  local top, text_x = node.y - size.height / 2, node.x + 17
  local shape = fill(node_template, {
    state = node.state or "planned", title = markup.text(second ~= "" and title .. ": " .. second or title), x = node.x, top = top,
    width = size.width, height = size.height, edge_x = node.x + 5, edge_top = top + 7, edge_height = size.height - 14,
    text_x = text_x, text_y = second ~= "" and node.y - 4 or node.y + 4, label = markup.text(line.cut(line.valid(title), 23, "…")),
    second = second ~= "" and fill(second_template, { x = text_x, y = node.y + 12, words = markup.text(line.cut(second, 29, "…")) }) or "",
  })
  local target = link_of and link_of(node)
  return target and ('<a href="%s">%s</a>'):format(target, shape) or shape
end

local frame <const> = '<div class="scroll"><svg class="graph{class}" role="img" aria-label="Graph of the steps" width="{width}" height="{height}"'
  .. ' viewBox="-{margin} -{margin} {width} {height}">'

-- steps: as graph_nodes.of takes them. link_of(node): where a click leads, or nil. critical: a set of keys. open: shown
-- at once, however large it is.
return function(steps, link_of, critical, open)
  local nodes = graph_nodes.folded(graph_nodes.of(steps))
  if #nodes > most_drawn then return ('<p class="note">%d steps: too many to draw.</p>'):format(#nodes) end
  local links, width, height = graph_layout.place(nodes, size)
  local out = { fill(frame, { class = width < fitting and " fits" or "", width = width + 2 * margin, height = height + 2 * margin, margin = margin }) }
  for _, link in ipairs(links) do
    local on_path = critical[link.from.key] and critical[link.to.key]
    out[#out + 1] = ('<path class="link%s" d="%s"/>'):format(on_path and " critical" or "", path_of(link))
  end
  for _, node in ipairs(nodes) do out[#out + 1] = node_shape(node, link_of) end
  out[#out + 1] = "</svg></div>"
  local drawn = table.concat(out, "\n")
  if open or #nodes <= most_shown_at_once then return drawn end
  return ('<details class="many"><summary>%d steps: show the graph</summary>%s</details>'):format(#nodes, drawn)
end
