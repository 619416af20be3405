-- Looking inside, on demand: resources, the tree, who waits for whom, what can never wake again, and a text of it all.
-- Nothing is counted or kept for it while tasks run. None of these calls waits, so that what they show is of one moment.
local natives = require "perilune.native.inspect"
local reach = require "perilune.inspect.reach"
local debug, ipairs, pairs, tostring, type = debug, ipairs, pairs, tostring, type
local format, concat, sort = string.format, table.concat, table.sort
local getmetatable = debug.getmetatable

local inspect = {}

local function kind_of(object)
  local meta = getmetatable(object)
  local name = type(meta) == "table" and meta.__name
  return type(name) == "string" and name:match("^perilune%.(.+)$") or nil
end

-- How the state of each kind of resource is told: a word, from the object and its stats.
local function open_or_closed(_, stats) return stats.closed and "closed" or "open" end
local function by_method(object) return object:is_cancelled() and "cancelled" or "open" end
local function free_permits(object) return object.available > 0 and "free" or "taken" end
local function lock_state(_, _, record) return (record.holders or record.held_by) and "locked" or "free" end
local function oneshot_state(_, stats)
  if stats.received then return "received" end
  return stats.sent and "sent" or open_or_closed(nil, stats)
end
local function no_state() return "open" end

local states = {
  channel = open_or_closed, shared_channel = open_or_closed, watch = open_or_closed, broadcast = open_or_closed, oneshot = oneshot_state,
  token = by_method, semaphore = free_permits, mutex = lock_state, rwlock = lock_state, once = lock_state,
  notify = no_state, barrier = no_state, wait_group = no_state,
  interval = no_state, signal_listener = no_state, watcher = no_state, file = no_state, byte_stream = no_state, process = no_state,
  net_listener = no_state, udp_socket = no_state,
}
local with_stats = { channel = true, shared_channel = true, watch = true, broadcast = true, oneshot = true }
local held_kinds = { mutex = true, rwlock = true, once = true, semaphore = true }

-- What VMs share has one address for all of them, and counts who waits for it in all.
local function address_of(object, kind)
  return kind == "shared_channel" and tostring(object):match("0x%x+") or format("%p", object)
end
local function waiters_of(object, record)
  if record.kind == "shared_channel" then return record.stats.waiting_senders + record.stats.waiting_receivers end
  return record.kind == "semaphore" and object.waiting or record.waiters
end

-- Who waits for each object, and the one who keeps them waiting: {object = {waiters = n, held_by = id, held_at = place}}.
local function uses_of(tasks)
  local uses = {}
  for _, task in ipairs(tasks) do
    for _, arm in ipairs(task.arms or {}) do
      if arm.object then
        local use = uses[arm.object] or { waiters = 0 }
        uses[arm.object] = use
        use.waiters, use.held_by, use.held_at = use.waiters + 1, arm.on, arm.held_at
      end
    end
  end
  return uses
end

local function record_of(object, kind, use, name, place)
  local record = { kind = kind, waiters = use and use.waiters or 0, found_as = name, found_at = place }
  record.id = address_of(object, kind)
  if use then record.held_by, record.held_at = use.held_by, use.held_at end
  local holders = held_kinds[kind] and natives.holders(object) or {}
  if #holders > 0 then record.holders = holders end
  if #holders == 1 then record.held_by, record.held_at = holders[1].task, holders[1].at end
  if with_stats[kind] then record.stats = object:stats() end
  if kind == "channel" or kind == "shared_channel" then record.name = object.name end
  record.waiters = waiters_of(object, record)
  record.state = states[kind](object, record.stats, record)
  return record
end

