-- Steps that only a run makes (an item of a fan-out, what a Lua step adds), as far as they can be told of without one: from the
-- fan-out that they belong to, else from what the last run that had them has left.
local json = require "perilune.json"
local fan_out = require "perilune.pipeline.fan_out"
local fingerprint = require "perilune.pipeline.fingerprint"
local record = require "perilune.pipeline.record"
local text = require "perilune.pipeline.text"

local past_step = {}

-- An item by its words in a key, where the list says so or a run had it.
local function item_of(step, words, row)
  for _, item in ipairs(fan_out.known_items(step)) do
    if fan_out.words_of(item) == words then return item end
  end
  local decoded = json.decode(words)
  return row and (type(decoded) == "table" and decoded or words) or nil
end

-- A step that the pipeline does not name: the step of a fan-out's item, or nil; and its row in the last run that had it, or nil.
function past_step.find(pipeline, store, key)
  local row = store and store:last_row(key)
  local whole, words = fan_out.of_item(pipeline, key)
  local item = whole and item_of(whole, words, row)
  return item ~= nil and fan_out.item_step(whole, item) or nil, row
end

-- Whether one that a Lua step adds is up to date, as far as what the last run knew of it says.
function past_step.verdict(pipeline, store, row)
  local made = store:made(row.key)
  if not made then
    local good = row.state == "succeeded" or row.state == "cached"
    return false, good and "it has no outputs, says run " .. row.run or ("%s in run %s"):format(row.state, row.run)
  end
  local parts = json.decode(made.parts)
  local then_ = { folder = pipeline.folder, inputs = text.sorted_keys(parts.inputs or {}), outputs = parts.outputs or {} }
  local path, how = fingerprint.first_difference(parts.inputs or {}, fingerprint.inputs(then_))
  if path then return false, ("input %s %s"):format(path, how) end
  path, how = fingerprint.first_difference(json.decode(made.outputs), fingerprint.outputs(then_))
  if path then return false, ("output %s %s"):format(path, how) end
  return true, ("its files are those of run %s; whether its command changes is known when it runs"):format(made.run)
end

-- What a run knew of a step of its own, for show.
function past_step.shown(store, row)
  for _, step in ipairs(record.of(store, store:run(row.run)).steps) do
    if step.key == row.key then
      return { key = step.key, run = row.run, added_by = step.added_by, doc = step.doc, place = step.place, command = step.command,
               state = step.state, reason = step.reason, log = step.log }
    end
  end
end

return past_step
