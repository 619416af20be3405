-- `perilune clean`: removes what steps have made. With steps, their outputs; without, all outputs and the state of the project. It
-- names what it removes; nothing outside the folder of the pipeline is ever removed.
local fs = require "perilune.fs"
local json = require "perilune.json"
local resolve = require "perilune.pipeline.resolve"
local run = require "perilune.pipeline.run"
local state = require "perilune.pipeline.state"
local text = require "perilune.pipeline.text"

-- What only a run has made, items of fan-outs and steps that Lua added: {key = its outputs}, of all or of those that words name.
local function made_by_runs(pipeline, store, words)
  local found = {}
  for key in pairs(store and store:all_made() or {}) do
    local named = #words == 0
    for _, word in ipairs(words) do named = named or key == word or key:sub(1, #word + 1) == word .. "[" end
    if named and not pipeline.by_key[key] then found[key] = json.decode(store:made(key).parts).outputs or {} end
  end
  return found
end

local function chosen(pipeline, words, made)
  if #words == 0 then return pipeline.steps end
  local steps = {}
  for _, word in ipairs(words) do
    local found = made[word] ~= nil
    for _, step in ipairs(pipeline.steps) do
      if step.key == word or step.name == word then
        steps[#steps + 1], found = step, true
      end
    end
    if not found then text.refuse(2, "unknown step '%s'%s", word, text.suggestion(word, text.sorted_keys(pipeline.by_key))) end
  end
  return steps
end

local function add_existing(paths, folder, output)
  local path = output:match("^/") and output or folder .. "/" .. output
  for _, one in ipairs(path:find("[%*%?%[]") and fs.glob(path) or { path }) do
    if fs.exists(one) then
      local real = fs.real_path(one)
      if real:sub(1, #folder + 1) == folder .. "/" then paths[real] = true else paths[real] = false end
    end
  end
end

-- The outputs that exist: {real path = whether it lies in the folder}.
local function outputs_of(pipeline, steps, made, values)
  local scope = run.scope(pipeline, values, true)
  local paths = {}
  for _, step in ipairs(steps) do
    local ok, ready = pcall(resolve.step, pipeline, step, scope)
    for _, output in ipairs(ok and ready.outputs or {}) do add_existing(paths, pipeline.folder, output) end
  end
  for _, outputs in pairs(made) do
    for _, output in ipairs(outputs) do add_existing(paths, pipeline.folder, output) end
  end
  return paths
end

local function remove_all(pipeline, paths, dry)
  for _, path in ipairs(text.sorted_keys(paths)) do
    local shown = path:sub(#pipeline.folder + 2)
    if not paths[path] then
      io.stderr:write("perilune: left ", path, ": it is outside the folder of the pipeline\n")
    elseif fs.exists(path) then
      print((dry and "would remove " or "removed ") .. shown)
      if not dry then fs.remove(path, { recursive = true }) end
    end
  end
end

local function clean(pipeline, values, words, store)
  local dry = values["dry-run"]
  local made = made_by_runs(pipeline, store, words)
  local steps = chosen(pipeline, words, made)
  if store and not dry then
    for _, step in ipairs(steps) do store:forget(step.key) end
    for key in pairs(made) do store:forget(key) end
  end
  remove_all(pipeline, outputs_of(pipeline, steps, made, values), dry)
end

return function(pipeline, values, words)
  local dry = values["dry-run"]
  local kept = pipeline.folder .. "/.perilune"
  local has_state = fs.exists(kept)
  do
    local store <close> = has_state and (dry and state.look or state.take)(pipeline.folder) or nil
    clean(pipeline, values, words, store)
  end
  if has_state and #words == 0 then
    print((dry and "would remove " or "removed ") .. ".perilune, the state and the logs of all runs")
    if not dry then fs.remove(kept, { recursive = true }) end
  end
  return 0
end
