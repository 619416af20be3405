-- Streams and time: chunks that do not wait for ever, slowing down, and waiting until it is quiet.
local peri = require "perilune"
local core = require "perilune.stream.core"

local peri_select, until_op, now, sleep = peri.select, peri.until_op, peri.now, peri.sleep
local pull, claim, check_count, check_seconds = core.pull, core.claim, core.check_count, core.check_seconds
local methods = core.methods
local in_order = { biased = true }

-- The next element of `below`: true, element (nil at the end); or false when the instant comes first.
local function pull_until(below, instant)
  local i, value = peri_select({ core.operation(below), until_op(instant) }, in_order)
  return i == 1, value
end

-- Lists of `size` elements; what there is `seconds` after the first of a list, or at the end, is delivered as it is.
function methods:chunks_timeout(size, seconds)
  check_count(size, "chunks_timeout", 1)
  check_seconds(seconds, "chunks_timeout", 2)
  local below, chunk, deadline = claim(self, "chunks_timeout"), {}, nil
  return core.new { below = { below }, step = function()
    while #chunk < size do
      local came, value = true, nil
      if #chunk == 0 then value = pull(below) else came, value = pull_until(below, deadline) end
      if not came or value == nil then break end
      chunk[#chunk + 1] = value
      deadline = deadline or now() + seconds
    end
    local full = chunk
    chunk, deadline = {}, nil
    return #full > 0 and full or nil
  end }
end

-- At least `seconds` between two elements; none is dropped.
function methods:throttle(seconds)
  check_seconds(seconds, "throttle")
  local below, earliest = claim(self, "throttle"), nil
  return core.new { below = { below }, step = function()
    if earliest then sleep(earliest - now()) end
    local value = pull(below)
    earliest = now() + seconds
    return value
  end }
end

-- An element when none has come for `seconds` after it; those that came too soon before it are dropped. The last is
-- delivered at the end.
function methods:debounce(seconds)
  check_seconds(seconds, "debounce")
  local below, latest, deadline = claim(self, "debounce"), nil, nil
  return core.new { below = { below }, step = function()
    while true do
      local came, value = true, nil
      if latest == nil then value = pull(below) else came, value = pull_until(below, deadline) end
      if not came or value == nil then
        value, latest = latest, nil
        return value
      end
      latest, deadline = value, now() + seconds
    end
  end }
end
