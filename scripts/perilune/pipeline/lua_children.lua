-- What the children of Lua steps would inherit of the standard streams: what they write there makes lines of the step, with its key,
-- in its log, and masked, as what the step prints itself.
local peri = require "perilune"

local lua_children = {}

local shown = {}
shown.__index = shown

local patience <const> = 0.2 -- for a pipe that somebody who was left holds open, after it has fallen silent

-- Makes pipes of the inherited streams in `streams` (process.lua); nil where there are none. deliver(name, bytes).
function lua_children.shown(streams, deliver)
  local names, captured = {}, nil
  for name, at in pairs { stdout = 3, stderr = 5 } do
    if streams[at] == "inherit" then
      streams[at] = "pipe"
      names[#names + 1] = name
    elseif streams[at] == "pipe" then
      captured = name
    end
  end
  return #names > 0 and setmetatable({ names = names, captured = captured, deliver = deliver }, shown) or nil
end

-- Reads a pipe to its end, or until it has been silent for so many seconds.
local function pass_on(self, pipe, name, seconds)
  while true do
    local what, bytes = peri.select { read = pipe:read_op("some"), silent = seconds and peri.sleep_op(seconds) or nil }
    if what == "silent" or not bytes then return end
    self.deliver(name, bytes)
  end
end

-- Beside whoever has started the process, and after that only for what is there already. Returns the tasks.
function shown:follow(proc)
  local tasks = {}
  for i, name in ipairs(self.names) do
    tasks[i] = peri.spawn({ name = name .. " of a child", daemon = true }, function()
      local _ <close> = peri.defer(function() pass_on(self, proc[name], name, patience) end)
      pass_on(self, proc[name], name)
    end)
  end
  return tasks
end

-- Reads what is to be captured. Returns the text, and whether there was more than that many bytes.
local function capture(pipe, limit)
  local parts, size = {}, 0
  for bytes in function() return pipe:read("some") end do
    parts[#parts + 1], size = bytes, size + #bytes
    if size > limit then return table.concat(parts):sub(1, limit), true end
  end
  return table.concat(parts), false
end

local default_limit <const> = 64 << 20

-- Waits for the end of the process. Returns "timeout" where it had to be ended.
local function wait_for(proc, call)
  local waits = { over = proc:wait_op(), late = call.timeout and peri.sleep_op(call.timeout) or nil }
  if peri.select(waits) ~= "late" then return nil end
  proc:kill(call.grace)
  return "timeout"
end

-- As the native run: the end of the process with what was captured of it, and what stopped it. call: what process.lua has read.
function shown:run(proc, call)
  local _ <close> = peri.defer(function(problem)
    if problem then proc:close() end
  end)
  local captured = self.captured
  local followers, stopped_by, text = self:follow(proc), nil, nil
  peri.scope(function(s)
    if captured then
      s:spawn(function()
        local more
        text, more = capture(proc[captured], call.output_limit or default_limit)
        if not more then return end
        stopped_by = "limit"
        proc:kill(call.grace)
      end)
    end
    stopped_by = wait_for(proc, call) or stopped_by
  end)
  for _, task in ipairs(followers) do
    task:cancel()
    task:join()
  end
  local result = proc:wait()
  if captured then result[captured] = text end
  return result, stopped_by
end

return lua_children
