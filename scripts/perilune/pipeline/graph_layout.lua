-- Places the nodes of a graph without cycles in columns, from left to right, so that edges cross little: columns by the longest
-- way from a node without predecessors, the order within a column by the middle of its neighbours.
--
-- nodes: a list of {key, before = {keys}}. A long edge passes through a bend, a node without a key, in each column between.
local graph_layout = {}

local sweeps <const> = 6

-- before, after: for each node the list of its neighbours.
local function linked(nodes)
  local by_key, links = {}, {}
  for _, node in ipairs(nodes) do
    by_key[node.key] = node
    node.left, node.right = {}, {}
  end
  for _, node in ipairs(nodes) do
    local seen = {}
    for _, key in ipairs(node.before) do
      local from = by_key[key]
      if from and from ~= node and not seen[from] then
        seen[from] = true
        links[#links + 1] = { from = from, to = node }
        table.insert(node.left, from)
        table.insert(from.right, node)
      end
    end
  end
  return links
end

-- The longest ways. Nodes of a cycle, which groups of steps may form, end where the others have ended.
local function set_columns(nodes)
  local missing, ready = {}, {}
  for _, node in ipairs(nodes) do
    node.column, missing[node] = 1, #node.left
    if #node.left == 0 then ready[#ready + 1] = node end
  end
  local at = 1
  while ready[at] do
    for _, following in ipairs(ready[at].right) do
      following.column = math.max(following.column, ready[at].column + 1)
      missing[following] = missing[following] - 1
      if missing[following] == 0 then ready[#ready + 1] = following end
    end
    at = at + 1
  end
end

-- Bends for edges over several columns. Returns the columns: lists of nodes and bends.
local function fill_columns(nodes, links)
  local columns = {}
  local function put(node)
    columns[node.column] = columns[node.column] or {}
    table.insert(columns[node.column], node)
  end
  for _, node in ipairs(nodes) do
    put(node)
    node.left, node.right = {}, {}
  end
  for _, link in ipairs(links) do
    local last = link.from
    link.path = { last }
    for column = link.from.column + 1, link.to.column - 1 do
      local bend = { bend = true, column = column, left = { last }, right = {} }
      table.insert(last.right, bend)
      put(bend)
      last = bend
      table.insert(link.path, bend)
    end
    table.insert(last.right, link.to)
    table.insert(link.to.left, last)
    table.insert(link.path, link.to)
  end
  return columns
end

local function sort_by_neighbours(column, side)
  for i, node in ipairs(column) do
    local sum, neighbours = 0, node[side]
    for _, other in ipairs(neighbours) do sum = sum + other.rank end
    node.middle = #neighbours > 0 and sum / #neighbours or node.rank or i
    node.was = i
  end
  table.sort(column, function(a, b)
    if a.middle ~= b.middle then return a.middle < b.middle end
    return a.was < b.was
  end)
  for i, node in ipairs(column) do node.rank = i / (#column + 1) end
end

-- Sets x, y (of the left edge's middle) of each node and bend; size: {width, height, column_gap, row_gap}. Returns the links, each with
-- from, to and path, and the width and height of the whole.
function graph_layout.place(nodes, size)
  local links = linked(nodes)
  set_columns(nodes)
  local columns = fill_columns(nodes, links)
  for _, column in ipairs(columns) do
    for i, node in ipairs(column) do node.rank = i / (#column + 1) end
  end
  for sweep = 1, sweeps do
    local forward = sweep % 2 == 1
    for i = forward and 2 or #columns - 1, forward and #columns or 1, forward and 1 or -1 do
      sort_by_neighbours(columns[i], forward and "left" or "right")
    end
  end
  local function height_of(node) return node.bend and size.row_gap or size.height + size.row_gap end
  local tallest, heights = 0, {}
  for i, column in ipairs(columns) do
    heights[i] = 0
    for _, node in ipairs(column) do heights[i] = heights[i] + height_of(node) end
    tallest = math.max(tallest, heights[i])
  end
  for i, column in ipairs(columns) do
    local y = (tallest - heights[i]) / 2
    for _, node in ipairs(column) do
      node.x, node.y = (i - 1) * (size.width + size.column_gap), y + height_of(node) / 2
      y = y + height_of(node)
    end
  end
  return links, math.max(#columns * (size.width + size.column_gap) - size.column_gap, 0), tallest
end

return graph_layout
