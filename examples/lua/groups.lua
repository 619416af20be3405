-- Groups: several functions as one. They run as children of the caller, and are gone when the call returns.
local peri = require "perilune"

local function answer_after(seconds, answer)
  return function()
    peri.sleep(seconds)
    return answer or error("no answer", 0)
  end
end

-- All of them, at the same time. Each gives a pack of its results; the first failure would cancel the rest.
local both = peri.all { answer_after(0.02, "left"), answer_after(0.01, "right") }
print("all", both[1][1], both[2][1])

-- Every outcome, whatever fails.
for i, end_of in ipairs(peri.settle { answer_after(0.01, "fine"), answer_after(0.01) }) do
  print("settle", i, end_of[1], end_of[1] and end_of[2] or end_of[2].message)
end

-- The first that returns. The others are cancelled, and their closers have run when race returns.
print("race", peri.race { answer_after(60, "slow"), answer_after(0.01, "fast") })

-- Many items, a few at a time, results in the order of the list.
local function square(n)
  peri.sleep(0.001 * n)
  return n * n
end
print("map", table.concat(peri.map({ 5, 4, 3, 2, 1 }, square, { concurrency = 2 }), " "))

-- A set grows while one waits, and gives its members as they end. Leaving the block ends what still runs.
do
  local set <close> = peri.join_set()
  for i = 3, 1, -1 do set:spawn(answer_after(0.02 * i, i)) end
  set:spawn(answer_after(60, "never"))
  for _, ok, value in set:results() do
    print("set", ok, value)
    if value == 3 then break end
  end
end

-- One task per key: a new one replaces the one that runs.
do
  local set <close> = peri.join_set()
  for _, text in ipairs { "p", "pe", "peri" } do set:spawn_keyed("search", answer_after(0.01, "found " .. text)) end
  for _, ok, value in set:results() do
    if ok then print("keyed", value) end
  end
end
