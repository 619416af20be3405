-- What is tested in limiter_test.lua: lets `count` callers through in each `span` of seconds; the others wait their turn.
local peri = require "perilune"

return function(count, span)
  local turns = peri.channel(count)
  for _ = 1, count do turns:try_send(true) end
  return function()
    turns:recv()
    peri.spawn({ detached = true, name = "turn" }, function()
      peri.sleep(span)
      turns:send(true)
    end)
  end
end
