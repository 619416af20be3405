-- The order of the steps of a run, for whoever shows them one after the other: what a step needs comes before it, what a
-- running step adds comes before that step, and otherwise it is the order of the plan. A linked list, since steps come in the middle.
local order = {}
order.__index = order

local front <const> = {}

function order.new() return setmetatable({ next = { [front] = front }, previous = { [front] = front }, finished = {} }, order) end

local function insert(self, key, after)
  local following = self.next[after]
  self.next[after], self.previous[key], self.next[key], self.previous[following] = key, after, following, key
end

-- Adds the root to the list behind all that it needs, without recursion.
local function visit(root, by_key, seen, sorted)
  local path = { { step = root, at = 0 } }
  seen[root.key] = true
  while #path > 0 do
    local top = path[#path]
    top.at = top.at + 1
    local needs, after = top.step.needs, top.step.after
    local key = needs[top.at] or after[top.at - #needs]
    if key == nil then
      sorted[#sorted + 1] = top.step
      path[#path] = nil
    elseif by_key[key] and not seen[key] then
      seen[key] = true
      path[#path + 1] = { step = by_key[key], at = 0 }
    end
  end
end

-- The steps ({key, needs, after}) so that each stands behind what it needs.
function order.sorted(steps)
  local by_key, seen, sorted = {}, {}, {}
  for _, step in ipairs(steps) do by_key[step.key] = step end
  for _, step in ipairs(steps) do
    if not seen[step.key] then visit(step, by_key, seen, sorted) end
  end
  return sorted
end

function order:plan(steps)
  for _, step in ipairs(order.sorted(steps)) do insert(self, step.key, self.previous[front]) end
end

-- A new step; at the end where the one that adds it has gone.
function order:add_before(key, by)
  if self.next[key] then return end
  insert(self, key, self.previous[self.next[by] and by or front])
end

-- The first one that is still there; nil where none is.
function order:first()
  local key = self.next[front]
  return key ~= front and key or nil
end

function order:finish(key) self.finished[key] = true end
function order:is_finished(key) return self.finished[key] == true end

function order:drop_first()
  local key = self.next[front]
  local following = self.next[key]
  self.next[front], self.previous[following], self.next[key], self.previous[key] = following, front, nil, nil
end

return order
