-- What creatures do. Each is a task; it knows nothing of frames. Reloaded while the game runs (key r).
local peri = require "perilune"

local creatures = {}

-- Wanders, and follows the player when close.
function creatures.wolf(me)
  while true do
    local dx, dy = game.towards_player(me)
    if dx == 0 and dy == 0 then dx, dy = math.random(-1, 1), math.random(-1, 1) end
    game.move(me, dx, dy)
    peri.sleep(0.25 + math.random() / 4)
  end
end

-- Stands, and sometimes hops.
function creatures.rabbit(me)
  while true do
    peri.sleep(math.random(5, 20) / 10)
    for _ = 1, 3 do
      game.move(me, math.random(-1, 1), math.random(-1, 1))
      peri.sleep(0.05)
    end
  end
end

-- What a creature does is looked up at each life, so that a reload reaches it. One that fails stands still for a while.
function creatures.live(kind, me)
  while true do
    local ok, why = pcall(peri.try_timeout, 5, creatures[kind], me)
    if not ok then
      game.say(("%s %d: %s"):format(kind, me, tostring(why):match("[^\n]*")))
      peri.sleep(1)
    end
  end
end

return creatures
