-- Streams: a sequence whose elements may have to be waited for, and what one does with them. Nothing runs before somebody
-- asks for the next element, so nothing piles up however slow the end is.
local peri = require "perilune"
local stream = require "perilune.stream"

-- From a list or a range, through a few steps, into a result.
local squares = stream.range(1, 10):filter(function(n) return n % 2 == 0 end):map(function(n) return n * n end)
print("squares", table.concat(squares:collect(), " "))

-- Any function is a source: it is called until it returns nil. A loop over `iter` closes everything when it is left.
local function lines_of(text) return stream.from(text:gmatch("[^\n]+")) end

for line in lines_of("alpha\nbeta\ngamma\n"):iter() do
  print("line", line)
  if line == "beta" then break end
end

-- Work that takes time, three elements at once, results in order. The first failure would end the others.
local function fetch(page)
  peri.sleep(0.02 * (4 - page))
  return "page " .. page
end
print("fetched", table.concat(stream.range(1, 3):buffered(3, fetch):collect(), ", "))

-- Many into one, as they come, in lists of three, but never waiting longer than 50 ms for a list to become full.
local readings = peri.channel(8)
peri.spawn(function()
  for value = 1, 5 do readings:send(value) end
  peri.sleep(0.2)
  readings:send(6)
  readings:close()
end)
for batch in stream.from(readings):chunks_timeout(3, 0.05):iter() do print("batch", table.concat(batch, " ")) end

-- A stream can be waited for among other things, and loses nothing when something else comes first.
local slow = stream.from(function()
  peri.sleep(0.3)
  return "late element"
end)
for _ = 1, 2 do
  print(peri.select { element = slow:next_op(), ["nothing yet"] = peri.sleep_op(0.2) })
end
slow:close()
