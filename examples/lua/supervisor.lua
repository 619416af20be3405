-- Supervision: a part that fails is started again from a known state, instead of going on with a broken one.
local peri = require "perilune"

local orders = peri.channel(10)
local cooked = 0

local function cook()
  for order in orders:iter() do
    if order == "fugu" then error("cannot cook fugu", 0) end
    cooked = cooked + 1
    print("cooked", order)
  end
end

-- The cook is started again after a failure (transient), at most three times a minute. When the cook has nothing more to
-- do and ends, the kitchen closes.
local kitchen = peri.supervisor {
  name = "kitchen", intensity = 3, period = 60, auto_shutdown = "any_significant",
  on_failure = function(name, e) print("failed", name, e.message) end,
  children = {
    { name = "fire", start = function()
      local _ <close> = peri.defer(function() print("fire", "out") end)
      print("fire", "lit")
      peri.sleep(math.huge)
    end },
    { name = "cook", start = cook, restart = "transient", significant = true, backoff = { first = 0.01, max = 1 } },
  },
}
for _, order in ipairs { "soup", "fugu", "rice" } do orders:send(order) end
orders:close()
print("kitchen", kitchen:join())
print("meals", cooked)

-- What fails again and again is not restarted for ever: the supervisor gives up and fails itself, for whoever is above it.
local hopeless = peri.supervisor {
  intensity = 2, period = 60, on_failure = function() end,
  children = { { name = "lamp", start = function() error("no bulb", 0) end } },
}
local ok, e = hopeless:join()
print(ok, e.reason, #e.errors)
