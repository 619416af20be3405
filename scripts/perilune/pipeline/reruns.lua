-- Which steps a resumed run does again though they succeeded: the named ones (--rerun), and what stands behind those of --from.
-- A step that a Lua step has added is done again by having its adder run again, whose other steps count as before.
local record = require "perilune.pipeline.record"
local selection = require "perilune.pipeline.selection"
local text = require "perilune.pipeline.text"

local reruns = {}

-- What the resumed runs know of the steps that they added: {key = step of a record}; the newest run that had a step counts.
local function added_steps(store, run)
  local added, seen = {}, {}
  while run and not seen[run.id] do
    seen[run.id] = true
    for _, step in ipairs(record.of(store, run).steps) do added[step.key] = added[step.key] or step end
    run = run.resumes and store:run(run.resumes)
  end
  return added
end

-- The keys that a word of the command line means: a key, or the name in front of its brackets.
local function keys_meant(word, added)
  local keys = {}
  for _, key in ipairs(text.sorted_keys(added)) do
    if key == word or key:sub(1, #word + 1) == word .. "[" then keys[#keys + 1] = key end
  end
  return keys
end

-- A run that was killed has not kept who added what: then every Lua step is asked.
local function add_adders(pipeline, added, key, into)
  local adder = added[key].added_by
  while adder and not into[adder] do
    into[adder] = true
    adder = added[adder] and added[adder].added_by
  end
  if added[key].added_by or pipeline.by_key[key] then return end
  for _, step in ipairs(pipeline.steps) do
    if step.fn or step.lua then into[step.key] = true end
  end
end

-- What stands behind an added step: what its adder added after it had ended, and what stands behind the adder.
local function add_behind(pipeline, added, key, into)
  local step = added[key]
  for other, one in pairs(added) do
    if one.added_by == step.added_by and (one.started or 0) >= (step.ended or 0) and other ~= key then into[other] = true end
  end
  if pipeline.by_key[step.added_by] then
    for below in pairs(selection.downstream(pipeline, { step.added_by })) do into[below] = true end
  end
end

local function refuse_unknown(pipeline, added, word)
  local known = text.sorted_keys(added)
  table.move(text.sorted_keys(pipeline.by_key), 1, #pipeline.steps, #known + 1, known)
  text.refuse(2, "unknown step '%s'%s", word, text.suggestion(word, known))
end

-- A set of words of a flag. Returns what they name, and fills `again` with all that is to be done again for them.
local function take(pipeline, store, resumes, list, again, with_what_follows)
  local named, added = {}, nil
  for _, word in ipairs(selection.words(list)) do
    named[word], again[word] = true, true
    if pipeline.by_key[word] then
      for below in pairs(with_what_follows and selection.downstream(pipeline, { word }) or {}) do again[below] = true end
    else
      added = added or added_steps(store, store:run(resumes))
      local keys = keys_meant(word, added)
      if #keys == 0 then refuse_unknown(pipeline, added, word) end
      for _, key in ipairs(keys) do
        named[key], again[key] = true, true
        add_adders(pipeline, added, key, again)
        if with_what_follows then add_behind(pipeline, added, key, again) end
      end
    end
  end
  return named
end

-- Sets options.rerun, the keys and names to be done again, and options.named, those for which effects are repeated as well.
function reruns.add(options, pipeline, values, store, resumes)
  options.rerun = {}
  options.named = take(pipeline, store, resumes, values.rerun, options.rerun, false)
  for word in pairs(take(pipeline, store, resumes, values["rerun-from"], options.rerun, true)) do options.named[word] = true end
end

return reruns
