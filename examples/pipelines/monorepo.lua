-- A repository of several packages, as a Makefile with a generated graph builds it: each package says in its file `needs` which others
-- it is built on. The graph is found out while it runs, in ordinary Lua: a package is a task that first waits for those it needs.
local peri = require "perilune"
local fs = require "perilune.fs"
local pipeline = require "perilune.pipeline"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local root = here .. "/monorepo"

local function needs_of(name)
  local names = {}
  for line in fs.lines(root .. "/" .. name .. "/needs") do names[#names + 1] = line end
  return names
end

local p = pipeline.new("monorepo")

p:main(function(ctx)
  local builds = {}

  local function build(name)
    local inputs = { "monorepo/" .. name .. "/*.txt" }
    for _, needed in ipairs(needs_of(name)) do
      builds[needed]:await()
      inputs[#inputs + 1] = "monorepo/" .. needed .. "/built"
    end
    ctx:step("build " .. name, {
      doc = "Build " .. name, inputs = inputs, outputs = { "monorepo/" .. name .. "/built" },
      argv = { "sh", "-euc", 'cat "$@"/*.txt > "$1/built"', "build", "monorepo/" .. name },
    })
    ctx:step("test " .. name, { argv = { "test", "-s", "monorepo/" .. name .. "/built" } })
  end

  peri.scope(function(s)
    for _, name in ipairs(fs.list(root)) do
      builds[name] = s:spawn({ name = name }, function()
        peri.yield() -- all of them are known before the first looks for another
        build(name)
      end)
    end
  end)
end)

return p
