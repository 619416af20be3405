-- For shipped modules whose call makes another one of theirs with what the script has passed: an error of the inner call is raised as
-- one of the outer, at `level` of who calls this. Error objects pass as they are.
local peri = require "perilune"
local error, tostring = error, tostring

return function(problem, inner, outer, level)
  if peri.is_error(problem) then error(problem, 0) end
  local text = tostring(problem):gsub("^%S+:%d+: ", ""):gsub("'" .. inner .. "'", "'" .. outer .. "'")
  error(text, level + 1)
end
