-- `perilune init`: a first pipeline, small and whole, that shows what most need.
local fs = require "perilune.fs"
local text = require "perilune.pipeline.text"

local template <const> = [[
# A pipeline: perilune run [TARGET], perilune list, perilune --help.

[pipeline]
name    = "@NAME@"
default = "check"             # what `perilune run` does without a target

[params]                      # perilune run -p greeting=Hi
greeting = { type = "string", default = "Hello", doc = "how to greet" }

[steps.build]
doc     = "Make out/greeting.txt"
sh      = 'mkdir -p out; echo "${params.greeting}, $(whoami)" > out/greeting.txt'
inputs  = ["perilune.toml"]   # runs again when one of these has changed
outputs = ["out/greeting.txt"]

[steps.check]
doc     = "Look whether it is right"
needs   = ["build"]
argv    = ["grep", "${params.greeting}", "out/greeting.txt"]

[steps.report]
doc     = "Say how the run ended, whatever happened"
after   = ["check"]
when    = "always"            # success | failure | cancelled | always
sh      = 'echo "the run ended: ${run.status}"'
]]

return function(values)
  local folder = values.directory or "."
  if not fs.exists(folder) or fs.stat(folder).type ~= "directory" then text.refuse(2, "--directory: there is no folder %s", folder) end
  local path = folder .. "/perilune.toml"
  for _, name in ipairs { "perilune.toml", "perilune.lua" } do
    if fs.exists(folder .. "/" .. name) then text.refuse(2, "%s is there already", folder .. "/" .. name) end
  end
  local name = fs.real_path(folder):match("[^/]*$"):gsub("[^%w_%-%.]", "-")
  fs.write(path, (template:gsub("@NAME@", name ~= "" and name or "project")))
  print("wrote " .. path .. "; next: perilune list, perilune run")
  return 0
end
