-- Retry: what fails now and then is tried again, after longer and longer pauses.
local peri = require "perilune"

-- Stands for a service that is down for a while.
local calls = 0
local function fetch(name)
  calls = calls + 1
  if calls < 4 then error("connection refused", 0) end
  return name .. " after " .. calls .. " calls"
end

-- Pauses of 10, 20 and 40 ms, up to half of each left to chance, so that many clients do not come back at once.
print(peri.retry({ attempts = 5, backoff = { first = 0.01, max = 0.1 }, jitter = 0.5 }, fetch, "page"))

-- Not every failure is worth another attempt.
local function sign_in() error({ code = 403 }) end
local ok, e = pcall(peri.retry, { attempts = 5, retry_if = function(why) return why.code ~= 403 end }, sign_in)
print(ok, e.code)

-- In the end the last error is raised. The earlier ones are still there.
calls = -100
ok, e = pcall(peri.retry, { attempts = 3 }, fetch, "page")
print(ok, e.message, #e.suppressed .. " earlier")

-- A limit for each attempt, and one for all of them.
local tries = 0
local result, why = peri.try_timeout(0.05, peri.retry, { attempts = math.huge }, function()
  tries = tries + 1
  peri.timeout(0.01, peri.sleep, 60)
end)
print(result, why, tries > 1)
