-- `require` itself, which scripts have from the start. What it does stands in perilune.loader, that `load` returns it from.
local load = ...
local known

return function(name)
  known = known or load()
  return known(name)
end