local function list_resources(tasks)
  local list, uses, walk, known = {}, uses_of(tasks), reach.begin(), {}
  for _, task in ipairs(tasks) do walk:add(task.thread) end
  walk:run()
  for _, object in ipairs(walk.values) do
    local kind = type(object) == "userdata" and kind_of(object)
    if states[kind] then
      local record = record_of(object, kind, uses[object], walk:name_of(object))
      if not known[record.id] then list[#list + 1] = record end
      known[record.id] = true
    end
  end
  sort(list, function(a, b)
    if a.kind ~= b.kind then return a.kind < b.kind end
    return a.id < b.id
  end)
  return list
end

function inspect.resources() return list_resources(natives.snapshot()) end

-- Takes away what only this module uses.
local function public(task)
  task.thread, task.arms, task.limited, task.daemon = nil, nil, nil, nil
  return task
end

local function build_tree(tasks)
  local roots, by_id = {}, {}
  for _, task in ipairs(tasks) do
    by_id[task.id], task.children = task, {}
    local above = by_id[task.parent] and by_id[task.parent].children or roots
    above[#above + 1] = task
  end
  return roots
end

function inspect.tree()
  local tasks = natives.snapshot()
  for _, task in ipairs(tasks) do public(task) end
  return build_tree(tasks)
end

-- The edges of the graph: one for each operation that a task waits in, one for each child that it waits for.
local function edges_of(tasks)
  local edges, by_id = {}, {}
  for _, task in ipairs(tasks) do by_id[task.id] = task end
  local function add(task, op, resource, on, held_at)
    edges[#edges + 1] = {
      task = task.id, name = task.name, op = op, resource = resource, on = on, held_at = held_at,
      line = task.line, since = task.waiting_on and task.waiting_on.since, single = not task.arms or #task.arms < 2,
    }
  end
  for _, task in ipairs(tasks) do
    for _, arm in ipairs(task.arms or {}) do add(task, arm.op, arm.resource, arm.on, arm.held_at) end
  end
  for _, task in ipairs(tasks) do
    local above = by_id[task.parent]
    local waits = above and (above.state == "closing" or above.waiting_on and above.waiting_on.op == "children")
    if waits and not task.daemon then add(above, "children", "task", task.id) end
  end
  return edges
end

-- Numbers the edges of each cycle: from every task along the waits for one task, until one comes again.
local function mark_cycles(edges)
  local from, cycles = {}, 0
  for _, edge in ipairs(edges) do
    if edge.on and edge.single then
      from[edge.task] = from[edge.task] or {}
      table.insert(from[edge.task], edge)
    end
  end
  local state = {} -- of a task: nil unseen, "open" on the path, "done"
  local path = {}
  local function visit(id)
    state[id] = "open"
    for _, edge in ipairs(from[id] or {}) do
      path[#path + 1] = edge
      if state[edge.on] == "open" then
        cycles = cycles + 1
        local i = #path
        repeat
          path[i].cycle = path[i].cycle or cycles
          i = i - 1
        until i == 0 or path[i + 1].task == edge.on
      elseif not state[edge.on] then
        visit(edge.on)
      end
      path[#path] = nil
    end
    state[id] = "done"
  end
  for _, edge in ipairs(edges) do
    if not state[edge.task] then visit(edge.task) end
  end
end

local function list_waits(tasks)
  local edges = edges_of(tasks)
  mark_cycles(edges)
  local list = {}
  for _, edge in ipairs(edges) do
    edge.single = nil
    if edge.cycle then list[#list + 1] = edge end
  end
  sort(list, function(a, b) return a.cycle < b.cycle end)
  for _, edge in ipairs(edges) do
    if not edge.cycle then list[#list + 1] = edge end
  end
  return list
end

function inspect.waits() return list_waits(natives.snapshot()) end

-- Whether a waiting task may go on, as far as is known: it has a limit, waits for something outside, or for what can be
-- reached (`seen`), or for a task that may go on (`alive`).
local function may_wake(task, seen, alive, children)
  if task.limited then return true end
  for _, child in ipairs(children[task.id] or {}) do
    if alive[child.id] then return true end
  end
  if task.waiting_on.op == "children" then return false end
  for _, arm in ipairs(task.arms) do
    if arm.on then
      if alive[arm.on] then return true end
    elseif not arm.object or seen[arm.object] then
      return true
    end
  end
  return false
end

-- Begins with what can run, and adds those whom it can wake, with all that they can reach, until there is nobody to add.
local function list_leaks(tasks)
  local walk, alive, asleep, children = reach.begin(), {}, {}, {}
  for _, task in ipairs(tasks) do
    if task.parent then
      children[task.parent] = children[task.parent] or {}
      table.insert(children[task.parent], task)
    end
    if task.state == "waiting" and task.thread then
      asleep[#asleep + 1] = task
    else
      alive[task.id] = true
      walk:add(task.thread)
    end
  end
  repeat
    walk:run()
    local left = {}
    for _, task in ipairs(asleep) do
      if may_wake(task, walk.seen, alive, children) then
        alive[task.id] = true
        walk:add(task.thread)
      else
        left[#left + 1] = task
      end
    end
    local settled = #left == #asleep
    asleep = left
  until settled
  return asleep
end

function inspect.leaks()
  local leaks = list_leaks(natives.snapshot())
  for _, task in ipairs(leaks) do public(task) end
  return leaks
end

function inspect.stats()
  local stats = natives.stats()
  for _, state in ipairs { "ready", "running", "waiting", "closing" } do stats[state] = 0 end
  for _, task in ipairs(natives.snapshot()) do stats[task.state] = stats[task.state] + 1 end
  return stats
end

-- The text of it all.

local function named(task) return "task " .. task.id .. (task.name and " (" .. task.name .. ")" or "") end

local function on(resource)
  if resource == "operations" then return " on operations" end
  return (resource:find("^[aei]") and " on an " or " on a ") .. resource
end

local function describe_task(task, depth)
  local text = ("  "):rep(depth) .. named(task) .. " " .. task.state
  local wait = task.waiting_on
  if wait then text = text .. format(" in %s%s for %.3f s", wait.op, on(wait.resource), wait.since) end
  if task.line then text = text .. " at " .. task.line end
  text = text .. format(", age %.3f s", task.age)
  return task.spawned_at and text .. ", spawned at " .. task.spawned_at or text
end

local function describe_resource(r)
  local text = "  " .. r.kind .. " " .. (r.name or r.found_as or r.id) .. " " .. r.state
  if r.kind == "channel" or r.kind == "shared_channel" then text = text .. format(", %d of %s values", r.stats.len, tostring(r.stats.capacity)) end
  if r.waiters > 0 then text = text .. ", waited for by " .. r.waiters end
  if r.held_by then text = text .. ", held by task " .. r.held_by .. (r.held_at and " since " .. r.held_at or "") end
  return r.found_at and text .. ", seen at " .. r.found_at or text
end

local function describe_edge(edge)
  local text = (edge.cycle and "  cycle " .. edge.cycle .. ": " or "  ") .. "task " .. edge.task
  if edge.resource == "task" and edge.on then return text .. " waits in " .. edge.op .. " for task " .. edge.on end
  text = text .. " waits in " .. edge.op .. on(edge.resource)
  return edge.on and text .. " held by task " .. edge.on .. (edge.held_at and " since " .. edge.held_at or "") or text
end

local function append(lines, title, list, describe)
  if #list == 0 then return end
  lines[#lines + 1] = title
  for _, each in ipairs(list) do lines[#lines + 1] = describe(each) end
end

local function append_tree(lines, tasks, depth)
  for _, task in ipairs(tasks) do
    lines[#lines + 1] = describe_task(task, depth)
    append_tree(lines, task.children, depth + 1)
  end
end

function inspect.dump()
  local stats, tasks = natives.stats(), natives.snapshot()
  local lines = { format("tasks: %d live, %d resumes; %d timers, %d outside calls pending", stats.live, stats.resumes,
    stats.timers, stats.external) }
  append_tree(lines, build_tree(tasks), 1)
  append(lines, "waits:", list_waits(tasks), describe_edge)
  append(lines, "resources:", list_resources(tasks), describe_resource)
  append(lines, "never to wake again:", list_leaks(tasks), function(task) return "  " .. named(task) end)
  return concat(lines, "\n") .. "\n"
end

return inspect
