-- Fan-out: start one task per item, and wait for all of them in one place. The place is a scope.
local peri = require "perilune"

local distances = { Mercury = 58, Venus = 108, Earth = 150, Mars = 228 }

-- Stands for anything that takes its time and may fail: a download, a query, a process.
local function look_up(planet)
  peri.sleep(distances[planet] and distances[planet] / 10000 or 0.001)
  return distances[planet] or error("unknown planet " .. planet, 0)
end

-- The scope returns when every task spawned into it has ended, so below it all results are there.
local function look_up_all(planets)
  local found = {}
  peri.scope(function(s)
    for i, planet in ipairs(planets) do
      s:spawn(function() found[i] = look_up(planet) end)
    end
  end)
  return found
end

-- All four wait at the same time; the slowest decides how long it takes. Results are in the order of the list.
local planets = { "Mars", "Venus", "Earth", "Mercury" }
for i, distance in ipairs(look_up_all(planets)) do
  print(planets[i], distance .. " million km")
end

-- When one fails, the others are cancelled at once: nobody needs what they would find. The scope then raises one error
-- with everything that went wrong in it, so that nothing is lost.
local ok, e = pcall(look_up_all, { "Mars", "Vulcan", "Earth" })
print(ok, e.kind, #e.errors, e.errors[1].message)

-- Where a failure should stay with its task, the scope only supervises, and every outcome is looked at by itself.
peri.scope({ policy = "supervise" }, function(s)
  local tasks = {}
  for _, planet in ipairs { "Vulcan", "Earth" } do
    tasks[planet] = s:spawn(look_up, planet)
  end
  print("Earth", tasks.Earth:join())
  print("Vulcan", tasks.Vulcan:join())
end)
