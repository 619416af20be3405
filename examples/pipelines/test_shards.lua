-- A test suite in shards, as a CI file with a hand-written split runs it: list the tests, deal them out by how long they took the
-- last time, run the shards beside each other, go on after a failure, and sum up. A failed shard is named with its log.
local pipeline = require "perilune.pipeline"

local shards <const> = 3

local p = pipeline.new("test_shards", { params = { fail = { type = "string", default = "", doc = "a test that is to fail" } } })

-- The longest test goes to the shard that has least to do.
local function deal(tests)
  table.sort(tests, function(a, b) return a.seconds > b.seconds end)
  local dealt = {}
  for i = 1, shards do dealt[i] = { name = tostring(i), seconds = 0, tests = {} } end
  for _, test in ipairs(tests) do
    local least = dealt[1]
    for _, shard in ipairs(dealt) do
      if shard.seconds < least.seconds then least = shard end
    end
    least.seconds = least.seconds + test.seconds
    table.insert(least.tests, test.name)
  end
  return dealt
end

p:main(function(ctx)
  local listed = ctx:step("list", {
    doc = "Which tests there are, and how long each took", capture = "json",
    sh = [[printf '[{"name":"parse","seconds":4},{"name":"print","seconds":2},{"name":"net","seconds":3},{"name":"ui","seconds":3}]']],
  }).value
  local dealt = deal(listed)
  local names = {}
  for i, shard in ipairs(dealt) do names[i] = shard.name end
  ctx:map("shard", names, function(_, i)
    return {
      env = { FAIL = ctx.params.fail },
      argv = { "sh", "-euc", 'for t in "$@"; do [ "$t" != "$FAIL" ] || { echo "$t: expected 1, got 2"; exit 1; }; echo "$t: ok"; done',
               "shard", table.unpack(dealt[i].tests) },
    }
  end, { collect = true })
end)

p:finally("summary", function(_, run) return { argv = { "echo", "the tests ended: " .. run.status } } end)

return p
