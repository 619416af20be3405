-- A graph of steps as an SVG that stands in an HTML page (html_page.lua, whose colors it uses).
local markup = require "perilune.markup"
local graph_layout = require "perilune.pipeline.graph_layout"
local graph_nodes = require "perilune.pipeline.graph_nodes"
local line = require "perilune.pipeline.line"
local summary = require "perilune.pipeline.summary"
local text = require "perilune.pipeline.text"

local size <const> = { width = 184, height = 40, column_gap = 44, row_gap = 12 }
local most_drawn <const>, most_shown_at_once <const> = 1500, 120
local margin <const> = 8
local fitting <const> = 1900 -- wide ones keep their size and scroll

local function number(n) return ("%.1f"):format(n) end

-- A smooth line through the points of a link.
local function path_of(link)
  local first = link.path[1]
  local x, y = first.x + size.width, first.y
  local parts = { "M", number(x), " ", number(y) }
  for i = 2, #link.path do
    local node = link.path[i]
    local middle = (x + node.x) / 2
    parts[#parts + 1] = ("C%s %s %s %s %s %s"):format(number(middle), number(y), number(middle), number(node.y), number(node.x), number(node.y))
    x, y = node.x, node.y
    if node.bend then
      x = x + size.width
      parts[#parts + 1] = "H" .. number(x)
    end
  end
  return table.concat(parts)
end

local function second_line(node)
  if node.states and next(node.states) then return summary.counts(node.states) end
  local parts = { node.state }
  if node.duration and node.command then parts[#parts + 1] = text.seconds(node.duration) end
  return table.concat(parts, " · ")
end

local function node_shape(node, link_of)
  local title = node.count and ("%s × %d"):format(node.key, node.count) or node.key
  local second = second_line(node)
  local label_y = second ~= "" and node.y - 4 or node.y + 4
  local shape = { ('<g class="node %s"><title>%s</title><rect x="%s" y="%s" width="%d" height="%d" rx="6"/>'):format(node.state or "planned",
    markup.text(title .. (second ~= "" and ": " .. second or "")), number(node.x), number(node.y - size.height / 2), size.width, size.height) }
  shape[#shape + 1] = ('<rect class="edge-of-state" x="%s" y="%s" width="4" height="%d" rx="2"/>'):format(number(node.x + 5),
    number(node.y - size.height / 2 + 7), size.height - 14)
  shape[#shape + 1] = ('<text x="%s" y="%s">%s</text>'):format(number(node.x + 17), number(label_y), markup.text(line.cut(line.valid(title), 23, "…")))
  if second ~= "" then
    shape[#shape + 1] = ('<text class="second" x="%s" y="%s">%s</text>'):format(number(node.x + 17), number(node.y + 12), markup.text(line.cut(second, 29, "…")))
  end
  shape[#shape + 1] = "</g>"
  local target = link_of and link_of(node)
  return target and ('<a href="%s">%s</a>'):format(target, table.concat(shape)) or table.concat(shape)
end

-- steps: as graph_nodes.of takes them. link_of(node): where a click leads, or nil. critical: a set of keys. open: shown
-- at once, however large it is.
return function(steps, link_of, critical, open)
  local nodes = graph_nodes.folded(graph_nodes.of(steps))
  if #nodes > most_drawn then return ('<p class="note">%d steps: too many to draw.</p>'):format(#nodes) end
  local links, width, height = graph_layout.place(nodes, size)
  local out = { ('<div class="scroll"><svg class="graph%s" role="img" aria-label="Graph of the steps" width="%d" height="%d" viewBox="%d %d %d %d">'):format(width < fitting and " fits" or "", width + 2 * margin, height + 2 * margin, -margin, -margin, width + 2 * margin, height + 2 * margin) }
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
