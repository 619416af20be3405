-- Which steps stand at the end of a run: those that run whatever became of it and wait for nothing of their own, and what stands
-- behind them. They begin when all others are over.
local ends = {}

-- Whether a run waits for nothing before it; `wanted`: the set of keys of the run, without which all count.
function ends.waits_for_none(step, wanted)
  for _, list in ipairs { step.needs, step.after } do
    for _, key in ipairs(list) do
      if not wanted or wanted[key] then return false end
    end
  end
  return true
end

-- Whether it stands at the end of a run: behind everything that does not.
function ends.is_last(step, wanted)
  return step.finally or step.when ~= "success" and ends.waits_for_none(step, wanted)
end

local function stands_behind(step, set)
  for _, list in ipairs { step.needs, step.after } do
    for _, key in ipairs(list) do
      if set[key] then return true end
    end
  end
  return false
end

-- Of the wanted steps those that stand at the end of the run, with what stands behind them: {key = true}, false for the others.
function ends.of(steps, wanted)
  local last, more = {}, false
  for _, step in ipairs(steps) do
    if wanted[step.key] then
      last[step.key] = ends.is_last(step, wanted) or false
      more = more or last[step.key]
    end
  end
  while more do
    more = false
    for _, step in ipairs(steps) do
      if last[step.key] == false and stands_behind(step, last) then last[step.key], more = true, true end
    end
  end
  return last
end

return ends
