-- Select: wait for several things at once, and act on whichever comes first. Everything one can wait for has a form that
-- is only an offer, `ch:recv_op()` beside `ch:recv()`; select takes exactly one of them and leaves no trace at the others.
local peri = require "perilune"

local orders = peri.channel(1)
local closing = peri.token()
local quiet = peri.channel(0)

peri.spawn(function()
  for _, dish in ipairs { "soup", "noodles", "tea" } do orders:send(dish) end
  quiet:recv()
  closing:cancel("no more guests")
end)

while true do
  local what, value = peri.select {
    order = orders:recv_op(), -- the keys are yours; the one that won comes back first
    closed = closing:wait_op(),
    nothing = peri.sleep_op(0.05), -- a time limit is just one more thing to wait for
  }
  if what == "order" then
    print("cooking " .. value)
  elseif what == "nothing" then
    print("nothing to do")
    quiet:try_send(true)
  else
    print("going home: " .. value)
    break
  end
end

-- An offer can carry what to do with its result. What was not taken did not happen: both values stay where they are.
local left, right = peri.channel(1), peri.channel(1)
left:send(1)
right:send(2)
local shouted = peri.perform(left:recv_op():wrap(function(n) return ("%d!"):format(n) end))
print(shouted, #left, #right)

-- Without waiting: the first of the list that is ready, or nil.
print(peri.try_select({ left:recv_op(), right:recv_op() }, { biased = true }))
print(peri.try_select { left:recv_op(), right:recv_op() })
