-- The nodes of a graph of steps: {key, name, state, duration, executor, before (keys)}, of a pipeline as it is planned or of a run as it was.
-- Many steps of one name, the rows of a matrix or the items of a fan-out, become one node with their counts.
local graph_nodes = {}

local most_of_a_name <const> = 8
local most_nodes <const> = 60
local bad_first = { "failed", "timeout", "blocked", "cancelled", "not_run", "running", "pending", "succeeded", "cached", "skipped" }

local function before(step)
  local keys = { table.unpack(step.needs) }
  for _, key in ipairs(step.after) do keys[#keys + 1] = key end
  return keys
end

-- steps: of a pipeline or of a record. What a Lua step added comes behind it; what a fan-out added comes before it, and behind
-- what it needs.
function graph_nodes.of(steps)
  local nodes, by_key = {}, {}
  for i, step in ipairs(steps) do
    local node = { key = step.key, name = step.name or step.key, state = step.state, duration = step.duration, before = before(step),
                   command = step.command, place = step.place, executor = step.executor or nil }
    nodes[i], by_key[step.key] = node, node
  end
  for _, step in ipairs(steps) do
    local node, adder = by_key[step.key], step.added_by and by_key[step.added_by]
    if adder and adder.command then
      table.insert(node.before, adder.key)
    elseif adder then
      if not adder.needed then adder.needed, adder.before = adder.before, {} end
      table.move(adder.needed, 1, #adder.needed, #node.before + 1, node.before)
      table.insert(adder.before, node.key)
    end
  end
  return nodes
end

local function worst(states)
  for _, state in ipairs(bad_first) do
    if states[state] then return state end
  end
end

local function merged(name, members)
  local states, seen, node = {}, {}, { key = name, name = name, before = {}, members = members, count = 0, executor = members[1].executor }
  for _, member in ipairs(members) do
    local stands_for_others = member.key == name and #members > 1
    if member.state and not stands_for_others then states[member.state] = (states[member.state] or 0) + 1 end
    if not stands_for_others then node.count = node.count + 1 end
    if member.duration then node.duration = math.max(node.duration or 0, member.duration) end
    for _, key in ipairs(member.before) do
      if not seen[key] then table.insert(node.before, key) end
      seen[key] = true
    end
  end
  node.states, node.state = states, worst(states)
  return node
end

-- The nodes with those of one name put together, where there are too many to look at.
function graph_nodes.folded(nodes)
  local by_name, folds, renamed, out = {}, #nodes > most_nodes, {}, {}
  for _, node in ipairs(nodes) do
    by_name[node.name] = by_name[node.name] or {}
    table.insert(by_name[node.name], node)
  end
  for _, node in ipairs(nodes) do
    local members = by_name[node.name]
    if #members == 1 or not folds and #members <= most_of_a_name then
      out[#out + 1] = node
    else
      renamed[node.key] = node.name
      if members[1] == node then out[#out + 1] = merged(node.name, members) end
    end
  end
  for _, node in ipairs(out) do
    for i, key in ipairs(node.before) do node.before[i] = renamed[key] or key end
  end
  return out
end

return graph_nodes
