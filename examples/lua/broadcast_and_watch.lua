-- Telling others: a oneshot answers one question, a watch shows the newest state, a broadcast tells everybody everything.
local peri = require "perilune"

-- One answer, once. The requester hands the oneshot over with its question; leaving the block closes it, so that whoever
-- works on the answer can see that nobody waits for it any more.
local questions = peri.channel(4)
peri.spawn(function()
  for question in questions:iter() do question.answer:send(question.text:upper()) end
end)
do
  local answer <close> = peri.oneshot()
  questions:send { text = "is anybody there?", answer = answer }
  print(answer:recv())
end
questions:close()

-- The newest value. Whoever looks late sees the last of several changes only, and what was seen at the subscription is no
-- change: settings, progress, "are we shutting down".
local settings = peri.watch { volume = 3 }
local reader = settings:subscribe()
local listener = peri.spawn(function()
  while reader:changed() do print("the volume is " .. reader:get().volume) end
  print("no more settings")
end)
peri.yield()
settings:set { volume = 5 }
settings:set { volume = 7 }
peri.yield()
settings:update(function(now) return { volume = now.volume + 1 } end)
settings:close()
listener:join()

-- Everything to everybody. The sender never waits: who is too slow loses the oldest, and is told exactly how many.
local news <close> = peri.broadcast(3)
local quick, slow = news:subscribe(), news:subscribe()
for issue = 1, 5 do
  local readers = news:send("issue " .. issue)
  print(readers .. " readers, the quick one has " .. quick:recv())
end
while true do
  local paper, why, lost = slow:try_recv()
  if why == "lagged" then
    print("the slow one has missed " .. lost)
  elseif paper then
    print("the slow one has " .. paper)
  else
    break
  end
end

-- All three wait in a select like anything else.
local done = peri.oneshot()
peri.spawn(function()
  news:send "an extra issue"
  done:send(true)
end)
print(peri.select { paper = slow:recv_op(), answer = done:recv_op(), late = peri.sleep_op(1) })
